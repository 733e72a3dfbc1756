"""Freeing areas: out of the busy tree, and into a lazy tree until the next purge.

Mirrors `find_unlink_vmap_area()`, `remove_vm_area()`, `free_vmap_area_noflush()`, `free_vmap_block()` and
`purge_fragmented_blocks()` of mm/vmalloc.c, v6.8 to v7.1.
"""

from actors.addresses import LAZY_PAGES
from actors.errors import expect
from actors.vmap import Vmap
from actors.world import Port
from protocol.area import VmapArea
from protocol.messages import AddLazyPages, FindUnlink, Inserted, LazyInsert, LazyPages, Unlink, Unlinked
from protocol.vmap_block import VmapBlock


async def remove_vm_area(vmap: Vmap, port: Port, addr: int) -> VmapArea | None:
    """Take out the area around `addr` and free it lazily; None if there is none.

    Kernel: `find_unlink_vmap_area()`, then `free_vmap_area_noflush()`, v6.8 to v7.1.
    """
    area = await vmap.router.search(port, addr, FindUnlink, None)
    if area is not None:
        await free_vmap_area_noflush(vmap, port, area)
    return area


async def free_vmap_area_noflush(vmap: Vmap, port: Port, area: VmapArea) -> None:
    """Put an area that is in no tree into a lazy tree, and let it be drained if there is too much.

    Kernel: `free_vmap_area_noflush()`, v6.8 to v7.1: first the counter, guard page included, then the lazy tree of
    the node in the area's flags, or else of its address.
    """
    pages = (area.va_end - area.va_start) // vmap.page_size
    nr_lazy = expect(await port.call(LAZY_PAGES, AddLazyPages(pages)), LazyPages).pages
    node_id = vmap.lazy_node(area)
    bare = VmapArea(area.va_start, area.va_end, area.flags)
    expect(await port.call(vmap.address(node_id), LazyInsert(node_id, bare)), Inserted)
    vmap.count_lazy(port, nr_lazy)


async def free_vmap_block(vmap: Vmap, port: Port, block: VmapBlock) -> VmapArea:
    """Forget a block, take its area out of the node of its start and free it lazily; gives that area.

    Kernel: `free_vmap_block()`, v6.8 to v7.1: no search, as the node of the start is known to have it.
    """
    vmap.blocks.erase(block)
    va_start = block.area.va_start
    unlinked = expect(await port.call(vmap.address(vmap.home(va_start)), Unlink(va_start)), Unlinked)
    port.probes += 1
    await free_vmap_area_noflush(vmap, port, unlinked.area)
    return unlinked.area


async def purge_fragmented_blocks(vmap: Vmap, port: Port, *, force: bool) -> None:
    """Free the blocks of all CPUs in which nothing is in use, with `force` those too that are mostly untouched.

    Kernel: `purge_fragmented_blocks_allcpus()` (forced) and the loop of `_vm_unmap_aliases()`, v6.8 to v7.1.
    """
    for block in vmap.blocks.fragmented(force):
        since = port.accounts
        area = await free_vmap_block(vmap, port, block)
        port.complete_part("free_vmap_block", since, area.va_start, area)
