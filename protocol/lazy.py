"""The lazy tree of a vmap node: areas that were freed and still have to be purged from the TLBs.

Mirrors `vmap_node.lazy` of mm/vmalloc.c since v6.9, and the global `purge_vmap_area_root` before: until v6.8 areas
that touch were merged into one (`merge_or_add_vmap_area()`), since then each keeps its size and its node id,
which pools need. Nobody searches this tree, so it is put in order when it is looked at.
"""

from collections.abc import Iterator
from itertools import pairwise

from protocol.area import VmapArea
from protocol.errors import AreaOverlap


class LazyTree:
    """The lazily freed areas of one node; with `merges`, those that touch become one."""

    __slots__ = ("_by_end", "_by_start", "_merges", "bytes")

    def __init__(self, *, merges: bool = False) -> None:
        self._merges = merges
        self._by_start: dict[int, VmapArea] = {}
        self._by_end: dict[int, VmapArea] = {}
        self.bytes = 0
        """Bytes in all areas."""

    def __len__(self) -> int:
        return len(self._by_start)

    def __iter__(self) -> Iterator[VmapArea]:
        """Iterate over the areas in address order; O(n log n)."""
        return (self._by_start[va_start] for va_start in sorted(self._by_start))

    @property
    def depth(self) -> int:
        """Nodes on a search path of a balanced tree with as many areas."""
        return len(self._by_start).bit_length()

    def add(self, area: VmapArea) -> None:
        """Add `area`; O(1). Raises `AreaOverlap` if one starts there already: it would be freed twice."""
        if area.va_start in self._by_start:
            raise AreaOverlap(f"{area} is freed twice")
        self.bytes += area.va_end - area.va_start
        if self._merges:
            area = self._joined(area)
            self._by_end[area.va_end] = area
        self._by_start[area.va_start] = area

    def discard(self, area: VmapArea) -> bool:
        """Take out exactly `area`; False if it is not there. O(1)."""
        if self._by_start.get(area.va_start) != area:
            return False
        del self._by_start[area.va_start]
        self._by_end.pop(area.va_end, None)
        self.bytes -= area.va_end - area.va_start
        return True

    def detach(self) -> list[VmapArea]:
        """Take out all areas, in address order; O(n log n) (kernel: `list_replace_init`, under the lock)."""
        areas = list(self)
        self._by_start.clear()
        self._by_end.clear()
        self.bytes = 0
        return areas

    def _joined(self, area: VmapArea) -> VmapArea:
        """Take out what touches `area` and give all of it as one."""
        following = self._by_start.pop(area.va_end, None)
        if following is not None:
            del self._by_end[following.va_end]
            area = VmapArea(area.va_start, following.va_end)
        previous = self._by_end.pop(area.va_start, None)
        if previous is not None:
            del self._by_start[previous.va_start]
            area = VmapArea(previous.va_start, area.va_end)
        return area

    def _check(self) -> None:
        """Assert every invariant; O(n)."""
        areas = list(self)
        assert self.bytes == sum(area.size for area in areas), "bytes is off"
        assert all(a.va_end <= b.va_start for a, b in pairwise(areas)), "areas overlap"
        if self._merges:
            assert all(a.va_end < b.va_start for a, b in pairwise(areas)), "areas touch"
            assert self._by_end == {area.va_end: area for area in areas}, "the ends are not those of the areas"
