"""The pools of a vmap node: areas that were freed and can be handed out again without the free space.

Decides which area a request gets and which ones are given up. A class for each size of 1 to 256 pages, guard page
included; a class is a list that grows and is served at its head, so the latest is the first to go. Areas enter when
a node is purged, in ascending order: the highest address ends on top. Locks are the caller's business.

Mirrors `struct vmap_pool`, `size_to_va_pool()`, `node_pool_add_va()`, `node_pool_del_va()` and
`decay_va_pool_node()` of mm/vmalloc.c: added in v6.9 (72210662c5a2), decay mended in v6.16 (Baoquan He's
patch of April 2025).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from protocol.area import PAGE_SIZE, VmapArea

MAX_VA_SIZE_PAGES = 256
"""Classes of a node, and pages of the largest area that they hold (v6.9 to v7.1)."""

Decay: TypeAlias = Literal["none", "underflow", "mended"]
"""How pools shrink at each purge: not at all; by a quarter, where one to three areas count as all (v6.9 to v6.15:
the counter is tested after its decrement and wraps around); by a quarter rounded down (v6.16)."""


class Pools:
    """The pools of one node. Each operation but `decay` is O(1)."""

    __slots__ = ("_classes", "_len", "_limit", "_page_size", "bytes")

    def __init__(self, limit: int = MAX_VA_SIZE_PAGES, page_size: int = PAGE_SIZE) -> None:
        """Make empty pools for areas of up to `limit` pages of `page_size` bytes."""
        self._classes: dict[int, deque[VmapArea]] = {}
        self._len = 0
        self._limit = limit
        self._page_size = page_size
        self.bytes = 0
        """Bytes in all areas."""

    def __len__(self) -> int:
        """Count the areas in all classes (kernel: the shrinker's count)."""
        return self._len

    def __iter__(self) -> Iterator[VmapArea]:
        """Iterate over the areas: classes ascending, from the head of each."""
        return (area for index in sorted(self._classes) for area in self._classes[index])

    @property
    def lengths(self) -> dict[int, int]:
        """The number of areas of each class that has any, by the pages of its areas."""
        return {index + 1: len(self._classes[index]) for index in sorted(self._classes)}

    def holds_none(self, size: int) -> bool:
        """Tell whether the class of `size` bytes is empty, or there is none; the kernel looks without the lock."""
        return (size - 1) // self._page_size not in self._classes

    def add(self, area: VmapArea) -> bool:
        """Put `area` at the head of its class; False, and nothing happens, if it is over the limit."""
        size = area.va_end - area.va_start
        index = (size - 1) // self._page_size
        if index >= self._limit:
            return False
        entries = self._classes.get(index)
        if entries is None:
            entries = self._classes[index] = deque()
        entries.appendleft(area)
        self._len += 1
        self.bytes += size
        return True

    def take(self, size: int, align: int) -> VmapArea | None:
        """Take the area at the head of its class; a misaligned one goes to the tail instead, and None is given.

        No other area is looked at: a class can miss with a fitting one in second place.
        """
        index = (size - 1) // self._page_size
        entries = self._classes.get(index)
        if entries is None:
            return None
        if entries[0].va_start & (align - 1):
            entries.rotate(-1)
            return None
        area = entries.popleft()
        if not entries:
            del self._classes[index]
        self._len -= 1
        self.bytes -= area.va_end - area.va_start
        return area

    def decay(self, full: bool, version: Decay) -> list[VmapArea]:
        """Take areas from the head of each class, all of them if `full`, else as `version` has it.

        Gives them in address order, those that touch merged into one, as they then go to the free space.
        O(n log n) in the areas taken.
        """
        taken: list[VmapArea] = []
        for index in sorted(self._classes):
            entries = self._classes[index]
            count = decaying(len(entries), full, version)
            for _ in range(count):
                taken.append(entries.popleft())
            if not entries:
                del self._classes[index]
        self._len -= len(taken)
        self.bytes -= sum(area.va_end - area.va_start for area in taken)
        return merged(taken)

    def discard(self, area: VmapArea) -> bool:
        """Take out exactly `area`, wherever it is in its class; False if it is not there. O(areas of its size)."""
        index = (area.va_end - area.va_start - 1) // self._page_size
        entries = self._classes.get(index)
        if entries is None or area not in entries:
            return False
        entries.remove(area)
        if not entries:
            del self._classes[index]
        self._len -= 1
        self.bytes -= area.va_end - area.va_start
        return True

    def _check(self) -> None:
        """Assert every invariant; O(n)."""
        areas = list(self)
        assert self._len == len(areas), f"{self._len} areas counted, {len(areas)} there"
        assert self.bytes == sum(area.size for area in areas), "bytes is off"
        assert all(self._classes.values()), "an empty class is kept"
        for index, entries in self._classes.items():
            assert 0 <= index < self._limit, f"class {index} is over the limit"
            assert all((area.size - 1) // self._page_size == index for area in entries), (
                "an area is in another class"
            )


def decaying(length: int, full: bool, version: Decay) -> int:
    """Count the areas that a class of `length` loses in one decay (kernel: `n_decay`)."""
    if full:
        return length
    if version == "none":
        return 0
    quarter = length >> 2
    # Before v6.16 one area is taken before `!--n` is asked: from 0 it wraps around, and nothing stops at the end.
    return quarter if quarter or version == "mended" else length


def merged(areas: Sequence[VmapArea]) -> list[VmapArea]:
    """Give `areas` in address order, those that touch merged into one (kernel: `merge_or_add_vmap_area`)."""
    result: list[VmapArea] = []
    for area in sorted(areas, key=lambda area: area.va_start):
        if result and result[-1].va_end == area.va_start:
            area = VmapArea(result.pop().va_start, area.va_end)
        result.append(area)
    return result
