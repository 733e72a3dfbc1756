"""What is left to kvfree_rcu(): handed over by the page, or after five seconds, and freed a grace period later."""

from protocol.area import PAGE_SIZE, VmapArea
from sim.vmalloc_test.kvfree import KFREE_DRAIN_NS, LeftToRcu


def area(page: int) -> VmapArea:
    return VmapArea(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)


def test_a_full_page_is_handed_over_at_once() -> None:
    """Three areas of one CPU with pages of two: two are due after a grace period, the third is not."""
    left = LeftToRcu(grace_period_ns=100, bulk=2)
    for page in range(3):
        left.leave(0, page, area(page))
    assert left.next_ns() == 101
    assert left.due(100) == []
    assert left.due(101) == [area(0), area(1)]
    assert left.next_ns() == 2 + KFREE_DRAIN_NS


def test_the_rest_follows_after_five_seconds() -> None:
    """Counted from the first area that the page got, and a grace period on top."""
    left = LeftToRcu(grace_period_ns=100, bulk=10)
    left.leave(0, 7, area(1))
    left.leave(0, 900, area(2))
    asked_ns = left.next_ns()
    assert asked_ns == 7 + KFREE_DRAIN_NS
    assert left.due(asked_ns) == []
    assert left.due(asked_ns + 100) == [area(1), area(2)]
    assert left.next_ns() is None


def test_cpus_collect_by_themselves() -> None:
    """Two CPUs with an area each do not fill a page of two."""
    left = LeftToRcu(grace_period_ns=0, bulk=2)
    left.leave(0, 0, area(1))
    left.leave(1, 0, area(2))
    assert left.due(0) == []
    left.leave(1, 5, area(3))
    assert left.due(5) == [area(2), area(3)]
