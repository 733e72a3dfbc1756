"""The busy tree against its alternatives.

The same drawn operations on: ours (two levels of lists and a dictionary), one flat sorted list with a
dictionary, and `sortedcontainers.SortedDict`: finding an area by an interior address, and taking an area out and
inserting it again.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Protocol

from sortedcontainers import SortedDict

from protocol.area import VmapArea
from protocol.busy_tree import BusyTree
from tests.bench.suite import Bench, Case, Measured, Options, Runs

PAGE = 4096
OPERATIONS = 100_000
SIZES = (1_000, 10_000, 100_000)


class Tree(Protocol):
    """What is measured."""

    def find(self, addr: int) -> VmapArea | None: ...
    def insert(self, area: VmapArea) -> object: ...
    def unlink(self, va_start: int) -> VmapArea | None: ...


class FlatList:
    """One sorted list of starts and a dictionary of areas."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._by_start: dict[int, VmapArea] = {}

    def find(self, addr: int) -> VmapArea | None:
        position = bisect_right(self._starts, addr)
        area = self._by_start[self._starts[position - 1]] if position else None
        return area if area is not None and addr < area.va_end else None

    def insert(self, area: VmapArea) -> None:
        position = bisect_right(self._starts, area.va_start)
        if position and self._by_start[self._starts[position - 1]].va_end > area.va_start:
            raise ValueError(area)
        if position < len(self._starts) and self._starts[position] < area.va_end:
            raise ValueError(area)
        self._starts.insert(position, area.va_start)
        self._by_start[area.va_start] = area

    def unlink(self, va_start: int) -> VmapArea | None:
        del self._starts[bisect_right(self._starts, va_start) - 1]
        return self._by_start.pop(va_start)


class Sorted:
    """sortedcontainers' SortedDict of areas by start."""

    def __init__(self) -> None:
        self._areas: SortedDict = SortedDict()

    def find(self, addr: int) -> VmapArea | None:
        position = self._areas.bisect_right(addr)
        area: VmapArea | None = self._areas.peekitem(position - 1)[1] if position else None
        return area if area is not None and addr < area.va_end else None

    def insert(self, area: VmapArea) -> None:
        position = self._areas.bisect_right(area.va_start)
        if position and self._areas.peekitem(position - 1)[1].va_end > area.va_start:
            raise ValueError(area)
        if position < len(self._areas) and self._areas.peekitem(position)[0] < area.va_end:
            raise ValueError(area)
        self._areas[area.va_start] = area

    def unlink(self, va_start: int) -> VmapArea | None:
        area: VmapArea = self._areas.pop(va_start)
        return area


TREES: dict[str, Callable[[], Tree]] = {"BusyTree": BusyTree, "flat list": FlatList, "SortedDict": Sorted}


def measure(make: Callable[[], Tree], size: int, operations: int) -> tuple[float, float]:
    """Give microseconds per find of an interior address, and per unlink and insert, in a tree of `size` areas."""
    random = Random(size)
    areas = [VmapArea(2 * n * 8 * PAGE, (2 * n + 1) * 8 * PAGE) for n in range(size)]
    random.shuffle(areas)
    tree = make()
    for area in areas:
        tree.insert(area)
    drawn = [areas[int(random.random() * size)] for _ in range(operations)]
    began = time.process_time()
    for area in drawn:
        assert tree.find(area.va_start + 5 * PAGE) is area
    found = time.process_time()
    for area in drawn:
        tree.unlink(area.va_start)
        tree.insert(area)
    ended = time.process_time()
    return (found - began) / operations * 1e6, (ended - found) / operations * 1e6


def run(options: Options, *, make: Callable[[], Tree], size: int) -> Measured:
    """Measure a tree."""
    operations = int(OPERATIONS * options.scale)
    find_us, change_us = measure(make, size, operations)
    seconds = (find_us + change_us) * operations / 1e6
    return {"items": 2 * operations, "seconds": seconds, "find_us": find_us, "change_us": change_us}


def cases(options: Options) -> Mapping[str, Case]:
    """Each tree of each size."""
    sizes = [max(1, int(size * options.scale)) for size in SIZES]
    return {
        f"{name}, {size:,} areas": partial(run, make=make, size=size)
        for size in dict.fromkeys(sizes)
        for name, make in TREES.items()
    }


def times(runs: Runs) -> str:
    """Give both operations apart."""
    parts = [
        f"{case}: {min(one['find_us'] for one in several):.2f}, {min(one['change_us'] for one in several):.2f}"
        for case, several in runs.items()
    ]
    return f"Least µs of a find, and of an unlink and insert: {'; '.join(parts)}."


BENCH = Bench(
    title="The busy tree",
    about="Finding by an interior address, and an unlink and insert of the same area.",
    items="operations",
    cases=cases,
    remark=times,
)
