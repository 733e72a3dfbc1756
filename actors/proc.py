"""What looks at areas from outside: /proc/vmallocinfo and vmalloc_dump_obj().

Mirrors `vmalloc_info_show()` (up to v6.8 `s_start()`, `s_next()`, `s_show()`), `show_purge_info()` and
`vmalloc_dump_obj()` of mm/vmalloc.c, v6.8 to v7.1.
"""

from collections.abc import Callable
from functools import partial

from attrs import frozen

from actors.errors import expect
from actors.vmap import Vmap
from actors.world import Address, Port
from protocol.area import VmapArea
from protocol.messages import LIST_MOST, Areas, Busy, Found, ListAreas, ListLazy, Request, TryFind


@frozen
class VmallocInfo:
    """What /proc/vmallocinfo shows: busy areas node by node, by address within a node, then what is unpurged."""

    busy: tuple[VmapArea, ...]
    unpurged: tuple[VmapArea, ...]


async def vmallocinfo(vmap: Vmap, port: Port) -> VmallocInfo:
    """List all areas, each node's under its busy lock, then the lazy trees under theirs.

    Since v6.9 not in address order; in the reviewed patch of node 0 only; up to v6.8 under `vmap_purge_lock`, which
    is not taken any more. A list that does not fit a message is asked for in parts, with the lock dropped between.
    """
    before_nodes = vmap.kernel.lazy == "global"
    if before_nodes:
        await vmap.purge_lock.acquire(port)
    busy, unpurged = list[VmapArea](), list[VmapArea]()
    for node_id in range(1 if vmap.kernel.vread == "node-0" else vmap.layout.nr_nodes):
        busy += await _listed(port, vmap.address(node_id), partial(ListAreas, node_id, limit=LIST_MOST))
    for node_id in range(vmap.layout.nr_nodes):
        unpurged += await _listed(port, vmap.address(node_id), partial(ListLazy, node_id))
    if before_nodes:
        vmap.purge_lock.release(port)
    return VmallocInfo(tuple(busy), tuple(unpurged))


async def _listed(port: Port, to: Address, listing: Callable[..., Request]) -> list[VmapArea]:
    """List areas, however many requests that takes; `listing` makes one of where to begin."""
    found: list[VmapArea] = []
    more = True
    while more:
        listed = expect(await port.call(to, listing(start=found[-1].va_end if found else 0)), Areas)
        found += listed.areas
        more = listed.more
    return found


@frozen
class Dump:
    """What vmalloc_dump_obj() found out: the area it prints, if any, and whether the lock was held by another."""

    area: VmapArea | None = None
    busy: bool = False


async def vmalloc_dump_obj(vmap: Vmap, port: Port, addr: int) -> Dump:
    """Find out what an address belongs to without ever waiting for a lock.

    Kernel: `vmalloc_dump_obj()`, v6.8 to v7.1: the address is rounded *up* to a page, one node is asked, and only
    if its lock is free. An area that starts in another node's zone is not found, one without a vm is no answer.
    """
    page = -(-addr // vmap.page_size) * vmap.page_size
    node_id = vmap.home(page)
    port.probes += 1
    reply = await port.call(vmap.address(node_id), TryFind(node_id, page))
    if isinstance(reply, Found) and reply.area.vm is not None:
        return Dump(reply.area)
    return Dump(busy=isinstance(reply, Busy))
