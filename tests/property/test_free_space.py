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
from tests.twins.free_space import SlowFreeSpace

START, END = 3, 131  # no multiple of any alignment, small enough to fill up
addresses = st.integers(START - 2, END + 2)
sizes = st.integers(1, 12) | st.integers(1, END - START)
alignments = st.sampled_from([1, 2, 4, 8, 16, 64])


class Pair:
    """A `FreeSpace` and its twin that get the same requests and must give the same answers."""

    def __init__(self, start: int, end: int) -> None:
        self.fast = FreeSpace(start, end)
        self.slow = SlowFreeSpace(start, end)
        self.bytes_total = end - start
        self.bytes_taken = 0

    def allocate(self, size: int, align: int, vstart: int, vend: int) -> VmapArea | None:
        got = self.fast.allocate(size, align, vstart, vend)
        assert got == self.slow.allocate(size, align, vstart, vend)
        self.bytes_taken += 0 if got is None else got.size
        return got

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


@pytest.mark.parametrize("seed", [1, 2, 3])
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
