from collections.abc import Callable, Iterable
from contextlib import nullcontext

import pytest

from protocol.area import PAGE_SIZE, ULONG_MAX, VMALLOC_END, VMALLOC_START, VmapArea
from protocol.errors import AreaOverlap, BadRange
from protocol.free_space import FreeSpace
from tests.twins.free_space import shape_of

START, END = 100, 200
TOP = 1 << 20


def space_with(*free: tuple[int, int]) -> FreeSpace:
    """Make a space [0, TOP) in which exactly `free` is free."""
    space = FreeSpace(0, TOP)
    assert space.allocate(TOP, 1, 0, TOP) == VmapArea(0, TOP)
    for va_start, va_end in free:
        space.release(VmapArea(va_start, va_end))
    return space


def comb(count: int) -> FreeSpace:
    """Make a space with `count` free ranges of one byte, at 0, 2, 4, …"""
    return space_with(*((addr, addr + 1) for addr in range(0, 2 * count, 2)))


def ranges(space: Iterable[VmapArea]) -> list[tuple[int, int]]:
    return [(area.va_start, area.va_end) for area in space]


def test_a_new_space_is_one_free_range() -> None:
    space = FreeSpace(START, END)
    assert ranges(space) == [(START, END)]
    assert (len(space), space.bytes_free, space.largest) == (1, 100, 100)
    space._check()


@pytest.mark.parametrize(
    ("vstart", "vend", "left"),
    [
        pytest.param(START, END, [], id="whole block (FL)"),
        pytest.param(START, 130, [(130, END)], id="left edge (LE)"),
        pytest.param(170, END, [(START, 170)], id="right edge (RE)"),
        pytest.param(140, 160, [(START, 140), (160, END)], id="in the middle (NE)"),
    ],
)
def test_each_fit_leaves_the_rest_of_its_block(vstart: int, vend: int, left: list[tuple[int, int]]) -> None:
    space = FreeSpace(START, END)
    assert space.allocate(vend - vstart, 1, vstart, vend) == VmapArea(vstart, vend)
    assert ranges(space) == left
    assert space.bytes_free == 100 - (vend - vstart)
    space._check()


@pytest.mark.parametrize(
    ("free", "merged"),
    [
        pytest.param([(0, 10), (30, 40)], [(0, 10), (15, 25), (30, 40)], id="with none"),
        pytest.param([(0, 15), (30, 40)], [(0, 25), (30, 40)], id="with the left"),
        pytest.param([(0, 10), (25, 40)], [(0, 10), (15, 40)], id="with the right"),
        pytest.param([(0, 15), (25, 40)], [(0, 40)], id="with both"),
        pytest.param([], [(15, 25)], id="into a full space"),
        pytest.param([(25, 40)], [(15, 40)], id="with the lowest"),
        pytest.param([(0, 15)], [(0, 25)], id="with the highest"),
    ],
)
def test_released_ranges_join_what_they_touch(free: list[tuple[int, int]], merged: list[tuple[int, int]]) -> None:
    space = space_with(*free)
    space.release(VmapArea(15, 25))
    assert ranges(space) == merged
    space._check()


def test_the_lowest_range_that_fits_wins_over_better_fits_above() -> None:
    space = space_with((10, 14), (20, 30), (40, 45))
    assert space.allocate(5, 1, 0, TOP) == VmapArea(20, 25)


def test_an_aligned_request_takes_the_first_aligned_address_of_a_block() -> None:
    space = space_with((10, 64))
    assert space.allocate(8, 16, 0, TOP) == VmapArea(16, 24)
    assert ranges(space) == [(10, 16), (24, 64)]


def test_an_aligned_block_of_exactly_the_size_is_not_passed_over() -> None:
    """Where the kernel asks for size + align - 1 bytes and would go to 256."""
    space = space_with((64, 80), (250, 300))
    assert space.allocate(16, 64, 0, TOP) == VmapArea(64, 80)


