"""What a test's worker asks of its CPU, and what it is sent back. Sizes are bytes, without guard pages."""

from typing import Any, TypeAlias

from attrs import define, frozen

from protocol.area import VmapArea


@define
class Vmalloc:
    """`__vmalloc_node()`: answered by the area with its guard page, or None."""

    size: int
    align: int = 1
    may_block: bool = True
    """Whether it may sleep and purge to find room: not with GFP_ATOMIC and GFP_NOWAIT."""


@define
class Vfree:
    """`vfree()` of an area; answered by nothing."""

    area: VmapArea


@define
class KvfreeRcu:
    """`kvfree_rcu()`: a worker frees the area after a grace period; answered by nothing, at once."""

    area: VmapArea


@define
class VmMapRam:
    """`vm_map_ram()` of so many pages: answered by the mapped range, without a guard page, or None."""

    pages: int


@define
class VmUnmapRam:
    """`vm_unmap_ram()` of a range; answered by nothing."""

    range: VmapArea


@define
class PcpuGetVmAreas:
    """`pcpu_get_vm_areas()` of one group, for a chunk of per-CPU memory: answered by its area, or None."""

    size: int
    align: int


@define
class PcpuFreeVmAreas:
    """`pcpu_free_vm_areas()` of one group; answered by nothing."""

    area: VmapArea


@define
class ModuleAlloc:
    """`module_memory_alloc()`: a part of a module, in the module range; answered as `Vmalloc` is."""

    size: int


@frozen
class UnmapAliases:
    """`vm_unmap_aliases()`, as changes of pages' permissions call it; answered by nothing."""


@frozen
class Pause:
    """Nothing, for so long; answered by nothing."""

    ns: int


@frozen
class Clock:
    """`ktime_get()`: answered by nanoseconds."""


Operation: TypeAlias = (
    Vmalloc | Vfree | KvfreeRcu | VmMapRam | VmUnmapRam | PcpuGetVmAreas | PcpuFreeVmAreas | Clock
)
"""What the tests ask for."""

Loading: TypeAlias = Vmalloc | Vfree | ModuleAlloc | UnmapAliases | Pause
"""What loading and unloading the module asks for."""

Answer: TypeAlias = Any
"""Each operation says what it is answered by."""

CLOCK = Clock()
