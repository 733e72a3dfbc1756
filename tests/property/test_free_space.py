"""`FreeSpace` against its slow twin: random walks by Hypothesis and a long seeded one."""

import random
from itertools import groupby

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from protocol.area import VmapArea
from protocol.errors import AreaOverlap, BadRange
from protocol.free_space import FreeSpace
from tests.twins.free_space import SlowFreeSpace, shape_of

START, END = 3, 131  # no multiple of any alignment, small enough to fill up
addresses = st.integers(START - 2, END + 2)
sizes = st.integers(1, 12) | st.integers(1, END - START)
alignments = st.sampled_from([1, 2, 4, 8, 16, 64])
PAGE = 4
"""Alignments above this make the kernel look for longer ranges than it needs."""


class Pair:
    """A `FreeSpace` and its twin that get the same requests and must give the same answers."""

    def __init__(self, start: int, end: int) -> None:
        self.fast = FreeSpace(start, end, page_size=PAGE)
        self.slow = SlowFreeSpace(start, end)
        self.bytes_total = end - start
        self.bytes_taken = 0

    def allocate(self, size: int, align: int, vstart: int, vend: int) -> VmapArea | None:
        shape = shape_of(self.fast) if align > PAGE else None
        lowest = SlowFreeSpace(self.slow.start, self.slow.end)
        lowest.ranges = list(self.slow.ranges)
        foretold = self.fast.peek(size, align, vstart, vend)
        assert not self.fast.allocate_at(-1 if foretold is None else foretold + 1, size, align, vstart, vend)
        got: VmapArea | None
        if foretold is not None and size % 2:
            assert self.fast.allocate_at(foretold, size, align, vstart, vend)
            got = VmapArea(foretold, foretold + size)
        else:
            got = self.fast.allocate(size, align, vstart, vend)
        assert foretold == (None if got is None else got.va_start)
        assert got == self.slow.allocate(size, align, vstart, vend, shape)
        best = lowest.allocate(size, align, vstart, vend)
        assert got is None or (best is not None and best.va_start <= got.va_start)
        self.bytes_taken += 0 if got is None else got.size
        return got

    def allocate_percpu(self, offsets: list[int], sizes: list[int], align: int) -> list[VmapArea] | None:
        got = self.fast.allocate_percpu(offsets, sizes, align, self.slow.start, self.slow.end)
        assert got == self.slow.allocate_percpu(offsets, sizes, align, self.slow.start, self.slow.end)
        self.bytes_taken += sum(area.size for area in got or ())
        return got

    def take(self, area: VmapArea) -> bool:
        """Take `area` in both, or see it refused by both."""
        try:
            self.slow.take(area)
        except BadRange:
            with pytest.raises(BadRange):
                self.fast.take(area.va_start, area.va_end)
            return False
        assert self.fast.holds(area.va_start, area.va_end)
        self.fast.take(area.va_start, area.va_end)
        self.bytes_taken += area.size
        return True

    def release(self, area: VmapArea) -> None:
        """Release `area` in both, or see it refused by both."""
        try:
            self.slow.release(area)
        except (AreaOverlap, BadRange) as error:
            with pytest.raises(type(error)):
                self.fast.release(area)
        else:
            self.fast.release(area)
            self.bytes_taken -= area.size

    def check(self) -> None:
        self.slow._check()
        self.fast._check()
        assert shape_of(self.fast.copy()) == shape_of(self.fast)
        assert list(self.fast) == list(self.slow)
        assert (len(self.fast), self.fast.largest) == (len(self.slow), self.slow.largest)
        assert self.fast.bytes_free == self.slow.bytes_free == self.bytes_total - self.bytes_taken