def test_large_enough_but_badly_placed_blocks_are_passed_over() -> None:
    space = space_with((1, 16), (17, 32), (33, 48), (48, 60))
    assert space.allocate(12, 16, 0, TOP) == VmapArea(48, 60)
    assert space.allocate(15, 16, 0, TOP) is None
    space._check()


@pytest.mark.parametrize(
    ("vstart", "vend", "got"),
    [
        pytest.param(0, 15, 10, id="vend at the end of the fit"),
        pytest.param(0, 14, None, id="vend one short"),
        pytest.param(10, TOP, 10, id="vstart at the block"),
        pytest.param(11, TOP, 11, id="vstart within the block"),
        pytest.param(15, TOP, 15, id="the block's last fit"),
        pytest.param(16, TOP, 40, id="one beyond the block's last fit"),
        pytest.param(20, TOP, 40, id="vstart at the block's end"),
        pytest.param(30, 44, None, id="between blocks, vend one short"),
        pytest.param(17, 22, None, id="fits the window, not the block"),
        pytest.param(12, 12, None, id="an empty window"),
        pytest.param(50, TOP, None, id="above all blocks"),
    ],
)
def test_the_window_binds(vstart: int, vend: int, got: int | None) -> None:
    """`vstart` is the first address and `vend` the end that an allocation of 5 bytes may have."""
    space = space_with((10, 20), (40, 50))
    want = None if got is None else VmapArea(got, got + 5)
    assert space.allocate(5, 1, vstart, vend) == want
    space._check()


def test_alignment_above_vstart_still_respects_vend() -> None:
    space = space_with((0, 64))
    assert space.allocate(4, 32, 1, 35) is None
    assert space.allocate(4, 32, 1, 36) == VmapArea(32, 36)


@pytest.mark.parametrize(
    ("va_start", "va_end"),
    [
        pytest.param(20, 30, id="a free range again"),
        pytest.param(22, 28, id="inside a free range"),
        pytest.param(15, 35, id="around a free range"),
        pytest.param(29, 35, id="the last byte of a free range"),
        pytest.param(15, 21, id="the first byte of a free range"),
        pytest.param(30, 51, id="touching one, reaching into the next"),
        pytest.param(19, 50, id="from one neighbour to the other"),
        pytest.param(0, TOP, id="the whole space"),
    ],
)
def test_a_double_free_is_refused_and_changes_nothing(va_start: int, va_end: int) -> None:
    space = space_with((20, 30), (50, 60))
    with pytest.raises(AreaOverlap, match="double free"):
        space.release(VmapArea(va_start, va_end))
    assert ranges(space) == [(20, 30), (50, 60)]
    assert (space.bytes_free, space.largest) == (20, 10)
    space._check()


@pytest.mark.parametrize(
    ("va_start", "va_end"),
    [
        pytest.param(START - 1, 110, id="below"),
        pytest.param(190, END + 1, id="above"),
        pytest.param(END, END + 10, id="next to the space"),
        pytest.param(150, 150, id="empty"),
        pytest.param(160, 150, id="ends before it starts"),
    ],
)
def test_a_range_outside_the_space_is_refused_and_changes_nothing(va_start: int, va_end: int) -> None:
    space = FreeSpace(START, END)
    assert space.allocate(100, 1, START, END) is not None
    with pytest.raises(BadRange, match="outside the space"):
        space.release(VmapArea(va_start, va_end))
    assert (len(space), space.bytes_free, space.largest) == (0, 0, 0)
    space._check()


def test_a_space_serves_until_it_is_exhausted_and_is_whole_after_all_is_released() -> None:
    space = FreeSpace(START, END)
    areas = [space.allocate(10, 1, START, END) for _ in range(10)]
    assert areas == [VmapArea(addr, addr + 10) for addr in range(START, END, 10)]
    assert (len(space), space.bytes_free, space.largest) == (0, 0, 0)
    assert space.allocate(1, 1, START, END) is None
    for area in areas[::2] + areas[1::2]:
        assert area is not None
        space.release(area)
        space._check()
    assert ranges(space) == [(START, END)]


