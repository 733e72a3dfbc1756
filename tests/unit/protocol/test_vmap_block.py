"""vmap blocks: carving, dirt, when a block can go, and where it is indexed."""

import pytest

from protocol.area import PAGE_SIZE, VMAP_BLOCK, VMAP_RAM, VmapArea
from protocol.vmap_block import VMAP_BBMAP_BITS, VmapBlock, VmapBlocks, get_order

SIZE = VMAP_BBMAP_BITS * PAGE_SIZE


def block_at(number: int) -> VmapArea:
    return VmapArea(number * SIZE, (number + 1) * SIZE, VMAP_RAM | VMAP_BLOCK)


def test_a_block_is_4_mib() -> None:
    assert VmapBlocks([0]).block_size == SIZE == 4 * 2**20


@pytest.mark.parametrize(("pages", "order"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (64, 6)])
def test_parts_are_powers_of_two(pages: int, order: int) -> None:
    assert get_order(pages * PAGE_SIZE) == order
    assert get_order(pages * PAGE_SIZE - 1) == order


def test_a_block_is_carved_from_its_untouched_tail_only() -> None:
    """What was freed is dirty, and not used again."""
    block = VmapBlock(block_at(1), cpu=0)
    assert [block.allocate(2), block.allocate(0), block.allocate(0)] == [0, 4, 5]
    assert not block.release(4, 0)
    assert (block.free, block.dirty, block.allocate(0)) == (1018, 1, 6)


def test_a_block_is_done_when_all_of_it_is_dirty() -> None:
    block = VmapBlock(block_at(1), cpu=0)
    offsets = [block.allocate(6) for _ in range(16)]
    assert block.allocate(0) is None
    assert [block.release(offset, 6) for offset in offsets if offset is not None] == [False] * 15 + [True]


def test_pages_that_are_not_in_use_cannot_be_freed() -> None:
    block = VmapBlock(block_at(1), cpu=0)
    block.allocate(1)
    with pytest.raises(AssertionError, match="pages 1 to 2 are not in use"):
        block.release(1, 1)


@pytest.mark.parametrize(
    ("orders", "released", "force", "goes"),
    [
        pytest.param([6], 1, False, False, id="mostly untouched"),
        pytest.param([6], 1, True, True, id="mostly untouched, forced"),
        pytest.param([6], 0, True, False, id="in use"),
        pytest.param([6] * 12, 12, False, False, id="a quarter untouched"),
        pytest.param([6] * 12 + [0], 13, False, True, id="less than a quarter untouched"),
    ],
)
def test_a_block_is_purged_when_nothing_is_in_use_and_it_is_worth_it(
    orders: list[int], released: int, force: bool, goes: bool
) -> None:
    block = VmapBlock(block_at(1), cpu=0)
    offsets = [(block.allocate(order), order) for order in orders]
    for offset, order in offsets[:released]:
        assert offset is not None
        block.release(offset, order)
    assert block.purge(force) is goes
    assert (block.allocate(0) is None) is goes


def test_a_cpu_allocates_from_its_own_blocks() -> None:
    blocks = VmapBlocks([0, 1])
    assert blocks.allocate(0, 0) is None
    assert blocks.add(block_at(5), 0, 0) == 5 * SIZE
    assert blocks.allocate(1, 0) is None
    assert blocks.allocate(0, 0) == 5 * SIZE + PAGE_SIZE
    assert blocks.release(5 * SIZE, 0) is None
    [block] = blocks
    assert blocks.find(5 * SIZE + 99) is block
    blocks.erase(block)
    assert blocks.find(5 * SIZE) is None


def test_a_full_block_leaves_the_free_list_and_comes_back_with_its_last_part() -> None:
    blocks = VmapBlocks([0])
    blocks.add(block_at(5), 0, 6)
    addresses = [5 * SIZE, *(blocks.allocate(0, 6) for _ in range(15))]
    assert blocks.allocate(0, 0) is None
    done = [blocks.release(addr, 6) for addr in addresses if addr is not None]
    assert done[:15] == [None] * 15
    assert done[15] in list(blocks)
    assert blocks.fragmented(force=True) == [], "it is not listed any more"


def test_fragmented_blocks_are_taken_off_the_free_lists() -> None:
    blocks = VmapBlocks([0])
    blocks.add(block_at(5), 0, 6)
    blocks.release(5 * SIZE, 6)
    assert blocks.fragmented(force=False) == []
    [gone] = blocks.fragmented(force=True)
    assert gone.area == block_at(5)
    assert blocks.allocate(0, 0) is None


@pytest.mark.parametrize(
    ("cpus", "number", "bucket"),
    [([0, 1, 2, 3], 5, 1), ([0, 1, 2, 3], 8, 0), ([0, 2, 3], 5, 2), ([1, 3], 4, 1), ([1, 3], 6, 3)],
)
def test_the_bucket_is_a_possible_cpu(cpus: list[int], number: int, bucket: int) -> None:
    """(addr / VMAP_BLOCK_SIZE) % nr_cpu_ids, or the next CPU that is possible (a34acf30b19b)."""
    blocks = VmapBlocks(cpus)
    assert {blocks.bucket(number * SIZE), blocks.bucket(number * SIZE + SIZE - 1)} == {bucket}
    assert blocks.index(number * SIZE + 1) == number


def test_runs_of_used_and_unused_pages() -> None:
    block = VmapBlock(block_at(1), cpu=0)
    block.allocate(1)
    block.allocate(0)
    block.release(0, 1)
    assert list(block.runs(0, 5)) == [(0, 2, False), (2, 3, True), (3, 5, False)]
    assert list(block.runs(2, 3)) == [(2, 3, True)]
    assert list(block.runs(2, 2)) == []
