"""`BusyTree` against its slow twin: random walks by Hypothesis and long seeded ones."""

import random
from itertools import islice

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, invariant, multiple, rule

import protocol.busy_tree
from protocol.area import VmapArea
from protocol.busy_tree import BusyTree
from protocol.errors import AreaOverlap
from tests.twins.busy_tree import SlowBusyTree

END = 120
addresses = st.integers(0, END)
sizes = st.integers(1, 3) | st.integers(1, 30)


class Pair:
    """A `BusyTree` and its twin that get the same requests and must give the same answers."""

    def __init__(self) -> None:
        self.fast = BusyTree()
        self.slow = SlowBusyTree()

    def insert(self, area: VmapArea) -> bool:
        """Insert `area` in both, or see it refused by both; tell which."""
        try:
            self.slow.insert(area)
        except AreaOverlap:
            with pytest.raises(AreaOverlap):
                self.fast.insert(area)
            return False
        self.fast.insert(area)
        return True

    def unlink(self, va_start: int) -> VmapArea | None:
        got = self.fast.unlink(va_start)
        assert got == self.slow.unlink(va_start)
        return got

    def search(self, addr: int) -> None:
        """Search for `addr` in every way there is."""
        assert self.fast.find(addr) == self.slow.find(addr)
        assert self.fast.find_exceed(addr) == self.slow.find_exceed(addr)
        assert list(islice(self.fast.iterate_from(addr), 20)) == list(islice(self.slow.iterate_from(addr), 20))

    def check(self) -> None:
        self.slow._check()
        self.fast._check()
        assert list(self.fast) == list(self.slow)
        assert len(self.fast) == len(self.slow)
        assert (self.fast.depth, self.fast.bytes_busy) == (self.slow.depth, self.slow.bytes_busy)


class BusyTreeMachine(RuleBasedStateMachine):
    """After every step both give the same answers and hold the same areas."""

    known = Bundle[VmapArea]("known")

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(protocol.busy_tree, "LEAF_MAX", 3)
        self.pair = Pair()

    def teardown(self) -> None:
        self.patch.undo()

    @rule(target=known, va_start=addresses, size=sizes)
    def insert(self, va_start: int, size: int) -> VmapArea:
        area = VmapArea(va_start, va_start + size)
        self.pair.insert(area)
        return area

    @rule(target=known, starts=st.permutations(range(0, END, 6)), size=st.integers(1, 6))
    def fill(self, starts: list[int], size: int) -> MultipleResults[VmapArea]:
        """Insert many in any order, so that leaves split in the middle."""
        areas = [VmapArea(va_start, va_start + size) for va_start in starts]
        return multiple(*(area for area in areas if self.pair.insert(area)))

    @rule(area=known)
    def unlink(self, area: VmapArea) -> None:
        """Areas stay in the bundle, so this takes some of them out twice."""
        self.pair.unlink(area.va_start)

    @rule(va_start=addresses)
    def unlink_anything(self, va_start: int) -> None:
        self.pair.unlink(va_start)

    @rule(low=addresses, high=addresses)
    def clear(self, low: int, high: int) -> None:
        """Take out all areas of a range, so that leaves become empty."""
        for area in list(self.pair.slow):
            if low <= area.va_start <= high:
                assert self.pair.unlink(area.va_start) == area

    @rule(addr=st.integers(-1, END + 31))
    def search(self, addr: int) -> None:
        self.pair.search(addr)

    @rule(area=known)
    def search_around(self, area: VmapArea) -> None:
        for addr in (area.va_start - 1, area.va_start, area.va_end - 1, area.va_end):
            self.pair.search(addr)

    @invariant()
    def same(self) -> None:
        self.pair.check()


BusyTreeMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, print_blob=True
)
TestBusyTree = BusyTreeMachine.TestCase


@pytest.mark.parametrize(("seed", "leaf_max"), [(1, 8), (2, 1024)])
def test_thousands_of_areas(seed: int, leaf_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill, hold and empty a tree, with small leaves and with those of the real size."""
    monkeypatch.setattr(protocol.busy_tree, "LEAF_MAX", leaf_max)
    chance = random.Random(seed)
    end = 40_000
    pair = Pair()
    most = 0
    for step in range(12_000):
        addr = chance.randrange(end)
        # Grow, hold, shrink: the odds of taking out rise from third to third.
        if len(pair.slow) and chance.random() < (0.02, 0.5, 0.9)[step // 4_000]:
            exact = pair.slow.areas[chance.randrange(len(pair.slow))].va_start
            pair.unlink(chance.choice([exact, exact, exact, addr]))
        else:
            pair.insert(VmapArea(addr, addr + chance.randint(1, 3)))
        if step % 4 == 0:
            pair.search(chance.randrange(-1, end + 5))
        if step % 500 == 0:
            pair.check()
        most = max(most, len(pair.slow))
    assert most > 3_000
    pair.check()
    for area in list(pair.slow):
        assert pair.unlink(area.va_start) == area
    pair.check()
    assert len(pair.fast) == 0
