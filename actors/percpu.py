"""Areas for per-CPU chunks: several at fixed distances, from the top of the vmalloc space.

Mirrors `pcpu_get_vm_areas()` and `pcpu_free_vm_areas()` of mm/vmalloc.c, v6.8 to v7.1. The insertion of the areas
is the loop of which the review asks whether it has to take the lock for each area: here it is the batch
inserter's, by the scenario's strategy.
"""

from collections.abc import Sequence

from actors.addresses import FREE_SPACE
from actors.batch_inserter import BatchInserter
from actors.errors import expect
from actors.freeing import remove_vm_area
from actors.purge import reclaim_and_purge_vmap_areas
from actors.vmap import Vmap
from actors.world import Port
from protocol.area import Vm, VmapArea, VmStruct
from protocol.messages import AllocatePercpu, Areas, NotFound


async def pcpu_get_vm_areas(
    vmap: Vmap, port: Port, inserter: BatchInserter, offsets: Sequence[int], sizes: Sequence[int], align: int
) -> tuple[VmapArea, ...]:
    """Allocate an area for each offset from one base, as high as possible; empty if there is no room.

    All are clipped under one hold of `free_vmap_area_lock`; if there is no base for them all is purged once and the
    search repeated. They have no guard pages, carry no node id and come from no pool.
    """
    window = vmap.window
    request = AllocatePercpu(tuple(offsets), tuple(sizes), align, window.start, window.end)
    reply = await port.call(FREE_SPACE, request)
    if isinstance(reply, NotFound):
        await reclaim_and_purge_vmap_areas(vmap, port)
        reply = await port.call(FREE_SPACE, request)
    if isinstance(reply, NotFound):
        return ()
    areas = tuple(
        VmapArea(area.va_start, area.va_end, 0, VmStruct(Vm.ALLOC, "pcpu_get_vm_areas"))
        for area in expect(reply, Areas).areas
    )
    await inserter.insert(port, areas)
    return areas


async def pcpu_free_vm_areas(vmap: Vmap, port: Port, areas: Sequence[VmapArea]) -> tuple[VmapArea, ...]:
    """Free what `pcpu_get_vm_areas` gave, area by area and lazily; gives what was found (`free_vm_area()`)."""
    found = [await remove_vm_area(vmap, port, area.va_start) for area in areas]
    return tuple(area for area in found if area is not None)