class FreeSpaceMachine(RuleBasedStateMachine):
    """After every step both give the same answers and hold the same ranges, and no byte is lost."""

    taken = Bundle[VmapArea]("taken")

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(START, END)

    @initialize(target=taken, pattern=st.binary(max_size=(END - START) // 8))
    def fragment(self, pattern: bytes) -> MultipleResults[VmapArea]:
        """Begin with a byte taken for each 0 bit of `pattern`, free for each 1, and free beyond it."""
        bits = "".join(f"{byte:08b}" for byte in pattern)
        runs = [(bit, self.pair.allocate(len(list(run)), 1, START, END)) for bit, run in groupby(bits)]
        for bit, area in runs:
            if area is not None and bit == "1":
                self.pair.release(area)
        return multiple(*(area for bit, area in runs if area is not None and bit == "0"))

    @rule(target=taken)
    def exhaust(self) -> MultipleResults[VmapArea]:
        """Take all that is left, the largest range first."""
        areas = []
        while largest := self.pair.slow.largest:
            area = self.pair.allocate(largest, 1, START, END)
            assert area is not None
            areas.append(area)
        return multiple(*areas)

    @rule(target=taken, size=sizes, align=alignments)
    def allocate(self, size: int, align: int) -> MultipleResults[VmapArea]:
        got = self.pair.allocate(size, align, START, END)
        return multiple() if got is None else multiple(got)

    @rule(target=taken, size=sizes, align=alignments, one=addresses, other=addresses)
    def allocate_within(self, size: int, align: int, one: int, other: int) -> MultipleResults[VmapArea]:
        got = self.pair.allocate(size, align, min(one, other), max(one, other))
        return multiple() if got is None else multiple(got)

    @rule(target=taken, va_start=addresses, size=st.integers(0, 12))
    def take_anything(self, va_start: int, size: int) -> MultipleResults[VmapArea]:
        area = VmapArea(va_start, va_start + size)
        return multiple(area) if self.pair.take(area) else multiple()

    @rule(target=taken, gaps=st.lists(st.integers(0, 3), min_size=1, max_size=4), data=st.data())
    def allocate_percpu(self, gaps: list[int], data: st.DataObject) -> MultipleResults[VmapArea]:
        """Groups of up to 3 units of 4 bytes, gaps of up to 3 between them, in any order."""
        offsets, sizes, end = [], [], 0
        for gap in gaps:
            offsets.append(end + 4 * gap)
            sizes.append(4 * data.draw(st.integers(1, 3)))
            end = offsets[-1] + sizes[-1]
        order = data.draw(st.permutations(range(len(gaps))))
        areas = self.pair.allocate_percpu([offsets[i] for i in order], [sizes[i] for i in order], 4)
        return multiple(*areas) if areas else multiple()

    @rule(area=taken)
    def release(self, area: VmapArea) -> None:
        """Areas stay in the bundle, so this frees some of them twice."""
        self.pair.release(area)

    @rule(va_start=addresses, size=st.integers(0, 12))
    def release_anything(self, va_start: int, size: int) -> None:
        self.pair.release(VmapArea(va_start, va_start + size))

    @invariant()
    def same(self) -> None:
        self.pair.check()


FreeSpaceMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, print_blob=True
)
TestFreeSpace = FreeSpaceMachine.TestCase


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_thousands_of_blocks(seed: int) -> None:
    """Fill, fragment and empty a space, long enough for every way to rebalance the tree."""
    chance = random.Random(seed)
    end = 16_000
    pair = Pair(0, end)
    taken: list[VmapArea] = []
    for step in range(12_000):
        # Grow until requests fail, hold, shrink: the odds of releasing rise from third to third.
        if taken and chance.random() < (0.1, 0.5, 0.8)[step // 4_000]:
            index = chance.randrange(len(taken))
            taken[index], taken[-1] = taken[-1], taken[index]
            pair.release(taken.pop())
        else:
            vstart = chance.choice([0, chance.randrange(end)])
            vend = chance.choice([end, chance.randint(vstart, end)])
            got = pair.allocate(chance.randint(1, 8), chance.choice([1, 1, 1, 2, 4, 16]), vstart, vend)
            taken += [] if got is None else [got]
        if step % 100 == 0:
            pair.check()
    for area in taken:
        pair.release(area)
    pair.check()
    assert list(pair.fast) == [VmapArea(0, end)]
