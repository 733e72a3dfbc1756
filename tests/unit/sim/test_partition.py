"""The partition of a machine's areas over nodes: real files, and cases made by hand."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from protocol.area import PAGE_SIZE, VMALLOC_START, VmapArea, ZoneLayout
from protocol.policies import load
from sim.errors import BadInput
from sim.partition import (
    Balance,
    NodeShare,
    asked_by,
    file_order,
    nodes_shown_by,
    partition,
    percentile,
    vmlist_of,
)
from sim.partition_summary import show_partition
from sim.vmallocinfo import UnpurgedLine, VmallocInfoLine, VmMapRamLine, VmStructLine, by_address, read_vmallocinfo

DATA = Path(__file__).parents[2] / "data"
DEBIAN = DATA / "deb-smp4-scan-vmallocinfo-mid.txt.gz"
ZONE = 16 * PAGE_SIZE


def area(zone: float, pages: int = 2) -> VmapArea:
    """An area whose start is `zone` zones behind VMALLOC_START, which is node 0's for 2, 4 and 8 nodes."""
    start = VMALLOC_START + int(zone * ZONE)
    return VmapArea(start, start + pages * PAGE_SIZE)


@pytest.mark.parametrize(
    ("name", "cpus"),
    [
        ("deb-smp4-scan-vmallocinfo-mid", 4),
        ("deb-smp4-vmallocinfo-before", 4),
        ("vn-smp2-mixed-vmallocinfo-after", 2),
    ],
)
def test_the_order_of_real_files_shows_their_nodes(name: str, cpus: int) -> None:
    """A kernel prints node by node: the order agrees with its number of CPUs and with no other number."""
    records = read_vmallocinfo(DATA / f"{name}.txt.gz")
    order = file_order(records, cpus)

    assert (order.agrees, order.first_line, order.found) == (True, None, None)
    assert order.agreeing == [cpus]
    assert nodes_shown_by(records) == cpus


def test_another_number_of_nodes_is_told_where() -> None:
    """The first line that cannot be where it is, with its node and the one before."""
    order = file_order(read_vmallocinfo(DEBIAN), 2)

    assert not order.agrees
    assert order.first_line == 101
    assert order.found == (
        "0xffffc90000020000-0xffffc90000025000   20480 kernel_clone+0xc2/0x430 pages=4 vmalloc N0=4: "
        "node 0 after node 1"
    )


def test_a_sorted_file_is_one_of_one_node() -> None:
    """As kernels before 6.9 print it; nobody can see nodes in it."""
    records = by_address(read_vmallocinfo(DEBIAN))

    assert file_order(records, 1).agreeing == [1]


def test_addresses_ascend_within_a_node() -> None:
    """Two areas of a node the wrong way round are a breach, too; unpurged areas are not looked at."""
    records: list[VmallocInfoLine] = [VmStructLine(area(4)), UnpurgedLine(area(9)), VmStructLine(area(0))]
    order = file_order(records, 4)

    assert (order.agrees, order.first_line) == (False, 3)
    assert order.found == "0xffffc90000000000-0xffffc90000002000    8192: node 0 after node 0"


def test_an_order_that_shows_no_number() -> None:
    """A file of one area agrees with all numbers; a shuffled one with none."""
    with pytest.raises(BadInput, match=r"^--cpus: found none, and the file's order agrees with 1, 2, 3"):
        nodes_shown_by([VmStructLine(area(0))])
    shuffled = [VmStructLine(area(zone)) for zone in (0, 8 * 9 * 5 * 7 * 11 * 13 * 17 * 19 * 23, 0)]
    with pytest.raises(BadInput, match=r"agrees with no nodes"):
        nodes_shown_by(shuffled)


def test_nodes_of_machines() -> None:
    """As many as possible CPUs, 1 to 128."""
    records = [VmStructLine(area(0))]

    assert [partition(records, cpus).nodes for cpus in (1, 2, 127, 128, 129, 4096)] == [1, 2, 127, 128, 128, 128]


def test_areas_go_to_the_nodes_of_their_starts() -> None:
    """Each kind of busy line counts, at its start; unpurged lines are in no busy tree."""
    records: list[VmallocInfoLine] = [
        VmStructLine(area(0, pages=33)),
        VmStructLine(area(4)),
        VmMapRamLine(area(5.5)),
        UnpurgedLine(area(6)),
    ]
    report = partition(records, 4)

    assert report.per_node == [
        NodeShare(0, 2, 35 * PAGE_SIZE),
        NodeShare(1, 1, 2 * PAGE_SIZE),
        NodeShare(2, 0, 0),
        NodeShare(3, 0, 0),
    ]
    assert (report.areas, report.bytes, report.unpurged, report.overlapping) == (3, 37 * PAGE_SIZE, 1, 0)
    balance = report.areas_balance
    assert balance == Balance(least=0, mean=0.75, most=2, deviation=balance.deviation)
    assert balance.deviation == pytest.approx(1.1055, abs=1e-4)
    assert report.spans == {1: 2, 3: 1}


