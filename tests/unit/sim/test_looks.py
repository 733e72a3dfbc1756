"""What is missed by those who look at areas: each kind of miss by hand, and in whole runs of a kernel."""

from pathlib import Path
from typing import Any

import pytest

from actors.proc import Dump, VmallocInfo
from protocol.area import PAGE_SIZE, VMALLOC_START, Vm, VmapArea, VmStruct, ZoneLayout
from protocol.vmap_block import VmapBlocks
from protocol.vread import Reading
from sim.looks import Looks
from sim.results import results_of
from sim.scenario.file import structure
from sim.simulation import simulate
from sim.study.metrics import metrics_of

LAYOUT = ZoneLayout(4)
ZONE = LAYOUT.zone_size


def area_of(page: int, pages: int, flags: Vm = Vm.ALLOC) -> VmapArea:
    """An area of so many pages, with a guard page behind, from a page of the vmalloc space on."""
    start = VMALLOC_START + page * PAGE_SIZE
    return VmapArea(start, start + (pages + 1) * PAGE_SIZE, 0, VmStruct(flags, "a test", pages))


def looks() -> Looks:
    return Looks(LAYOUT, PAGE_SIZE)


@pytest.mark.parametrize(
    ("offset", "dump", "figure"),
    [
        pytest.param(8, Dump(area_of(0, 20)), "answered", id="in the first page"),
        pytest.param(0, Dump(busy=True), "busy", id="and the lock is held"),
        pytest.param(15 * PAGE_SIZE, Dump(area_of(0, 20)), "answered", id="at the start of the zone's last page"),
        pytest.param(15 * PAGE_SIZE + 8, Dump(), "rounded_up", id="later in it: the page after is another zone's"),
        pytest.param(16 * PAGE_SIZE, Dump(), "other_node", id="in the next zone"),
        pytest.param(17 * PAGE_SIZE, Dump(busy=True), "other_node", id="in the next zone, whose lock is held"),
    ],
)
def test_a_dump_fails_by_lock_by_zone_or_by_rounding(offset: int, dump: Dump, figure: str) -> None:
    """Every dump has one outcome, and the lock is to blame only where it was the right one."""
    judge, area = looks(), area_of(0, 20)
    judge.dumped(area, area.va_start + offset, dump)
    counts = judge.report()["vmalloc_dump_obj"]
    assert {name: count for name, count in counts.items() if count} == {"asked": 1, figure: 1}


@pytest.mark.parametrize(
    ("flags", "pages", "walked", "asked", "missed"),
    [
        pytest.param(Vm.ALLOC, 9, True, 4, 0, id="all of it"),
        pytest.param(Vm.ALLOC, 9, False, 4, 4, id="nothing of it"),
        pytest.param(Vm.ALLOC, 2, True, 2, 0, id="up to the guard page"),
        pytest.param(Vm.IOREMAP, 9, True, 0, 0, id="an I/O mapping has no data"),
    ],
)
def test_a_read_misses_the_data_that_it_gives_as_zeros(
    flags: Vm, pages: int, walked: bool, asked: int, missed: int
) -> None:
    """Of a read of four pages those count that are data of the area."""
    area, judge = area_of(0, pages, flags), looks()
    reading = Reading(area.va_start, 4 * PAGE_SIZE, VmapBlocks([0], PAGE_SIZE))
    if walked:
        reading.add(area)
    reading.finish()
    judge.read(area, reading)
    counts = judge.report().get("vread", {"asked": 0, "missed": 0})
    assert counts == {"asked": asked * PAGE_SIZE, "missed": missed * PAGE_SIZE}


def test_a_list_and_a_search_miss_what_they_do_not_give() -> None:
    """A list without a held area, and the next area instead of the one around the address."""
    first, second, judge = area_of(0, 2), area_of(40, 2), looks()
    judge.listed([first, second], VmallocInfo((second,), ()))
    judge.exceeded(first, first)
    judge.exceeded(first, second)
    judge.exceeded(second, None)
    assert judge.report() == {
        "vmallocinfo": {"asked": 2, "missed": 1},
        "find_vmap_area_exceed_addr": {"asked": 3, "missed": 2},
    }


SHARES = {"alloc": 0.4, "free": 0.2, "find": 0.0, "exceed": 0.1, "vread": 0.1, "map": 0.0, "unmap": 0.0}
SHARES |= {"percpu": 0.05, "dump_obj": 0.1, "unmap_aliases": 0.0, "shrink": 0.0, "vmallocinfo": 0.05}


def run(space: dict[str, Any], engine: str = "virtual") -> dict[str, Any]:
    workload = {"kind": "vmalloc", "operations": 1_500, "preload_areas": 100, "vmalloc": SHARES}
    asked = structure({"space": space, "machine": {"cpus": 4}, "workload": workload}, "a test")
    return results_of(simulate(asked, Path(), engine=engine))


@pytest.mark.parametrize("engine", ["virtual", "live"])
@pytest.mark.parametrize("kernel", ["6.8", "6.9", "6.16"])
def test_kernels_that_ask_all_nodes_miss_nothing(kernel: str, engine: str) -> None:
    """Reads, lists and searches see every area that is there, whatever others do meanwhile."""
    found = run({"kernel": kernel}, engine)["looks"]
    assert {name: counts["missed"] for name, counts in found.items() if name != "vmalloc_dump_obj"} == {
        "find_vmap_area_exceed_addr": 0,
        "vread": 0,
        "vmallocinfo": 0,
    }


@pytest.mark.parametrize(("nodes", "least", "most"), [(1, 0.0, 0.0), (2, 0.3, 0.7), (8, 0.75, 1.0)])
def test_the_reviewed_patch_misses_all_nodes_but_one(nodes: int, least: float, most: float) -> None:
    """What looks at node 0 only sees a share of 1/n; with one node that is everything."""
    metrics = metrics_of(run({"kernel": "v3-04", "nodes": nodes, "zone_pages": 16}))
    for name in ("find_vmap_area_exceed_addr", "vread", "vmallocinfo"):
        assert least <= metrics[f"looks.{name}.missed"] <= most, name


def test_one_node_leaves_a_dump_nothing_but_the_lock_to_fail_by() -> None:
    """In v6.8 there are no zones: `other_node` and `rounded_up` need a second node."""
    counts = run({"kernel": "6.8"})["looks"]["vmalloc_dump_obj"]
    assert counts["other_node"] == counts["rounded_up"] == 0
    assert counts["answered"] + counts["busy"] == counts["asked"]
