"""Pools: classes by size, the head only, what a decay takes."""

import pytest

from protocol.area import PAGE_SIZE, VmapArea
from protocol.pools import Decay, Pools, decaying, merged


def area(page: int, pages: int = 2) -> VmapArea:
    return VmapArea(page * PAGE_SIZE, (page + pages) * PAGE_SIZE)


def filled(*areas: VmapArea) -> Pools:
    pools = Pools()
    for one in areas:
        assert pools.add(one)
    pools._check()
    return pools


def test_last_in_is_first_out() -> None:
    pools = filled(area(0), area(10), area(20))
    assert [pools.take(2 * PAGE_SIZE, 1) for _ in range(4)] == [area(20), area(10), area(0), None]


def test_a_class_is_for_one_size_only() -> None:
    pools = filled(area(0, 2), area(10, 3))
    assert pools.take(PAGE_SIZE, 1) is None
    assert pools.take(4 * PAGE_SIZE, 1) is None
    assert pools.take(3 * PAGE_SIZE, 1) == area(10, 3)
    assert pools.lengths == {2: 1}


def test_an_area_of_256_pages_is_kept_and_one_of_257_is_not() -> None:
    """vmalloc(1 MiB) is 256 pages and the guard page: it misses the pools by one page."""
    pools = Pools()
    assert pools.add(area(0, 256))
    assert not pools.add(area(1000, 257))
    assert pools.take(257 * PAGE_SIZE, 1) is None
    assert pools.holds_none(257 * PAGE_SIZE)
    assert not pools.holds_none(256 * PAGE_SIZE)
    assert (len(pools), pools.bytes) == (1, 256 * PAGE_SIZE)


def test_a_misaligned_head_goes_to_the_tail_and_nothing_else_is_looked_at() -> None:
    """The second entry would do, and is what the next request gets."""
    pools = filled(area(0), area(8), area(3))
    assert pools.take(2 * PAGE_SIZE, 4 * PAGE_SIZE) is None
    assert list(pools) == [area(8), area(0), area(3)]
    assert pools.take(2 * PAGE_SIZE, 4 * PAGE_SIZE) == area(8)
    pools._check()


@pytest.mark.parametrize(
    ("length", "version", "count"),
    [
        (0, "underflow", 0),
        (1, "underflow", 1),
        (2, "underflow", 2),
        (3, "underflow", 3),
        (4, "underflow", 1),
        (7, "underflow", 1),
        (8, "underflow", 2),
        (1, "mended", 0),
        (3, "mended", 0),
        (4, "mended", 1),
        (9, "mended", 2),
        (9, "none", 0),
    ],
)
def test_a_decay_takes_a_quarter(length: int, version: Decay, count: int) -> None:
    """Up to v6.15 one to three areas are all taken: the counter wraps around."""
    assert decaying(length, full=False, version=version) == count
    assert decaying(length, full=True, version=version) == length


def test_a_decay_takes_from_the_head_and_gives_in_address_order_merged() -> None:
    areas = [area(page) for page in (0, 20, 40, 60, 80, 100, 50, 10)]
    pools = filled(*areas, area(200, 3), area(12, 3))
    assert pools.decay(full=False, version="underflow") == [area(10, 5), area(50), area(200, 3)]
    assert list(pools) == [area(page) for page in (100, 80, 60, 40, 20, 0)]
    pools._check()
    assert pools.decay(full=True, version="mended") == [area(page) for page in (0, 20, 40, 60, 80, 100)]
    assert (len(pools), pools.bytes, list(pools)) == (0, 0, [])
    pools._check()


def test_discard_takes_out_one_wherever_it_is() -> None:
    pools = filled(area(0), area(10), area(20))
    assert pools.discard(area(10))
    assert not pools.discard(area(10))
    assert not pools.discard(area(0, 3))
    assert pools.discard(area(20))
    assert pools.discard(area(0))
    assert pools.holds_none(2 * PAGE_SIZE)
    pools._check()


def test_merging_joins_chains() -> None:
    assert merged([area(4), area(0), area(2), area(7)]) == [area(0, 6), area(7)]
    assert merged([]) == []
