"""The busy tree, small: every search, every refusal, how leaves split, what `_check()` notices."""

from collections.abc import Callable, Iterable

import pytest

import protocol.busy_tree
from protocol.area import PAGE_SIZE, VMALLOC_START, VmapArea
from protocol.busy_tree import BusyTree
from protocol.errors import AreaOverlap

RANGES = [(10, 20), (20, 30), (40, 45), (60, 90)]
"""Two that touch, a gap, one, a gap, one."""


@pytest.fixture(params=[2, 1024])
def leaf_max(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let leaves hold that many areas: with 2 a few areas make a tree of several leaves."""
    most: int = request.param
    monkeypatch.setattr(protocol.busy_tree, "LEAF_MAX", most)
    return most


@pytest.fixture
def tree(leaf_max: int) -> BusyTree:
    """Make a tree that holds exactly `RANGES`."""
    made = tree_with(*RANGES)
    assert len(made._leaves) == (3 if leaf_max == 2 else 1)
    return made


def tree_with(*ranges: tuple[int, int]) -> BusyTree:
    made = BusyTree()
    for va_start, va_end in ranges:
        made.insert(VmapArea(va_start, va_end))
    return made


def pairs(areas: Iterable[VmapArea]) -> list[tuple[int, int]]:
    return [(area.va_start, area.va_end) for area in areas]


def unchanged(tree: BusyTree) -> bool:
    """Tell whether `tree` is sound and holds exactly `RANGES`."""
    tree._check()
    return (pairs(tree), len(tree), tree.depth, tree.bytes_busy) == (RANGES, 4, 3, 55)


def test_a_new_tree_has_nothing_and_finds_nothing() -> None:
    tree = BusyTree()
    assert (list(tree), len(tree), tree.depth, tree.bytes_busy) == ([], 0, 0, 0)
    assert tree.find(0) is tree.find_exceed(0) is tree.unlink(0) is None
    assert list(tree.iterate_from(0)) == []
    tree._check()


@pytest.mark.parametrize(
    ("addr", "found"),
    [
        pytest.param(0, None, id="below all"),
        pytest.param(9, None, id="byte before the first"),
        pytest.param(10, (10, 20), id="start"),
        pytest.param(15, (10, 20), id="interior"),
        pytest.param(19, (10, 20), id="last byte"),
        pytest.param(20, (20, 30), id="end of one, start of the next"),
        pytest.param(30, None, id="end, before a gap"),
        pytest.param(39, None, id="last byte of a gap"),
        pytest.param(44, (40, 45), id="last byte before a gap"),
        pytest.param(89, (60, 90), id="last byte of all"),
        pytest.param(90, None, id="end of all"),
    ],
)
def test_find_gives_the_area_around_the_address(tree: BusyTree, addr: int, found: tuple[int, int] | None) -> None:
    assert tree.find(addr) == (None if found is None else VmapArea(*found))


def test_the_guard_page_belongs_to_the_area() -> None:
    """A fault on it is to be told apart from one on an address that nobody has."""
    guarded = VmapArea(VMALLOC_START, VMALLOC_START + 3 * PAGE_SIZE)
    tree = tree_with((guarded.va_start, guarded.va_end))
    assert tree.find(guarded.va_end - PAGE_SIZE) == guarded
    assert tree.find(guarded.va_end - 1) == guarded
    assert tree.find(guarded.va_end) is None


@pytest.mark.parametrize(
    ("addr", "found"),
    [
        pytest.param(0, (10, 20), id="below all"),
        pytest.param(10, (10, 20), id="start"),
        pytest.param(19, (10, 20), id="last byte"),
        pytest.param(20, (20, 30), id="end of one, start of the next"),
        pytest.param(30, (40, 45), id="end, before a gap"),
        pytest.param(39, (40, 45), id="last byte of a gap"),
        pytest.param(45, (60, 90), id="before the next gap"),
        pytest.param(89, (60, 90), id="last byte of all"),
        pytest.param(90, None, id="end of all"),
    ],
)
def test_find_exceed_gives_the_first_area_that_ends_above_the_address(
    tree: BusyTree, addr: int, found: tuple[int, int] | None
) -> None:
    assert tree.find_exceed(addr) == (None if found is None else VmapArea(*found))


@pytest.mark.parametrize(
    ("start", "left_out"),
    [
        pytest.param(0, 0, id="below all"),
        pytest.param(10, 0, id="at the first"),
        pytest.param(11, 1, id="within the first"),
        pytest.param(20, 1, id="at the second"),
        pytest.param(35, 2, id="in a gap"),
        pytest.param(41, 3, id="within the third"),
        pytest.param(60, 3, id="at the last"),
        pytest.param(61, 4, id="within the last"),
    ],
)
def test_iterate_from_gives_in_order_what_starts_there_or_above(tree: BusyTree, start: int, left_out: int) -> None:
    assert pairs(tree.iterate_from(start)) == RANGES[left_out:]


@pytest.mark.parametrize(
    ("va_start", "va_end", "taken"),
    [
        pytest.param(10, 20, (10, 20), id="the same range"),
        pytest.param(10, 11, (10, 20), id="the same start"),
        pytest.param(12, 18, (10, 20), id="inside one"),
        pytest.param(29, 35, (20, 30), id="on the last byte of one"),
        pytest.param(35, 41, (40, 45), id="on the first byte of one"),
        pytest.param(5, 11, (10, 20), id="on the first byte of all"),
        pytest.param(89, 99, (60, 90), id="on the last byte of all"),
        pytest.param(35, 50, (40, 45), id="around one"),
        pytest.param(30, 100, (40, 45), id="around two"),
        pytest.param(0, 100, (10, 20), id="around all"),
        pytest.param(25, 41, (20, 30), id="from one into the next"),
        pytest.param(45, 61, (60, 90), id="touching one, into the next"),
    ],
)
def test_an_overlap_is_refused_naming_both_and_changes_nothing(
    tree: BusyTree, va_start: int, va_end: int, taken: tuple[int, int]
) -> None:
    area = VmapArea(va_start, va_end)
    with pytest.raises(AreaOverlap) as caught:
        tree.insert(area)
    assert str(caught.value) == f"{area} overlaps with {VmapArea(*taken)}"
    assert unchanged(tree)


@pytest.mark.parametrize(
    ("va_start", "va_end"),
    [
        pytest.param(0, 10, id="up to the first"),
        pytest.param(30, 40, id="a whole gap"),
        pytest.param(30, 31, id="after one"),
        pytest.param(59, 60, id="before one"),
        pytest.param(90, 91, id="after all"),
    ],
)
def test_areas_may_touch(tree: BusyTree, va_start: int, va_end: int) -> None:
    tree.insert(VmapArea(va_start, va_end))
    assert pairs(tree) == sorted([*RANGES, (va_start, va_end)])
    assert (len(tree), tree.depth, tree.bytes_busy) == (5, 3, 55 + va_end - va_start)
    tree._check()


@pytest.mark.parametrize("taken", RANGES)
def test_unlink_takes_out_the_area_that_starts_there(tree: BusyTree, taken: tuple[int, int]) -> None:
    area = VmapArea(*taken)
    assert tree.unlink(area.va_start) == area
    assert pairs(tree) == [pair for pair in RANGES if pair != taken]
    assert (len(tree), tree.depth, tree.bytes_busy) == (3, 2, 55 - area.size)
    tree._check()
    tree.insert(area)
    assert unchanged(tree)


@pytest.mark.parametrize("va_start", [0, 9, 11, 30, 35, 89, 90])
def test_unlink_of_what_is_no_start_changes_nothing(tree: BusyTree, va_start: int) -> None:
    assert tree.unlink(va_start) is None
    assert unchanged(tree)


def test_depth_follows_the_number_of_areas_up_and_down() -> None:
    tree = BusyTree()
    depths = []
    for va_start in range(9):
        depths.append(tree.depth)
        tree.insert(VmapArea(va_start, va_start + 1))
    assert depths == [0, 1, 2, 2, 3, 3, 3, 3, 4]
    for va_start in range(9):
        tree.unlink(va_start)
        depths.append(tree.depth)
    assert depths[9:] == [4, 3, 3, 3, 3, 2, 2, 1, 0]


# -- leaves -----------------------------------------------------------------------------------------


@pytest.fixture
def leaves_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leaves hold four areas."""
    monkeypatch.setattr(protocol.busy_tree, "LEAF_MAX", 4)


@pytest.mark.usefixtures("leaves_of_four")
@pytest.mark.parametrize(
    ("starts", "leaves"),
    [
        pytest.param([0, 2, 4, 6], [[0, 2, 4, 6]], id="a full leaf"),
        pytest.param([0, 2, 4, 6, 8], [[0, 2], [4, 6, 8]], id="one more, above"),
        pytest.param([8, 6, 4, 2, 0], [[0, 2], [4, 6, 8]], id="one more, below"),
        pytest.param(range(0, 14, 2), [[0, 2], [4, 6], [8, 10, 12]], id="upwards, the last splits"),
        pytest.param(range(14, -2, -2), [[0, 2], [4, 6, 8], [10, 12, 14]], id="downwards, the first splits"),
        pytest.param([0, 2, 4, 8, 10, 6, 7], [[0, 2], [4, 6], [7, 8, 10]], id="the middle splits"),
    ],
)
def test_a_leaf_splits_in_halves_when_it_is_over_full(starts: Iterable[int], leaves: list[list[int]]) -> None:
    tree = tree_with(*((va_start, va_start + 1) for va_start in starts))
    assert tree._leaves == leaves
    assert tree._heads == [leaf[0] for leaf in leaves]
    tree._check()


@pytest.mark.usefixtures("leaves_of_four")
@pytest.mark.parametrize(
    ("unlinked", "leaves"),
    [
        pytest.param([0], [[2], [4, 6], [8, 10, 12]], id="the first start"),
        pytest.param([8], [[0, 2], [4, 6], [10, 12]], id="a head"),
        pytest.param([6], [[0, 2], [4], [8, 10, 12]], id="no head"),
        pytest.param([0, 2], [[4, 6], [8, 10, 12]], id="the first leaf"),
        pytest.param([6, 4], [[0, 2], [8, 10, 12]], id="a middle leaf"),
        pytest.param([8, 12, 10], [[0, 2], [4, 6]], id="the last leaf"),
        pytest.param(range(0, 14, 2), [[]], id="all"),
    ],
)
def test_a_leaf_that_becomes_empty_goes_unless_it_is_the_only_one(
    unlinked: Iterable[int], leaves: list[list[int]]
) -> None:
    tree = tree_with(*((va_start, va_start + 1) for va_start in range(0, 14, 2)))
    for va_start in unlinked:
        assert tree.unlink(va_start) == VmapArea(va_start, va_start + 1)
        tree._check()
    assert tree._leaves == leaves


@pytest.mark.usefixtures("leaves_of_four")
def test_an_emptied_tree_serves_anew_below_and_above_what_it_had() -> None:
    for va_start in (0, 50, 99):
        tree = tree_with((50, 60))
        tree.unlink(50)
        tree.insert(VmapArea(va_start, va_start + 1))
        assert tree.find(va_start) == VmapArea(va_start, va_start + 1)
        tree._check()


@pytest.mark.usefixtures("leaves_of_four")
def test_an_area_below_all_leaves_goes_into_the_first() -> None:
    tree = tree_with(*((va_start, va_start + 1) for va_start in range(10, 20)))
    tree.insert(VmapArea(3, 4))
    assert tree._heads[0] == 3
    assert tree.find(3) == VmapArea(3, 4)
    assert tree.find(2) is tree.find(4) is None
    tree._check()


# -- damage -----------------------------------------------------------------------------------------


def break_number_of_heads(tree: BusyTree) -> None:
    tree._heads.append(100)


def break_head(tree: BusyTree) -> None:
    tree._heads[1] -= 1


def break_order_in_a_leaf(tree: BusyTree) -> None:
    tree._leaves[1].reverse()


def break_order_of_leaves(tree: BusyTree) -> None:
    tree._leaves.reverse()
    tree._heads.reverse()


def break_leaf_size(tree: BusyTree) -> None:
    tree._leaves[0] += tree._leaves.pop(1) + tree._leaves.pop(1)
    del tree._heads[1:3]


def break_start_in_a_leaf(tree: BusyTree) -> None:
    tree._leaves[1].pop()


def break_area_of_a_start(tree: BusyTree) -> None:
    del tree._by_start[6]


def break_apartness(tree: BusyTree) -> None:
    tree._by_start[4] = VmapArea(4, 7)
    tree.bytes_busy += 2


def break_emptiness(tree: BusyTree) -> None:
    tree._by_start[4] = VmapArea(4, 4)
    tree.bytes_busy -= 1


def break_leaf_emptiness(tree: BusyTree) -> None:
    tree._leaves.append([])
    tree._heads.append(99)


def break_key(tree: BusyTree) -> None:
    tree._by_start[4] = VmapArea(5, 6)


def break_depth(tree: BusyTree) -> None:
    tree.depth += 1


def break_bytes_busy(tree: BusyTree) -> None:
    tree.bytes_busy += 1


@pytest.mark.usefixtures("leaves_of_four")
@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (break_number_of_heads, "heads and leaves differ in number"),
        (break_head, "a head is not its leaf's first start"),
        (break_order_in_a_leaf, "the leaves do not hold the starts in order"),
        (break_order_of_leaves, "the leaves do not hold the starts in order"),
        (break_leaf_size, "a leaf is too full"),
        (break_start_in_a_leaf, "the leaves do not hold the starts in order"),
        (break_area_of_a_start, "the leaves do not hold the starts in order"),
        (break_apartness, "areas overlap"),
        (break_emptiness, "an area is empty"),
        (break_leaf_emptiness, "a leaf is empty"),
        (break_key, "an area is kept under another start"),
        (break_depth, "depth is off"),
        (break_bytes_busy, "bytes_busy is off"),
    ],
)
def test_check_notices_each_kind_of_damage(damage: Callable[[BusyTree], None], text: str) -> None:
    """The other tests lean on `_check()`, so it must be able to fail."""
    tree = tree_with(*((va_start, va_start + 1) for va_start in range(0, 14, 2)))
    tree._check()
    damage(tree)
    with pytest.raises(AssertionError, match=text):
        tree._check()
