"""Allocating areas.

Mirrors `alloc_vmap_area()`, `node_alloc()`, `setup_vmalloc_vm()` and `__get_vm_area_node()` of mm/vmalloc.c, v6.8
to v7.1. Two nodes are never mixed up: an area is *busy* in the node of its address, and comes from and goes back
to the pools of the node of the CPU that asked for it, whose number it carries in its flags.
"""

from actors.addresses import FREE_SPACE
from actors.errors import expect
from actors.purge import reclaim_and_purge_vmap_areas
from actors.vmap import Vmap
from actors.world import Port
from protocol.area import Vm, VmapArea, VmStruct, encode_vn_id
from protocol.errors import BadRange
from protocol.messages import Allocate, Allocated, Found, NotFound, PoolTake, SetupVm

IOREMAP_MAX_ORDER = 30
"""The largest alignment of an I/O mapping is 2 to this: PUD_SHIFT, x86_64."""

IOREMAP, ALLOC, NO_GUARD = int(Vm.IOREMAP), int(Vm.ALLOC), int(Vm.NO_GUARD)
"""As integers: an operation of an enumeration's flags takes as long as a search of a tree."""


async def alloc_vmap_area(
    vmap: Vmap,
    port: Port,
    size: int,
    align: int,
    vstart: int,
    vend: int,
    *,
    flags: int = 0,
    vm: VmStruct | None = None,
    may_block: bool = True,
) -> VmapArea | None:
    """Allocate an area of `size` bytes in `[vstart, vend]` and insert it into the busy tree of its address.

    Kernel: `alloc_vmap_area()`, v6.8 to v7.1. From the pool of the CPU's node, else from the free space; if
    that is out of room, once more after all has been purged, and over again as long as `Vmap.vmap_notify_list`
    frees anything, unless the caller must not sleep. None when there is no room at all: the kernel's warning is
    counted in `Vmap.warnings`. Raises `BadRange` for a size that is no multiple of the page size, an alignment that
    is no power of two (-EINVAL), and for a caller that must not sleep where the kernel's may (`might_sleep`).
    """
    if size <= 0 or size % vmap.page_size or align <= 0 or align & (align - 1):
        raise BadRange(f"size {size} with align {align}: -EINVAL")
    if not (may_block or vmap.kernel.nonblocking):
        raise BadRange(f"a {vmap.kernel.name} kernel sleeps when it allocates")
    area, vn_id = await node_alloc(vmap, port, size, align, vstart, vend)
    if area is None:
        area = await _alloc_from_free_space(vmap, port, size, align, vstart, vend, may_block=may_block)
    if area is None:
        vmap.warnings[
            f"vmalloc_node_range for size {size} failed: Address range restricted to {vstart:#x} - {vend:#x}"
        ] += 1
        return None
    one_hold = vmap.kernel.busy_locks == 1
    area = VmapArea(area.va_start, area.va_end, flags | vn_id, vm if one_hold else None)
    await vmap.router.insert(port, area, None)
    if vm is not None and not one_hold:
        area = await setup_vmalloc_vm(vmap, port, area, vm)
    return area


async def node_alloc(
    vmap: Vmap, port: Port, size: int, align: int, vstart: int, vend: int
) -> tuple[VmapArea | None, int]:
    """Ask the pools of this CPU's node; gives the area, if any, and the flags that name the node.

    Kernel: `node_alloc()`, v6.9. Only for the vmalloc space and with several nodes; the node is named even if its
    pool has nothing, and that is how pools are filled.
    """
    default = vstart == vmap.window.start and vend == vmap.window.end
    if not (default and vmap.kernel.pools and vmap.layout.nr_nodes > 1):
        return None, 0
    node_id = vmap.this_node(port.cpu)
    reply = await port.call(vmap.address(node_id), PoolTake(node_id, size, align))
    return (reply.area if isinstance(reply, Allocated) else None), encode_vn_id(node_id)


async def _alloc_from_free_space(
    vmap: Vmap, port: Port, size: int, align: int, vstart: int, vend: int, *, may_block: bool
) -> VmapArea | None:
    purged = False
    while True:
        reply = await port.call(FREE_SPACE, Allocate(size, align, vstart, vend))
        if not isinstance(reply, NotFound):
            return expect(reply, Allocated).area
        if not may_block:
            return None
        if not purged:
            await reclaim_and_purge_vmap_areas(vmap, port)
            purged = True
        elif await _call_vmap_notify_list(vmap, port):
            purged = False
        else:
            return None


async def _call_vmap_notify_list(vmap: Vmap, port: Port) -> int:
    """Ask all who may have something to spare; gives the pages that they freed, lazily.

    Kernel: `blocking_notifier_call_chain(&vmap_notify_list, …)`, v6.8 to v7.1; i915 and msm answer.
    """
    freed = 0
    for notifier in vmap.vmap_notify_list:
        freed += await notifier(vmap, port)
    return freed


async def setup_vmalloc_vm(vmap: Vmap, port: Port, area: VmapArea, vm: VmStruct) -> VmapArea:
    """Say what a busy area is used for, under a hold of its own; gives the area as it is then.

    Kernel: `setup_vmalloc_vm()`, up to v6.9 for each allocation; since v6.10 the area is inserted with its vm.
    """
    since = port.accounts
    port.probes += 1
    home = vmap.home(area.va_start)
    ready = expect(await port.call(vmap.address(home), SetupVm(area.va_start, vm)), Found).area
    port.complete_part("setup_vmalloc_vm", since, area.va_start, None)
    return ready


async def get_vm_area(
    vmap: Vmap,
    port: Port,
    size: int,
    align: int,
    *,
    flags: Vm = Vm.ALLOC,
    caller: str = "",
    phys_addr: int = 0,
    vstart: int | None = None,
    vend: int | None = None,
    may_block: bool = True,
) -> VmapArea | None:
    """Allocate `size` bytes and a guard page for a use (kernel: `__get_vm_area_node()`, v6.8 to v7.1).

    The size is rounded up to pages; VM_NO_GUARD leaves the guard page out. An I/O mapping is aligned to its size
    rounded up to a power of two, from a page to 1 GiB (IOREMAP_MAX_ORDER). None as `alloc_vmap_area`.
    """
    page_size = vmap.page_size
    pages = -(-size // page_size)
    used_for = int(flags)
    if used_for & IOREMAP:
        order = max(page_size.bit_length() - 1, min((pages * page_size - 1).bit_length(), IOREMAP_MAX_ORDER))
        align = 1 << order
    return await alloc_vmap_area(
        vmap,
        port,
        (pages + (not used_for & NO_GUARD)) * page_size,
        align,
        vmap.window.start if vstart is None else vstart,
        vmap.window.end if vend is None else vend,
        vm=VmStruct(used_for, caller, pages if used_for & ALLOC else 0, phys_addr, size),
        may_block=may_block,
    )
