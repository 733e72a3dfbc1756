"""What looks at areas from outside: /proc/vmallocinfo and vmalloc_dump_obj().

Mirrors `vmalloc_info_show()` (up to v6.8 `s_start()`, `s_next()`, `s_show()`), `show_purge_info()` and
`vmalloc_dump_obj()` of mm/vmalloc.c, v6.8 to v7.1.
"""

from attrs import frozen

from actors.errors import expect
from actors.vmap import Vmap
from actors.world import Port
from protocol.area import VmapArea
from protocol.messages import Areas, Busy, Found, ListAreas, ListLazy, TryFind

MOST = 2**32
"""As many areas as fit a message."""


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
        start, more = 0, True
        while more:
            reply = await port.call(vmap.address(node_id), ListAreas(node_id, start, MOST))
            busy += (listed := expect(reply, Areas)).areas
            start, more = (listed.areas[-1].va_end if listed.areas else 0), listed.more
    for node_id in range(vmap.layout.nr_nodes):
        start, more = 0, True
        while more:
            listed = expect(await port.call(vmap.address(node_id), ListLazy(node_id, start)), Areas)
            unpurged += listed.areas
            start, more = (listed.areas[-1].va_end if listed.areas else 0), listed.more
    if before_nodes:
        vmap.purge_lock.release(port)
    return VmallocInfo(tuple(busy), tuple(unpurged))


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
