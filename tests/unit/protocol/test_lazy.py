"""The lazy tree: order at detach, merging until v6.8."""

import pytest

from protocol.area import VmapArea, encode_vn_id
from protocol.errors import AreaOverlap
from protocol.lazy import LazyTree


def filled(*ranges: tuple[int, int], merges: bool = False) -> LazyTree:
    lazy = LazyTree(merges=merges)
    for start, end in ranges:
        lazy.add(VmapArea(start, end))
    lazy._check()
    return lazy


def test_areas_are_detached_in_address_order_and_keep_their_node() -> None:
    lazy = filled((4, 5), (1, 3))
    lazy.add(VmapArea(3, 4, encode_vn_id(7)))
    assert (len(lazy), lazy.bytes, lazy.depth) == (3, 4, 2)
    detached = lazy.detach()
    assert detached == [VmapArea(1, 3), VmapArea(3, 4), VmapArea(4, 5)]
    assert [area.flags for area in detached] == [0, encode_vn_id(7), 0]
    assert (len(lazy), lazy.bytes, lazy.detach()) == (0, 0, [])


def test_until_v6_8_areas_that_touch_are_merged() -> None:
    lazy = filled((1, 3), (7, 9), (20, 30), merges=True)
    lazy.add(VmapArea(3, 7))
    lazy._check()
    lazy.add(VmapArea(30, 31))
    lazy.add(VmapArea(19, 20))
    lazy._check()
    assert lazy.bytes == 8 + 12
    assert lazy.detach() == [VmapArea(1, 9), VmapArea(19, 31)]
    lazy._check()


@pytest.mark.parametrize("merges", [False, True])
def test_an_area_is_not_freed_twice(merges: bool) -> None:
    lazy = filled((1, 3), merges=merges)
    with pytest.raises(AreaOverlap, match="freed twice"):
        lazy.add(VmapArea(1, 3))
    assert lazy.bytes == 2


def test_discard_takes_out_exactly_one_area() -> None:
    lazy = filled((1, 3), (5, 6))
    assert not lazy.discard(VmapArea(1, 2))
    assert lazy.discard(VmapArea(1, 3))
    assert not lazy.discard(VmapArea(1, 3))
    lazy._check()
    assert list(lazy) == [VmapArea(5, 6)]
