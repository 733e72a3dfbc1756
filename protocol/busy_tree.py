"""The busy tree of a vmap node: the areas that start in the node's zones, by address.

Mirrors `vmap_node.busy` (root, list and lock; the lock is the world's business) and
`__find_vmap_area()`, `__find_vmap_area_exceed_addr()`, `insert_vmap_area()`, `unlink_va()`.

The kernel keeps a red-black tree. Here the order lives in a tree of height two, made of Python lists:
`_heads[i]` is the first start address of leaf i, a leaf is a sorted list of at most `LEAF_MAX` starts,
and `_by_start` maps a start to its area. A search is two bisections in C, an insertion moves at most one
leaf; measured against one flat list and against sortedcontainers in tests/bench/busy_tree.py. What a
search would cost the *kernel* is counted by the node machine, from the number of areas.

Invariants (`_check`): leaves are non-empty and ascending, heads are the leaves' first starts, areas do
not overlap, and the starts are exactly the keys of `_by_start`.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

from protocol.area import VmapArea
from protocol.errors import AreaOverlap, BadRange

LEAF_MAX = 512
"""Most starts in a leaf; a fuller one is split. At 100,000 areas 256 and 512 are equal, 4,096 is a third slower."""


class BusyTree:
    """Areas by address; they never overlap. Not thread-safe: its node's actor is its only user."""

    __slots__ = ("_by_start", "_heads", "_leaves", "bytes_busy", "depth")

    def __init__(self) -> None:
        self._heads: list[int] = [0]
        self._leaves: list[list[int]] = [[]]
        self._by_start: dict[int, VmapArea] = {}
        self.bytes_busy = 0
        self.depth = 0
        """Nodes on a search path of a balanced tree with as many areas: `len(self).bit_length()`."""

    def __len__(self) -> int:
        return len(self._by_start)

    def __iter__(self) -> Iterator[VmapArea]:
        """Iterate over the areas in address order."""
        return (self._by_start[start] for leaf in self._leaves for start in leaf)

    def find(self, addr: int) -> VmapArea | None:
        """Find the area that contains `addr`; O(log n)."""
        area = self._by_start.get(addr)
        if area is not None:
            return area
        leaf = self._leaves[bisect_right(self._heads, addr, 1) - 1]
        position = bisect_right(leaf, addr)
        if position == 0:
            return None
        area = self._by_start[leaf[position - 1]]
        return area if addr < area.va_end else None

    def find_exceed(self, addr: int) -> VmapArea | None:
        """Find the first area that ends above `addr`, be it around or after it; O(log n)."""
        return self.find(addr) or next(self.iterate_from(addr), None)

    def iterate_from(self, start: int) -> Iterator[VmapArea]:
        """Iterate in address order over the areas that start at or above `start`; O(log n) to the first."""
        index = bisect_right(self._heads, start, 1) - 1
        leaf = self._leaves[index]
        for position in range(bisect_right(leaf, start - 1), len(leaf)):
            yield self._by_start[leaf[position]]
        for following in self._leaves[index + 1 :]:
            for va_start in following:
                yield self._by_start[va_start]

    def insert(self, area: VmapArea) -> None:
        """Insert `area`; O(log n) and one leaf's move.

        Raises `AreaOverlap` when any part of its range is taken, `BadRange` when it has no address; nothing
        is changed then.
        """
        va_start = area.va_start
        if va_start >= area.va_end:
            raise BadRange(f"{area} is empty")
        index = bisect_right(self._heads, va_start, 1) - 1
        leaf = self._leaves[index]
        position = bisect_right(leaf, va_start)
        if position:
            before = self._by_start[leaf[position - 1]]
            if before.va_end > va_start:
                raise AreaOverlap(f"{area} overlaps with {before}")
        following = leaf[position] if position < len(leaf) else self._head_after(index)
        if following is not None and following < area.va_end:
            raise AreaOverlap(f"{area} overlaps with {self._by_start[following]}")
        leaf.insert(position, va_start)
        if not position:
            self._heads[index] = va_start
        self._by_start[va_start] = area
        self.depth = len(self._by_start).bit_length()
        self.bytes_busy += area.va_end - va_start
        if len(leaf) > LEAF_MAX:
            self._split(index)

    def replace(self, area: VmapArea) -> None:
        """Put `area` where one of the same range is; O(1)."""
        assert self._by_start[area.va_start] == area, f"{area} is not there"
        self._by_start[area.va_start] = area

    def unlink(self, va_start: int) -> VmapArea | None:
        """Take out and return the area that starts at `va_start`, None if there is none; as `insert`."""
        area = self._by_start.pop(va_start, None)
        if area is None:
            return None
        index = bisect_right(self._heads, va_start, 1) - 1
        leaf = self._leaves[index]
        position = bisect_right(leaf, va_start) - 1
        del leaf[position]
        self.depth = len(self._by_start).bit_length()
        self.bytes_busy -= area.va_end - va_start
        if leaf:
            if not position:
                self._heads[index] = leaf[0]
        elif len(self._leaves) > 1:
            del self._leaves[index], self._heads[index]
        return area

    def _head_after(self, index: int) -> int | None:
        return self._heads[index + 1] if index + 1 < len(self._heads) else None

    def _split(self, index: int) -> None:
        leaf = self._leaves[index]
        upper = leaf[LEAF_MAX // 2 :]
        del leaf[LEAF_MAX // 2 :]
        self._leaves.insert(index + 1, upper)
        self._heads.insert(index + 1, upper[0])

    def _check(self) -> None:
        """Assert every invariant; O(n)."""
        assert len(self._heads) == len(self._leaves) >= 1, "heads and leaves differ in number"
        assert self._leaves == [[]] or all(self._leaves), "a leaf is empty"
        assert all(len(leaf) <= LEAF_MAX for leaf in self._leaves), "a leaf is too full"
        starts = [start for leaf in self._leaves for start in leaf]
        assert starts == sorted(self._by_start), "the leaves do not hold the starts in order"
        if starts:
            assert self._heads == [leaf[0] for leaf in self._leaves], "a head is not its leaf's first start"
        areas = list(self)
        assert [area.va_start for area in areas] == starts, "an area is kept under another start"
        assert all(area.va_start < area.va_end for area in areas), "an area is empty"
        assert all(a.va_end <= b.va_start for a, b in pairwise(areas)), "areas overlap"
        assert self.depth == len(areas).bit_length(), "depth is off"
        assert self.bytes_busy == sum(area.size for area in areas), "bytes_busy is off"
