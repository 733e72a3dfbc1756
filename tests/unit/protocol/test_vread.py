"""What a range of addresses reads as."""

import pytest

from protocol.area import PAGE_SIZE, VMAP_BLOCK, VMAP_RAM, Vm, VmapArea, VmStruct
from protocol.vmap_block import VmapBlocks
from protocol.vread import Reading

BASE = 64 * 2**20


def page(number: int) -> int:
    return BASE + number * PAGE_SIZE


def area(first: int, end: int, vm_flags: int | None = Vm.ALLOC, flags: int = 0) -> VmapArea:
    vm = None if vm_flags is None else VmStruct(vm_flags)
    return VmapArea(page(first), page(end), flags, vm)


def runs(first: int, end: int, *areas: VmapArea, blocks: VmapBlocks | None = None) -> str:
    """Read pages `[first, end)`: "#" for a page of data, "." for one of zeros."""
    reading = Reading(page(first), (end - first) * PAGE_SIZE, blocks or VmapBlocks([0]))
    for one in areas:
        if reading.add(one):
            break
    reading.finish()
    text = "".join(".#"[is_data] * ((stop - start) // PAGE_SIZE) for start, stop, is_data in reading.runs)
    assert reading.data == text.count("#") * PAGE_SIZE
    return text


@pytest.mark.parametrize(
    ("areas", "text"),
    [
        pytest.param([], "..........", id="a hole"),
        pytest.param([area(2, 6)], "..###.....", id="the guard page is none of it"),
        pytest.param([area(2, 6, Vm.ALLOC | Vm.NO_GUARD)], "..####....", id="without guard page"),
        pytest.param([area(0, 4), area(4, 20)], "###.######", id="up to the end of the range"),
        pytest.param([area(2, 6, Vm.IOREMAP)], "..........", id="an I/O mapping is not read"),
        pytest.param([area(2, 6, Vm.SPARSE)], "..........", id="a sparse one neither"),
        pytest.param([area(2, 6, Vm.ALLOC | Vm.UNINITIALIZED)], "..........", id="not ready"),
        pytest.param([area(2, 6, None)], "..........", id="nobody's"),
        pytest.param([area(2, 6, None, VMAP_RAM)], "..####....", id="vm_map_ram, which has no guard page"),
        pytest.param([area(2, 6, None, VMAP_RAM | VMAP_BLOCK)], "..........", id="a block that has gone"),
    ],
)
def test_what_areas_read_as(areas: list[VmapArea], text: str) -> None:
    assert runs(0, 10, *areas) == text


def test_a_read_can_begin_within_an_area_or_its_guard_page() -> None:
    assert runs(3, 8, area(2, 6)) == "##..."
    assert runs(5, 8, area(2, 6), area(6, 9)) == ".##"


def test_a_block_reads_by_its_bitmap() -> None:
    """Parts in use are data; what is dirty or untouched is zeros."""
    blocks = VmapBlocks([0])
    block = VmapArea(BASE, BASE + blocks.block_size, VMAP_RAM | VMAP_BLOCK)
    blocks.add(block, 0, 1)
    blocks.allocate(0, 0)
    blocks.allocate(0, 1)
    blocks.release(page(2), 0)
    assert runs(0, 8, block, blocks=blocks) == "##.##..."
    assert runs(1, 4, block, blocks=blocks) == "#.#"


def test_bytes_of_a_page_can_be_read_apart() -> None:
    reading = Reading(page(2) - 10, 30, VmapBlocks([0]))
    assert not reading.add(area(2, 6))
    reading.finish()
    assert reading.runs == [(page(2) - 10, page(2), False), (page(2), page(2) + 20, True)]


@pytest.mark.parametrize(
    ("before", "one", "ends"),
    [
        pytest.param([], area(2, 6), False, id="there is more to read"),
        pytest.param([], area(0, 20), False, id="all is read, which is seen at the next area"),
        pytest.param([area(0, 20)], area(20, 22), True, id="nothing remains"),
        pytest.param([area(0, 20)], area(20, 22, None), True, id="nothing remains, whatever comes"),
        pytest.param([area(2, 6)], area(12, 15), True, id="zeros to the end of the range"),
        pytest.param([area(2, 6)], area(12, 15, None), False, id="nobody's is passed over, wherever it is"),
        pytest.param([area(2, 6)], area(12, 15, Vm.ALLOC | Vm.UNINITIALIZED), False, id="so is what is not ready"),
        pytest.param([], area(-3, 1), False, id="only its guard page is in the range"),
    ],
)
def test_where_a_walk_ends(before: list[VmapArea], one: VmapArea, ends: bool) -> None:
    """As vread_iter() does: it asks whether anything remains before it reads an area, and not after."""
    reading = Reading(page(0), 10 * PAGE_SIZE, VmapBlocks([0]))
    for area_before in before:
        assert not reading.add(area_before)
    assert reading.add(one) is ends
