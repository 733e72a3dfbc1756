"""vm_map_ram(): small maps are parts of a block, larger ones areas of their own.

Mirrors `vm_map_ram()`, `vm_unmap_ram()`, `vb_alloc()`, `new_vmap_block()` and `vb_free()` of mm/vmalloc.c, v6.8 to
v7.1. What is where in a block is `protocol.vmap_block`'s. Each function gives the name of what it did and the
area that it inserted or took out, if any.
"""

from typing import TypeAlias

from actors.freeing import free_vmap_block, remove_vm_area
from actors.vmalloc import alloc_vmap_area
from actors.vmap import Vmap
from actors.world import Port
from protocol.area import VMAP_BLOCK, VMAP_RAM, VmapArea
from protocol.vmap_block import VMAP_MAX_ALLOC, get_order

Done: TypeAlias = tuple[str, VmapArea | None]
"""The name of what was done, and the area that went into or out of a busy tree by it."""


async def vm_map_ram(vmap: Vmap, port: Port, pages: int) -> tuple[int | None, Done]:
    """Map `pages` pages; gives the address, None if there was no room.

    Kernel: `vm_map_ram()`: up to VMAP_MAX_ALLOC pages by `vb_alloc()`, more as an area without guard page.
    """
    if pages <= VMAP_MAX_ALLOC:
        return await vb_alloc(vmap, port, pages)
    page_size = vmap.page_size
    window = vmap.window
    area = await alloc_vmap_area(vmap, port, pages * page_size, page_size, window.start, window.end, flags=VMAP_RAM)
    return (None if area is None else area.va_start), ("vm_map_ram", area)


async def vm_unmap_ram(vmap: Vmap, port: Port, addr: int, pages: int) -> Done:
    """Unmap what `vm_map_ram` gave (kernel: `vm_unmap_ram()`)."""
    if pages <= VMAP_MAX_ALLOC:
        return await vb_free(vmap, port, addr, pages)
    return "vm_unmap_ram", await remove_vm_area(vmap, port, addr)


async def vb_alloc(vmap: Vmap, port: Port, pages: int) -> tuple[int | None, Done]:
    """Take pages, rounded up to a power of two, from a block of this CPU, or from a new one.

    Kernel: `vb_alloc()` and `new_vmap_block()`: a block is aligned to its size and above the pools' limit, so it
    always comes from the free space.
    """
    order = get_order(pages * vmap.page_size, vmap.page_size)
    addr = vmap.blocks.allocate(port.cpu, order)
    if addr is not None:
        return addr, ("vb_alloc", None)
    size = vmap.blocks.block_size
    area = await alloc_vmap_area(
        vmap, port, size, size, vmap.window.start, vmap.window.end, flags=VMAP_RAM | VMAP_BLOCK
    )
    if area is None:
        return None, ("new_vmap_block", None)
    return vmap.blocks.add(area, port.cpu, order), ("new_vmap_block", area)


async def vb_free(vmap: Vmap, port: Port, addr: int, pages: int) -> Done:
    """Give pages of a block back: they are dirty, and with the last of them the block is freed (`vb_free()`)."""
    block = vmap.blocks.release(addr, get_order(pages * vmap.page_size, vmap.page_size))
    if block is None:
        return "vb_free", None
    return "free_vmap_block", await free_vmap_block(vmap, port, block)
