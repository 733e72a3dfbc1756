"""The free space as a sorted list of `(start, end)`, everything by linear scan."""

from collections.abc import Iterator

from protocol.area import VmapArea
from protocol.errors import AreaOverlap, BadRange


class SlowFreeSpace:
    """Answers as `FreeSpace` does, in O(n) and more."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.ranges = [(start, end)]

    @property
    def bytes_free(self) -> int:
        return sum(end - start for start, end in self.ranges)

    @property
    def largest(self) -> int:
        return max((end - start for start, end in self.ranges), default=0)

    def __len__(self) -> int:
        return len(self.ranges)

    def __iter__(self) -> Iterator[VmapArea]:
        return (VmapArea(start, end) for start, end in self.ranges)

    def allocate(self, size: int, align: int, vstart: int, vend: int) -> VmapArea | None:
        for index, (start, end) in enumerate(self.ranges):
            va_start = max(start, vstart)
            if va_start % align != 0:
                va_start += align - va_start % align
            va_end = va_start + size
            if va_end <= end and va_end <= vend:
                remains = [(start, va_start), (va_end, end)]
                self.ranges[index : index + 1] = [(low, high) for low, high in remains if low < high]
                return VmapArea(va_start, va_end)
        return None

    def release(self, area: VmapArea) -> None:
        if area.va_start >= area.va_end or area.va_start < self.start or area.va_end > self.end:
            raise BadRange("outside the space")
        if any(start < area.va_end and area.va_start < end for start, end in self.ranges):
            raise AreaOverlap("double free")
        joined: list[tuple[int, int]] = []
        for start, end in sorted([*self.ranges, (area.va_start, area.va_end)]):
            if joined and joined[-1][1] == start:
                start = joined.pop()[0]
            joined.append((start, end))
        self.ranges = joined

    def _check(self) -> None:
        borders = [border for one in self.ranges for border in one]
        assert borders == sorted(set(borders)), "ranges are not empty, in order, and do not touch"
        assert all(self.start <= border <= self.end for border in borders), "ranges lie inside the space"
