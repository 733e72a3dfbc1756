"""Reading a range of kernel addresses, whatever is there: /proc/kcore's view of vmalloc.

Mirrors `vread_iter()`, `vmap_ram_vread_iter()` and `find_vmap_area_exceed_addr_lock()` of mm/vmalloc.c, v6.8 to
v7.1. What the bytes of an area read as is `protocol.vread`'s; here is who is asked for the next area. Three ways:

- one node's lock for the whole walk (v6.8, where that node has all areas; the reviewed patch hooks it to node 0, so
  with more nodes it misses the areas of all others);
- one pass over all nodes for each area, the best so far kept locked (v6.9-rc1; a request here holds no lock
  beyond its reply, so what two locks at once cost is not modelled, only that nothing is looked up twice);
- two passes: ask all nodes, then ask the node of the lowest start for what is there now, and all over if nothing is
  (v6.9-rc3 to v7.1).
"""

from actors.errors import expect
from actors.vmap import Vmap
from actors.world import Port
from protocol.area import VmapArea
from protocol.messages import Areas, Find, FindExceed, FindRange, Found
from protocol.vread import Reading


async def vread_iter(vmap: Vmap, port: Port, addr: int, count: int) -> Reading:
    """Read `count` bytes from `addr` on; gives which of them are data and which are zeros.

    Holes, I/O and sparse mappings, areas that are not ready and guard pages read as zeros, the parts of a block
    that are not in use too.
    """
    reading = Reading(addr, count, vmap.blocks)
    if vmap.kernel.vread == "node-0":
        await _read_of_node_0(vmap, port, reading)
    else:
        await _read_area_by_area(vmap, port, reading)
    reading.finish()
    return reading


async def find_vmap_area_exceed_addr(vmap: Vmap, port: Port, addr: int) -> VmapArea | None:
    """Find the lowest area of all nodes that ends above `addr`.

    Kernel: `find_vmap_area_exceed_addr_lock()`, since v6.9. Nodes are asked one after the other, so an area can
    come and go unseen meanwhile; with two passes the one that is given was there when its node was asked last: it
    is whatever contains the lowest start then, be it another area that has come in place of the one seen before.
    """
    while True:
        lowest: VmapArea | None = None
        for node_id in range(vmap.layout.nr_nodes):
            area = await _exceed(vmap, port, node_id, addr)
            if area is not None and (lowest is None or area.va_start < lowest.va_start):
                lowest = area
        if lowest is None or vmap.kernel.vread == "one-pass":
            return lowest
        home = vmap.home(lowest.va_start)
        port.probes += 1
        reply = await port.call(vmap.address(home), Find(home, lowest.va_start))
        if isinstance(reply, Found):
            return reply.area


async def find_vmap_area_exceed_addr_of_node_0(vmap: Vmap, port: Port, addr: int) -> VmapArea | None:
    """Find the lowest area *of node 0* that ends above `addr`, as the reviewed patch does (v3 04/11)."""
    return await _exceed(vmap, port, 0, addr)


async def _exceed(vmap: Vmap, port: Port, node_id: int, addr: int) -> VmapArea | None:
    port.probes += 1
    reply = await port.call(vmap.address(node_id), FindExceed(node_id, addr))
    return reply.area if isinstance(reply, Found) else None


async def _read_area_by_area(vmap: Vmap, port: Port, reading: Reading) -> None:
    """Search for each next area, and for one more after the last that is read: `do … while` (v6.9 to v7.1)."""
    area = await find_vmap_area_exceed_addr(vmap, port, reading.addr)
    if area is None or area.va_start >= reading.end:
        return
    while area is not None and not reading.add(area):
        area = await find_vmap_area_exceed_addr(vmap, port, area.va_end)


async def _read_of_node_0(vmap: Vmap, port: Port, reading: Reading) -> None:
    """Walk the list of node 0 under one hold, more than fit a message under several."""
    more = True
    addr = reading.addr
    while more:
        port.probes += 1
        listed = expect(await port.call(vmap.address(0), FindRange(0, addr, reading.end)), Areas)
        for area in listed.areas:
            reading.add(area)
            addr = area.va_end
        more = listed.more
