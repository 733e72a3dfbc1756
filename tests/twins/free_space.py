"""The free space as a sorted list of `(start, end)`, everything by linear scan.

What depends on the shape of the kernel's tree is looked up in a shape that the caller gives.
"""

from collections.abc import Iterator, Sequence

from protocol.area import VmapArea
from protocol.errors import AreaOverlap, BadRange
from protocol.free_space import FreeSpace
from protocol.red_black import NIL

Shape = tuple["Shape", tuple[int, int], "Shape"] | None
"""A tree: what is left, the range `(start, end)`, what is right."""


def shape_of(space: FreeSpace) -> Shape:
    """Give the tree of `space`, without what the tree knows of its subtrees."""

    tree = space._tree

    def below(node: int) -> Shape:
        if node == NIL:
            return None
        return below(tree.left[node]), (tree.va_start[node], tree.va_end[node]), below(tree.right[node])

    return below(tree.root)


def longest(shape: Shape) -> int:
    """Give the size of the longest range of a tree, by looking at all of them."""
    if shape is None:
        return 0
    left, (start, end), right = shape
    return max(longest(left), end - start, longest(right))


def lowest_match(shape: Shape, size: int, align: int, vstart: int, length: int) -> tuple[int, int] | None:
    """Say by recursion what `find_vmap_lowest_match` says by descending and climbing."""
    if shape is None:
        return None
    left, (start, end), right = shape
    if longest(left) >= length and vstart < start:
        found = lowest_match(left, size, align, vstart, length)
        if found is not None:
            return found
    if aligned(max(start, vstart), align) + size <= end:
        return start, end
    return lowest_match(right, size, align, vstart, length) if longest(right) >= length else None


def aligned(addr: int, align: int) -> int:
    """Round up to a multiple."""
    return addr + -addr % align


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

    def allocate(self, size: int, align: int, vstart: int, vend: int, shape: Shape = None) -> VmapArea | None:
        """Take the lowest bytes that fit; with a `shape`, those that the kernel finds in it."""
        for start, end in self.ranges if shape is None else self._match(size, align, vstart, vend, shape):
            va_start = aligned(max(start, vstart), align)
            if va_start + size <= end and va_start + size <= vend:
                area = VmapArea(va_start, va_start + size)
                self.take(area)
                return area
        return None

    def _match(self, size: int, align: int, vstart: int, vend: int, shape: Shape) -> list[tuple[int, int]]:
        length = size if vend - vstart == size else size + align - 1
        found = lowest_match(shape, size, align, vstart, length)
        return [] if found is None else [found]

    def take(self, area: VmapArea) -> None:
        for index, (start, end) in enumerate(self.ranges):
            if start <= area.va_start < area.va_end <= end:
                remains = [(start, area.va_start), (area.va_end, end)]
                self.ranges[index : index + 1] = [(low, high) for low, high in remains if low < high]
                return
        raise BadRange("not free")

    def allocate_percpu(
        self, offsets: Sequence[int], sizes: Sequence[int], align: int, vstart: int, vend: int
    ) -> list[VmapArea] | None:
        """Try every base from the top down."""
        for base in range(vend // align * align, aligned(vstart, align) - 1, -align):
            areas = [
                VmapArea(base + offset, base + offset + size) for offset, size in zip(offsets, sizes, strict=True)
            ]
            if all(
                area.va_end <= vend
                and any(start <= area.va_start and area.va_end <= end for start, end in self.ranges)
                for area in areas
            ):
                for area in areas:
                    self.take(area)
                return areas
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
