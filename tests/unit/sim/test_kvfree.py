"""What is left to kvfree_rcu(): when a CPU's monitor comes, what it hands over, and that it is freed later."""

from protocol.area import PAGE_SIZE, VmapArea
from sim.vmalloc_test.kvfree import KFREE_DRAIN_NS, LeftToRcu

TICK = 10


def area(page: int) -> VmapArea:
    return VmapArea(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)


def areas(*pages: int) -> list[VmapArea]:
    return [area(page) for page in pages]


def leave(left: LeftToRcu, *pages: int, cpu: int = 0) -> None:
    """Leave one area at each of these times."""
    for page in pages:
        left.leave(cpu, page, area(page))


def test_a_full_page_is_handed_over_with_what_came_since() -> None:
    """Its monitor comes at the second tick from then; the newer page is freed first, a grace period later."""
    left = LeftToRcu(grace_period_ns=100, bulk=2, tick_ns=TICK)
    leave(left, 1, 2, 3)
    assert left.next_ns() == 2 * TICK
    assert left.due(20) == []
    leave(left, 21)
    assert left.due(119) == []
    assert left.due(120) == [(0, areas(3, 1, 2))]
    assert left.next_ns() == 21 + KFREE_DRAIN_NS


def test_without_ticks_a_full_page_is_handed_over_at_once() -> None:
    """As where each area is a page of its own; and any number of them wait."""
    left = LeftToRcu(grace_period_ns=100, bulk=1)
    for page in (7, 8, 9, 10):
        leave(left, page)
        assert left.due(page) == []
    assert left.due(107) == [(0, areas(7))]
    assert left.due(110) == [(0, areas(8)), (0, areas(9)), (0, areas(10))]
    assert left.next_ns() is None


def test_the_rest_follows_after_five_seconds() -> None:
    """Counted from the first area; a page whose grace period is over by then waits for no other."""
    left = LeftToRcu(grace_period_ns=100, bulk=10, tick_ns=TICK)
    leave(left, 7, 900)
    assert left.next_ns() == 7 + KFREE_DRAIN_NS
    assert left.due(7 + KFREE_DRAIN_NS) == [(0, areas(7, 900))]
    assert left.next_ns() is None


def test_what_came_late_is_handed_over_after_five_seconds() -> None:
    """Its grace period is not over."""
    left = LeftToRcu(grace_period_ns=100, bulk=10, tick_ns=TICK)
    leave(left, 7)
    left.leave(0, KFREE_DRAIN_NS, area(8))
    assert left.due(7 + KFREE_DRAIN_NS) == []
    assert left.due(107 + KFREE_DRAIN_NS) == [(0, areas(7, 8))]


def test_a_cpu_has_two_batches_that_wait() -> None:
    """The third page waits until one of them is freed; the monitor comes again at each second tick."""
    left = LeftToRcu(grace_period_ns=100, bulk=1, tick_ns=TICK)
    for page in (0, 20, 40):
        leave(left, page)
        assert left.due(page + 2 * TICK) == []
    assert left.next_ns() == 80
    assert left.due(80) == []
    assert left.due(100) == []
    assert left.due(120) == [(0, areas(0))]
    assert left.due(140) == [(0, areas(20))]
    assert left.next_ns() == 220, "handed over at 120"


def test_cpus_collect_by_themselves() -> None:
    """Two CPUs with an area each do not fill a page of two, and each frees its own."""
    left = LeftToRcu(grace_period_ns=0, bulk=2)
    leave(left, 1)
    leave(left, 2, cpu=1)
    assert left.due(2) == []
    leave(left, 3, cpu=1)
    assert left.due(3) == [(1, areas(2, 3))]
