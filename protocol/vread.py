"""What a range of kernel addresses reads as: data, or zeros.

Mirrors the decisions of `vread_iter()` and `vmap_ram_vread_iter()` of mm/vmalloc.c, v6.8 to v7.1: areas are looked
at in address order, and what none of them covers is a hole.
"""

from attrs import define, field

from protocol.area import VMAP_BLOCK, VMAP_RAM, Vm, VmapArea
from protocol.vmap_block import VmapBlocks


@define(eq=False)
class Reading:
    """A read of `count` bytes from `addr` on: runs `(start, end, is data)`, in order and without gaps."""

    addr: int
    count: int
    _blocks: VmapBlocks
    runs: list[tuple[int, int, bool]] = field(factory=list)
    _reached: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reached = self.addr

    @property
    def end(self) -> int:
        """Where the range ends."""
        return self.addr + self.count

    @property
    def data(self) -> int:
        """Bytes of the range that are data; the others are zeros."""
        return sum(end - start for start, end, is_data in self.runs if is_data)

    def data_until(self, end: int) -> int:
        """Give the bytes that are data from the range's beginning to `end`."""
        return sum(max(0, min(end, run_end) - start) for start, run_end, is_data in self.runs if is_data)

    def add(self, area: VmapArea) -> bool:
        """Read the next area in address order; tells whether the walk ends here, with nothing more to be found out.

        That nothing remains is seen before an area is read, not after it: who has read all that is in the range
        looks for one more area. One that is not mapped is passed over, even if it begins after the range.
        """
        if self._reached >= self.end:
            return True
        end = area.va_start + self._readable(area)
        if not self._is_mapped(area) or self._reached >= end:
            return False
        if area.va_start >= self.end:
            return True
        start = max(self._reached, area.va_start)
        self._run(self._reached, start, False)
        self._read(area, start, min(end, self.end))
        return False

    def finish(self) -> None:
        """Read the rest as zeros."""
        self._run(self._reached, self.end, False)

    def _readable(self, area: VmapArea) -> int:
        """Give the bytes of `area` but for its guard page, which only one with a vm has (`get_vm_area_size`)."""
        guarded = area.vm is not None and not area.vm.flags & Vm.NO_GUARD
        return area.size - (self._blocks.page_size if guarded else 0)

    def _is_mapped(self, area: VmapArea) -> bool:
        """Tell whether `area` is more than a hole: a vm that is ready, or vm_map_ram()'s."""
        if area.vm is None:
            return bool(area.flags & VMAP_RAM)
        return not area.vm.flags & Vm.UNINITIALIZED

    def _read(self, area: VmapArea, start: int, end: int) -> None:
        if area.flags & VMAP_BLOCK:
            self._read_block(area, start, end)
        else:
            zeros = area.vm is not None and bool(area.vm.flags & (Vm.IOREMAP | Vm.SPARSE))
            self._run(start, end, not zeros)

    def _read_block(self, area: VmapArea, start: int, end: int) -> None:
        """Read a block by its bitmap; one that has been forgotten meanwhile is zeros (kernel: `xa_load` fails)."""
        block = self._blocks.find(area.va_start)
        if block is None:
            self._run(start, end, False)
            return
        page_size = self._blocks.page_size
        first, last = (start - area.va_start) // page_size, -(-(end - area.va_start) // page_size)
        for run_first, run_end, used in block.runs(first, last):
            run_start = max(start, area.va_start + run_first * page_size)
            self._run(run_start, min(end, area.va_start + run_end * page_size), used)

    def _run(self, start: int, end: int, is_data: bool) -> None:
        """Append a run; runs of a kind become one."""
        if start >= end:
            return
        if self.runs and self.runs[-1][2] == is_data:
            start = self.runs.pop()[0]
        self.runs.append((start, end, is_data))
        self._reached = end
