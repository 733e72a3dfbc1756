"""Zone arithmetic, each case worked out by hand."""

import pytest
from attrs.exceptions import FrozenInstanceError

from protocol.area import (
    PAGE_SIZE,
    VMALLOC_END,
    VMALLOC_START,
    VMAP_BLOCK,
    VMAP_RAM,
    ZONE_PAGES,
    Vm,
    VmapArea,
    VmStruct,
    ZoneLayout,
    decode_vn_id,
    encode_vn_id,
)

ZONE = 16


def test_an_area_is_half_open() -> None:
    area = VmapArea(100, 110)
    assert area.size == 10
    assert [addr for addr in range(98, 113) if addr in area] == list(range(100, 110))


def test_areas_are_values() -> None:
    """Equal ranges are equal areas, wherever they were made."""
    assert VmapArea(1, 2) == VmapArea(1, 2)
    assert VmapArea(1, 2) != VmapArea(1, 3)
    assert VmapArea(1, 2) != VmapArea(0, 2)
    assert len({VmapArea(1, 2), VmapArea(1, 2), VmapArea(1, 3)}) == 2


def test_an_area_prints_as_the_half_open_range_in_hexadecimal() -> None:
    assert str(VmapArea(VMALLOC_START, VMALLOC_START + 0x2000)) == "[0xffffc90000000000, 0xffffc90000002000)"
    assert repr(VmapArea(10, 32)) == "[0xa, 0x20)"


@pytest.mark.parametrize(
    ("addr", "node_id"),
    [
        pytest.param(0, 0, id="first address"),
        pytest.param(15, 0, id="last of zone 0"),
        pytest.param(16, 1, id="first of zone 1"),
        pytest.param(47, 2, id="last of zone 2"),
        pytest.param(48, 0, id="zone 3 is node 0 again"),
        pytest.param(16 * 100 + 7, 1, id="zone 100"),
    ],
)
def test_zones_go_round_robin_over_the_nodes(addr: int, node_id: int) -> None:
    assert ZoneLayout(nr_nodes=3, zone_size=ZONE).addr_to_node_id(addr) == node_id


@pytest.mark.parametrize(
    ("nr_nodes", "addr", "node_id"),
    [
        # Zone 0xffffc9000000: its hexadecimal digits add up to 81, and 16 = 1 (mod 3) and (mod 5).
        pytest.param(3, VMALLOC_START, 0, id="3 nodes"),
        pytest.param(5, VMALLOC_START, 1, id="5 nodes"),
        pytest.param(8, VMALLOC_START, 0, id="8 nodes"),
        pytest.param(8, VMALLOC_START + 0x10000, 1, id="one zone of 64 KiB on"),
        pytest.param(8, VMALLOC_START + 0xFFFF, 0, id="one byte less"),
        pytest.param(8, VMALLOC_END, 7, id="last address"),
        pytest.param(1, VMALLOC_END, 0, id="one node has all"),
    ],
)
def test_default_zones_are_the_kernels_sixteen_pages(nr_nodes: int, addr: int, node_id: int) -> None:
    assert ZONE_PAGES * PAGE_SIZE == 0x10000
    assert ZoneLayout(nr_nodes).addr_to_node_id(addr) == node_id


@pytest.mark.parametrize(
    ("va_start", "va_end", "zones"),
    [
        pytest.param(0, 1, 1, id="one byte"),
        pytest.param(0, 16, 1, id="a whole zone"),
        pytest.param(15, 16, 1, id="last byte of a zone"),
        pytest.param(15, 17, 2, id="two bytes on a border"),
        pytest.param(0, 17, 2, id="one byte into the next"),
        pytest.param(16, 48, 2, id="two whole zones"),
        pytest.param(8, 40, 3, id="half, whole, half"),
        pytest.param(31, 65, 4, id="byte, whole, whole, byte"),
    ],
)
def test_zones_spanned_counts_every_zone_that_is_reached_into(va_start: int, va_end: int, zones: int) -> None:
    assert ZoneLayout(3, ZONE).zones_spanned(VmapArea(va_start, va_end)) == zones


@pytest.mark.parametrize(("nr_nodes", "zone_size"), [(0, ZONE), (-1, ZONE), (1, 0), (1, -16)])
def test_a_layout_has_a_node_and_zones_have_a_size(nr_nodes: int, zone_size: int) -> None:
    with pytest.raises(ValueError, match="must be >= 1"):
        ZoneLayout(nr_nodes, zone_size)


def test_a_layout_stays_as_it_is() -> None:
    """Everybody computes home nodes from the same layout, so nobody may change it."""
    layout = ZoneLayout(8)
    with pytest.raises(FrozenInstanceError):
        layout.nr_nodes = 4  # type: ignore[misc]


@pytest.mark.parametrize("node_id", [0, 1, 127])
def test_a_node_id_travels_in_the_flags_beside_the_low_bits(node_id: int) -> None:
    flags = encode_vn_id(node_id)
    assert flags == (node_id + 1) * 256
    assert decode_vn_id(flags | VMAP_RAM | VMAP_BLOCK) == node_id


def test_flags_without_a_node_id_name_no_node() -> None:
    assert decode_vn_id(0) is None
    assert decode_vn_id(VMAP_RAM | VMAP_BLOCK) is None


def test_areas_of_the_same_range_are_equal_whatever_they_are_used_for() -> None:
    used = VmapArea(1, 2, VMAP_RAM, VmStruct(Vm.ALLOC))
    assert used == VmapArea(1, 2)
    assert hash(used) == hash(VmapArea(1, 2))
    assert used != VmapArea(1, 3, VMAP_RAM, used.vm)
