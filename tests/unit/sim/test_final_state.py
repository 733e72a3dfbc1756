"""The state at the end of a run as /proc/vmallocinfo: the run's areas, read with the reader of real files."""

from pathlib import Path

import pytest

from protocol.area import VMAP_RAM, ZoneLayout
from sim.final_state import vmallocinfo_of
from sim.outcome import Outcome
from sim.scenario.file import structure
from sim.simulation import simulate
from sim.vmallocinfo import UnpurgedLine, VmallocInfoLine, VmMapRamLine, VmStructLine, read_vmallocinfo

HERE = Path(__file__).parent


def outcome_of(kind: str, preload_areas: int = 40, seed: int = 1, **space: object) -> Outcome:
    """Run a small workload; `space` holds further keys of [space]."""
    table = {
        "seed": seed,
        "space": space,
        "machine": {"cpus": 4},
        "workload": {"kind": kind, "operations": 1200, "preload_areas": preload_areas},
    }
    return simulate(structure(table, "test"), HERE)


def read(text: str, tmp_path: Path) -> list[VmallocInfoLine]:
    path = tmp_path / "vmallocinfo"
    path.write_text(text)
    return read_vmallocinfo(path)


@pytest.mark.parametrize("kernel", ["6.8", "6.9", "6.16"])
@pytest.mark.parametrize("kind", ["mix", "vmalloc"])
def test_lines_are_the_areas_of_the_run_node_by_node(kind: str, kernel: str, tmp_path: Path) -> None:
    """Every busy area of node 0, ascending, then of node 1 and so on, then every unpurged one likewise."""
    outcome = outcome_of(kind, kernel=kernel)
    records = read(vmallocinfo_of(outcome), tmp_path)
    busy = [record.area for record in records if not isinstance(record, UnpurgedLine)]
    unpurged = [record.area for record in records if isinstance(record, UnpurgedLine)]

    assert [record.area for record in records] == busy + unpurged
    assert busy == [area for node in outcome.areas for area in node.busy]
    assert unpurged == [area for node in outcome.areas for area in node.lazy]
    space = outcome.scenario.space
    home = ZoneLayout(space.nodes, space.zone_size).addr_to_node_id
    assert busy == sorted(busy, key=lambda area: (home(area.va_start), area.va_start))
    assert {home(area.va_start) for area in busy} == set(range(space.nodes))
    assert bool(unpurged) == (kind == "vmalloc")


def test_lines_say_what_areas_are_used_for(tmp_path: Path) -> None:
    """A caller by its name, pages, flags and physical address; vm_map_ram() for its own areas."""
    outcome = outcome_of("vmalloc")
    busy = [area for node in outcome.areas for area in node.busy]
    records = read(vmallocinfo_of(outcome), tmp_path)[: len(busy)]

    for area, record in zip(busy, records, strict=True):
        if area.vm is None:
            assert area.flags & VMAP_RAM
            assert isinstance(record, VmMapRamLine)
        else:
            assert isinstance(record, VmStructLine)
            assert record.caller == f"{area.vm.caller}+0x0/0x0"
            assert (record.nr_pages, record.phys_addr) == (area.vm.nr_pages, area.vm.phys_addr)
    assert {type(record) for record in records} == {VmStructLine, VmMapRamLine}


def test_vpages_by_the_page_size_of_the_run(tmp_path: Path) -> None:
    """The array of an area's pages is vmalloc'ed itself when it is longer than a page, of whatever size."""
    outcome = outcome_of("vmalloc", preload_areas=800, seed=4, page_size=16384)
    records = read(vmallocinfo_of(outcome), tmp_path)
    mapped = [record for record in records if isinstance(record, VmStructLine)]

    assert [record.vpages for record in mapped] == [record.nr_pages > 2048 for record in mapped]
    assert any(record.nr_pages > 512 for record in mapped)


def test_by_address(tmp_path: Path) -> None:
    """The sorted view has the same lines: busy ones by address, then the unpurged by address."""
    outcome = outcome_of("vmalloc")
    by_node, by_address = (vmallocinfo_of(outcome, order) for order in ("node", "address"))

    assert by_address != by_node
    assert sorted(by_address.splitlines()) == sorted(by_node.splitlines())
    keys = [(isinstance(record, UnpurgedLine), record.area.va_start) for record in read(by_address, tmp_path)]
    assert keys == sorted(keys)