def test_areas_that_overlap_are_left_out() -> None:
    """The file is no snapshot of one instant; the vmlist is: the lower and longer one stays."""
    records: list[VmallocInfoLine] = [
        VmStructLine(area(0, 4)),
        VmStructLine(area(0, 2)),
        UnpurgedLine(area(0)),
        VmStructLine(area(0.125)),
    ]
    report = partition(records, 4)

    assert vmlist_of(records) == [area(0, 4)]
    assert (report.areas, report.overlapping, report.unpurged) == (1, 2, 1)


def test_what_lookups_ask_on_a_real_machine() -> None:
    """4 nodes: a 256 MiB I/O map has nearly all pages, so that the mean over pages is that of any address."""
    asked = {each.policy: each for each in partition(read_vmallocinfo(DEBIAN), 4).asked}

    assert {name: (each.p99, each.max) for name, each in asked.items()} == {
        "backward": (4, 4),
        "bounded": (2, 2),
        "forward": (4, 4),
        "home": (1, 1),
        "scatter": (4, 4),
        "span-directory": (1, 1),
    }
    assert asked["backward"].mean == pytest.approx(2.4849, abs=1e-4)
    assert asked["backward"].per_area < asked["forward"].per_area < 1.3
    assert {name: each.at_starts for name, each in asked.items()} == {
        "backward": 1.0,
        "bounded": 1.0,
        "forward": 1.0,
        "home": 1.0,
        "scatter": 4.0,
        "span-directory": 1.0,
    }
    assert [asked[name].missed for name in ("backward", "forward", "scatter", "span-directory")] == [0, 0, 0, 0]
    assert asked["home"].missed == pytest.approx(1 - asked["home"].home_node)


def test_backward_and_forward_by_hand() -> None:
    """An area of two and a half zones over 4 nodes: k zones behind its start ask k + 1 or (-k) mod 4 + 1 nodes."""
    layout = ZoneLayout(4)
    areas = [area(1, pages=40)]
    backward, forward = (asked_by(name, load(name), areas, layout) for name in ("backward", "forward"))

    assert backward.mean == (16 * 1 + 16 * 2 + 8 * 3) / 40 == backward.per_area
    assert forward.mean == (16 * 1 + 16 * 4 + 8 * 3) / 40
    assert (backward.max, forward.max, backward.home_node) == (3, 4, 0.4)


def test_an_area_as_long_as_the_address_space_takes_no_time() -> None:
    """Pages are counted by node, not one by one: 2**40 of them, all nodes alike but for the last page."""
    asked = asked_by("backward", load("backward"), [VmapArea(ZONE, ZONE + 2**52)], ZoneLayout(128))

    assert (asked.mean, asked.p99, asked.max) == (64.5, 127, 128)


def test_percentiles() -> None:
    """The least value that 99 of 100 do not exceed."""
    assert [percentile({1: 99, 7: 1}, share) for share in (500, 990, 991, 1000)] == [1, 1, 7, 7]
    assert percentile({}, 990) == 0


def test_only_unpurged_areas() -> None:
    """A file without busy areas is odd, and no reason to fail."""
    report = partition([UnpurgedLine(area(0))], 2)

    assert (report.areas, report.areas_balance.deviation, report.order.agrees) == (0, 0.0, True)
    assert {each.mean for each in report.asked} == {0.0}


def test_the_report_is_json() -> None:
    """What goes into partition.json comes back from it."""
    report = partition(read_vmallocinfo(DEBIAN), 4)
    written = json.loads(json.dumps(report.as_dict(), allow_nan=False))

    assert written == report.as_dict()
    assert written["spans"]["1"] == 129
    assert written["order"]["agreeing"] == [4]


@pytest.mark.parametrize("cpus", [1, 4, 128, 4096])
def test_the_screen_fits(cpus: int) -> None:
    """Every table fits 80 columns, and no table has more than ten nodes."""
    console = Console(width=80, record=True, file=io.StringIO())
    show_partition(console, "a file", partition(read_vmallocinfo(DEBIAN), cpus))
    lines = console.export_text().splitlines()
    tables = [line for line in lines if not line.startswith(("a file", "the file's order"))]

    assert max(map(len, tables)) <= 80
    assert not any("…" in line for line in lines)
    assert len(lines) < 45