def test_free_bytes_in_small_pieces_do_not_serve_a_large_request() -> None:
    space = comb(50)
    assert (space.bytes_free, space.largest) == (50, 1)
    assert space.allocate(2, 1, 0, TOP) is None


def test_the_kernels_space_serves_the_vmalloc_window() -> None:
    space = FreeSpace(1, ULONG_MAX)
    got = space.allocate(2 * PAGE_SIZE, PAGE_SIZE, VMALLOC_START, VMALLOC_END)
    assert got == VmapArea(VMALLOC_START, VMALLOC_START + 2 * PAGE_SIZE)
    # The last page of the window would end one byte above VMALLOC_END.
    last = VMALLOC_END + 1 - PAGE_SIZE
    assert space.allocate(PAGE_SIZE, PAGE_SIZE, last, VMALLOC_END) is None
    space._check()


@pytest.mark.parametrize(
    ("size", "align", "vstart", "vend"),
    [(0, 1, 0, 10), (-1, 1, 0, 10), (1, 0, 0, 10), (1, -2, 0, 10), (1, 3, 0, 10), (1, 1, 11, 10)],
)
def test_a_request_that_makes_no_sense_is_a_defect_of_the_caller(
    size: int, align: int, vstart: int, vend: int
) -> None:
    with pytest.raises(AssertionError):
        FreeSpace(START, END).allocate(size, align, vstart, vend)


@pytest.mark.parametrize(("start", "end"), [(5, 5), (6, 5), (-1, 5)])
def test_a_space_holds_at_least_one_address_and_none_below_zero(start: int, end: int) -> None:
    with pytest.raises(AssertionError):
        FreeSpace(start, end)


def break_subtree_max(space: FreeSpace) -> None:
    tree = space._tree
    tree.subtree_max_size[tree.left[tree.root]] += 1


def break_black_height(space: FreeSpace) -> None:
    tree = space._tree
    node = tree._outermost(tree.root, tree.left)
    tree._red[node] = not tree._red[node]


def break_parent_link(space: FreeSpace) -> None:
    tree = space._tree
    tree.parent[tree.left[tree.root]] = tree.right[tree.root]


def break_order(space: FreeSpace) -> None:
    tree = space._tree
    tree.va_start[tree.root] -= 2
    tree.va_end[tree.root] -= 2


def break_apartness(space: FreeSpace) -> None:
    tree = space._tree
    tree.resize(tree.root, tree.va_start[tree.root] - 1, tree.va_end[tree.root])
    space._bytes_free += 1


def break_bytes_free(space: FreeSpace) -> None:
    space._bytes_free += 1


def break_length(space: FreeSpace) -> None:
    space._tree._len += 1


@pytest.mark.parametrize(
    "damage",
    [
        break_subtree_max,
        break_black_height,
        break_parent_link,
        break_order,
        break_apartness,
        break_bytes_free,
        break_length,
    ],
)
def test_check_notices_each_kind_of_damage(damage: Callable[[FreeSpace], None]) -> None:
    """The other tests lean on `_check()`, so it must be able to fail."""
    space = comb(20)
    space._check()
    damage(space)
    with pytest.raises(AssertionError):
        space._check()


def test_of_a_range_cut_in_two_the_upper_part_keeps_the_node() -> None:
    """The shape of the kernel's tree: the lower part is hung below it, to the left."""
    space = FreeSpace(0, 100)
    space.take(40, 60)
    assert shape_of(space) == ((None, (0, 40), None), (60, 100), None)
    space.take(10, 20)
    assert shape_of(space) == ((None, (0, 10), None), (20, 40), (None, (60, 100), None))


def test_a_range_that_joins_both_neighbours_keeps_the_node_of_the_lower_one() -> None:
    space = FreeSpace(0, 100)
    space.take(40, 60)
    space.take(10, 20)
    space.release(VmapArea(40, 60))
    assert shape_of(space) == ((None, (0, 10), None), (20, 100), None)


