"""The workload modprobe: what a load of the module takes besides its workers, and what it counts."""

from pathlib import Path
from typing import Any

import pytest

from sim.errors import BadInput
from sim.files import to_json
from sim.results import results_of
from sim.scenario.file import load_scenarios
from sim.simulation import simulate

BASE = """
[space]
kernel = "6.10"
[machine]
cpus = 2
[workload]
kind = "modprobe"
"""

LOAD = """
[[workload.modprobe.load]]
name = "{name}"
times = {times}
nr_threads = {threads}
run_test_mask = {mask}
test_loop_count = {loops}
"""


def load(name: str = "one", times: int = 1, threads: int = 1, mask: int = 1, loops: int = 40) -> str:
    return LOAD.format(name=name, times=times, threads=threads, mask=mask, loops=loops)


def run(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "scenario.toml"
    path.write_text(BASE + text)
    results = results_of(simulate(load_scenarios(path).base, folder))
    assert all(check["ok"] for check in results["checks"].values())
    return results


def test_loading_purges_nine_times_and_each_load_has_its_own_counts(tmp_path: Path) -> None:
    """Five times before the workers and four after, twice where it is loaded twice; allocations are few besides."""
    one, twice = run(tmp_path, load() + load("twice", times=2))["modprobe"]
    assert (one["name"], one["pairs"], twice["pairs"]) == ("one", 40, 80)
    assert (one["locks"]["purge"]["acquisitions"], twice["locks"]["purge"]["acquisitions"]) == (9, 18)
    for file, times in ((one, 1), (twice, 2)):
        # A copy of the file, four parts, a stack: six areas more, in and out.
        assert file["locks"]["busy"]["acquisitions"] == 2 * (file["pairs"] + 6 * times)
        assert file["locks"]["lazy"]["acquisitions"] >= file["pairs"] + 6 * times


def test_each_load_has_its_own_drains(tmp_path: Path) -> None:
    """16,384 pages are lazy before the first of them, by two of each area; what was purged had been freed."""
    none, some = run(tmp_path, load("none") + load("some", loops=14_000))["modprobe"]
    assert none["drains"] == []
    (first, *rest) = some["drains"]
    assert first[1] >= 8192
    assert sum(areas for _end_us, areas in some["drains"]) <= 14_000 + 20
    assert [first[0], *(end_us for end_us, _areas in rest)] == sorted(end_us for end_us, _areas in some["drains"])


def test_pools_decay_between_two_runs(tmp_path: Path) -> None:
    """Of 400 areas that the first run leaves, a quarter goes in each of eight purges: 43 are hits in the second."""
    (file,) = run(tmp_path, load(times=2, loops=400))["modprobe"]
    left = 400
    for _purge in range(3 + 5):
        left -= left // 4
    # Every area goes to a pool once a run; each of some 18 purges takes the lock twice to decay one class.
    pools = file["locks"]["pool"]["acquisitions"] - 800
    assert left <= pools <= left + 18 * 2 * 3


def test_workers_spread_over_the_cpus(tmp_path: Path) -> None:
    """Two workers on two CPUs meet at locks, one does not."""
    one, two = run(tmp_path, load("one") + load("two", threads=2, loops=400))["modprobe"]
    assert one["locks"]["busy"]["contended"] == 0
    assert two["locks"]["busy"]["contended"] > 0


def test_what_is_left_to_rcu_is_freed_at_last(tmp_path: Path) -> None:
    """Less than a page of pointers waits five seconds, beyond the load that left it."""
    results = run(tmp_path, load(mask=512))
    assert results["modprobe"][0]["locks"]["lazy"]["acquisitions"] < 40
    assert results["latency"]["free"]["count"] == 40 + 6
    assert results["virtual_ns"] > 5_000_000_000


def test_equal_runs_are_equal_bytes(tmp_path: Path) -> None:
    """Jitter is drawn from the seed."""
    text = "[workload.modprobe]\njitter = 0.5\n" + load(threads=3).replace("[[", "[[", 1)
    texts = []
    for _ in range(2):
        results = run(tmp_path, text)
        results["wall_s"] = 0
        texts.append(to_json(results))
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "workload.modprobe.load: found none"),
        (load(name=" "), "load.0.name: found ' '"),
        (load(mask=2048), "may sleep"),
        (load() + "[space]\n", "scenario.toml"),
    ],
)
def test_mistakes_are_refused(tmp_path: Path, text: str, line: str) -> None:
    """No loads, a load without a name, a test that the kernel cannot run."""
    with pytest.raises(BadInput, match=line.replace("'", ".")):
        run(tmp_path, text)
