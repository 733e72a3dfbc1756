"""The busy tree as a sorted list of areas, everything by linear scan."""

from collections.abc import Iterator
from operator import attrgetter

from protocol.area import VmapArea
from protocol.errors import AreaOverlap


class SlowBusyTree:
    """Answers as `BusyTree` does, in O(n) and more."""

    def __init__(self) -> None:
        self.areas: list[VmapArea] = []

    @property
    def bytes_busy(self) -> int:
        return sum(area.va_end - area.va_start for area in self.areas)

    @property
    def depth(self) -> int:
        """Levels of the lowest binary tree with room for all areas: d levels have room for 2**d - 1."""
        levels = 0
        while 2**levels - 1 < len(self.areas):
            levels += 1
        return levels

    def __len__(self) -> int:
        return len(self.areas)

    def __iter__(self) -> Iterator[VmapArea]:
        return iter(self.areas)

    def find(self, addr: int) -> VmapArea | None:
        return next((area for area in self.areas if area.va_start <= addr < area.va_end), None)

    def find_exceed(self, addr: int) -> VmapArea | None:
        return next((area for area in self.areas if area.va_end > addr), None)

    def iterate_from(self, start: int) -> Iterator[VmapArea]:
        return (area for area in self.areas if area.va_start >= start)

    def insert(self, area: VmapArea) -> None:
        for taken in self.areas:
            if taken.va_start < area.va_end and area.va_start < taken.va_end:
                raise AreaOverlap(f"{area} overlaps with {taken}")
        self.areas.append(area)
        self.areas.sort(key=attrgetter("va_start"))

    def unlink(self, va_start: int) -> VmapArea | None:
        for index, area in enumerate(self.areas):
            if area.va_start == va_start:
                return self.areas.pop(index)
        return None

    def _check(self) -> None:
        borders = [border for area in self.areas for border in (area.va_start, area.va_end)]
        assert borders == sorted(borders), "areas are in order and do not overlap"
        assert all(area.va_start < area.va_end for area in self.areas), "no area is empty"