@pytest.mark.parametrize(
    ("align", "vend", "found"),
    [
        pytest.param(PAGE_SIZE, 64, 3, id="a page: the lowest that fits"),
        pytest.param(2 * PAGE_SIZE, 64, 32, id="more: only where size + align - 1 bytes are"),
        pytest.param(4 * PAGE_SIZE, 64, 32, id="much more"),
    ],
)
def test_an_alignment_above_a_page_passes_over_ranges_that_would_do(align: int, vend: int, found: int) -> None:
    """Pages 4 and 5 would do for two aligned pages, but the search wants more than two."""
    space = FreeSpace(0, 64 * PAGE_SIZE)
    space.take(0, 3 * PAGE_SIZE)
    space.take(6 * PAGE_SIZE, 32 * PAGE_SIZE)
    space.take(63 * PAGE_SIZE, 64 * PAGE_SIZE)
    if align > PAGE_SIZE:
        space.take(3 * PAGE_SIZE, 4 * PAGE_SIZE)
    got = space.allocate(2 * PAGE_SIZE, align, 0, vend * PAGE_SIZE)
    assert got == VmapArea(found * PAGE_SIZE, (found + 2) * PAGE_SIZE)


def test_an_interval_of_exactly_the_size_is_not_asked_to_be_longer() -> None:
    space = FreeSpace(0, 64 * PAGE_SIZE)
    space.take(0, 8 * PAGE_SIZE)
    space.take(12 * PAGE_SIZE, 64 * PAGE_SIZE)
    size, align = 4 * PAGE_SIZE, 4 * PAGE_SIZE
    assert space.allocate(size, align, 8 * PAGE_SIZE, 12 * PAGE_SIZE) == VmapArea(8 * PAGE_SIZE, 12 * PAGE_SIZE)


def test_the_end_is_looked_at_after_the_choice() -> None:
    """The range chosen reaches too far; that a lower one would do does not help."""
    space = FreeSpace(0, 64 * PAGE_SIZE)
    space.take(6 * PAGE_SIZE, 32 * PAGE_SIZE)
    space.take(0, 4 * PAGE_SIZE)
    assert space.allocate(2 * PAGE_SIZE, 2 * PAGE_SIZE, 0, 20 * PAGE_SIZE) is None
    assert space.allocate(2 * PAGE_SIZE, PAGE_SIZE, 0, 20 * PAGE_SIZE) == VmapArea(4 * PAGE_SIZE, 6 * PAGE_SIZE)


@pytest.mark.parametrize(("start", "end"), [(15, 25), (25, 35), (30, 40), (12, 12), (0, 5)])
def test_only_what_is_free_can_be_taken(start: int, end: int) -> None:
    space = space_with((10, 30), (50, 60))
    with pytest.raises(BadRange) if not 10 <= start < end <= 30 else nullcontext():
        space.take(start, end)
    space._check()


def test_what_was_there_before_is_not_free() -> None:
    """vmap_init_free_space: the complement of the vmlist."""
    space = FreeSpace(1, 100, [VmapArea(1, 10), VmapArea(10, 20), VmapArea(50, 60)])
    assert ranges(space) == [(20, 50), (60, 100)]
    assert space.bytes_free == 70
    space._check()
    for wrong in ([VmapArea(5, 10), VmapArea(9, 12)], [VmapArea(90, 101)], [VmapArea(5, 5)]):
        with pytest.raises(BadRange):
            FreeSpace(1, 100, wrong)


def test_groups_of_percpu_areas_go_to_the_top_at_one_base() -> None:
    """The base is pulled down until all groups fit; the gap between them stays free."""
    space = space_with((0, 100), (120, 160), (180, 200))
    assert space.allocate_percpu([0, 60], [20, 20], 4, 0, 200) == [VmapArea(120, 140), VmapArea(180, 200)]
    assert ranges(space) == [(0, 100), (140, 160)]
    assert space.allocate_percpu([0, 60], [20, 20], 4, 82, 200) is None
    assert space.allocate_percpu([60, 0], [20, 20], 4, 80, 200) == [VmapArea(140, 160), VmapArea(80, 100)]
    assert ranges(space) == [(0, 80)]
    space._check()
