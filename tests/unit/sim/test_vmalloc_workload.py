"""The kernel's own test as a workload, in virtual time and live: who runs where and when, and what is left."""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from actors.world import Completed
from protocol.area import VmapArea
from protocol.kernel import KERNELS
from sim.errors import BadInput
from sim.files import to_json
from sim.metrics.recorder import Recorder
from sim.outcome import Outcome
from sim.results import results_of
from sim.scenario import load_scenarios
from sim.scenario.file import structure
from sim.scenario.model import Scenario, VmallocTest
from sim.simulation import simulate
from sim.vmalloc_test.cases import CASES
from sim.workloads import plan

HERE = Path(__file__).parent
CONFIGS = HERE.parents[2] / "configs"
QUICK = {"nr_threads": 3, "test_loop_count": 20, "run_test_mask": 1 | 8 | 16 | 32 | 64, "slice_ns": 5_000}


def scenario(cpus: int = 3, kernel: str = "6.16", page_ns: int = 0, **test: Any) -> Scenario:
    return structure(
        {
            "space": {"kernel": kernel},
            "machine": {"cpus": cpus},
            "costs": {"page_ns": page_ns},
            "workload": {"kind": "test_vmalloc", "test_vmalloc": {**QUICK, **test}},
        },
        "here",
    )


def areas_of(rows: list[Completed], operation: str) -> list[VmapArea]:
    """Give what each of the operations of a kind was about."""
    return [row[8] for row in rows if row[0] == operation and isinstance(row[8], VmapArea)]


def summary(outcome: Outcome) -> Any:
    return results_of(outcome)["test_vmalloc"]


@pytest.fixture
def completed(monkeypatch: pytest.MonkeyPatch) -> list[Completed]:
    """All operations of the runs of a test, in the order in which they ended."""
    rows: list[Completed] = []
    observer = Recorder.observer

    def watching(self: Recorder) -> Any:
        observed = observer(self)

        def note(row: Completed) -> None:
            rows.append(row)
            observed.completed(row)

        return evolve(observed, completed=note)

    monkeypatch.setattr(Recorder, "observer", watching)
    return rows


@pytest.mark.parametrize("engine", ["virtual", "live"])
def test_all_tests_pass(engine: str) -> None:
    """Each worker's tests pass, but for the one that is expected to fail; the checks hold."""
    outcome = simulate(scenario(), HERE, engine=engine)

    assert outcome.ok, outcome.verdicts
    found = summary(outcome)
    assert [worker["worker"] for worker in found["workers"]] == [0, 1, 2]
    for worker in found["workers"]:
        assert {
            name: (test["passed"], test["failed"], test["xfailed"]) for name, test in worker["tests"].items()
        } == {
            "fix_size_alloc_test": (1, 0, 0),
            "random_size_alloc_test": (1, 0, 0),
            "fix_align_alloc_test": (1, 0, 0),
            "random_size_align_alloc_test": (1, 0, 0),
            "align_shift_alloc_test": (0, 0, 1),
        }
        assert worker["stop_ns"] > worker["start_ns"] >= 0
    assert len(found["summary"]) == 3 * 6


ALL = 2**13 - 1
NO_BLOCK = 2048
LONG = 2 | 4
"""full_fit_alloc_test and long_busy_list_alloc_test: tens of thousands of areas before their loops begin."""

KERNELS_AND_ENGINES = [*((name, "virtual") for name in KERNELS), ("6.9", "live"), ("7.1", "live")]


def passes(kernel: str, engine: str, mask: int, **test: Any) -> Outcome:
    """Run tests of two threads on each of two CPUs, and see all of them end as they should."""
    possible = ALL if KERNELS[kernel].nonblocking else ALL - NO_BLOCK
    asked = scenario(2, kernel, run_test_mask=mask & possible, **{"nr_threads": 4, "test_loop_count": 5, **test})
    outcome = simulate(asked, HERE, engine=engine)
    assert outcome.ok, outcome.verdicts
    for worker in summary(outcome)["workers"]:
        for name, counts in worker["tests"].items():
            expected = (0, 0, 1) if name == "align_shift_alloc_test" else (1, 0, 0)
            assert (counts["passed"], counts["failed"], counts["xfailed"]) == expected, name
    return outcome


@pytest.mark.parametrize(("kernel", "engine"), KERNELS_AND_ENGINES)
def test_every_kernel_passes(kernel: str, engine: str) -> None:
    """All tests but the two long ones, blocks of vm_map_ram() and chunks of per-CPU memory among them."""
    outcome = passes(kernel, engine, ALL - LONG, nr_pcpu_objects=1_500)

    assert {"alloc", "free", "alloc_failed", "vb_alloc", "vb_free", "new_vmap_block", "pcpu_get_vm_areas"} <= (
        results_of(outcome)["latency"].keys()
    )


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "engine"), KERNELS_AND_ENGINES)
def test_every_kernel_passes_the_long_tests(kernel: str, engine: str) -> None:
    """full_fit and long_busy_list: as many areas as it takes for purges to begin."""
    outcome = passes(kernel, engine, LONG)

    assert "drain_vmap_area_work" in results_of(outcome)["latency"]


def test_purges_happen_meanwhile() -> None:
    """80 frees of 256 pages on each of two CPUs are more than the 16,384 pages that may be lazily freed."""
    outcome = passes("6.10", "virtual", 1, nr_pages=255, test_loop_count=80, nr_threads=2)

    assert results_of(outcome)["latency"]["drain_vmap_area_work"]["count"] >= 2


def test_equal_runs_are_equal() -> None:
    """In virtual time the whole of results.json but for wall time, and another seed draws otherwise."""
    first, again, other = (
        to_json({**results_of(simulate(asked, HERE)), "wall_s": 0})
        for asked in (scenario(), scenario(), evolve(scenario(), seed=2))
    )

    assert first == again
    assert json.loads(first)["digest"] != json.loads(other)["digest"]


@pytest.mark.parametrize("engine", ["virtual", "live"])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_threads_of_a_cpu_take_turns(completed: list[Completed], engine: str, workers: int) -> None:
    """Worker i is on CPU i modulo 2; what one CPU does never overlaps."""
    outcome = simulate(scenario(cpus=2, nr_threads=workers, run_test_mask=8), HERE, engine=engine)
    by_cpu: dict[int, list[Completed]] = defaultdict(list)
    for row in completed:
        by_cpu[row[1]].append(row)

    assert [worker["cpu"] for worker in summary(outcome)["workers"]] == [0, 1, 0, 1, 0][:workers]
    assert sorted(by_cpu) == list(range(min(2, workers)))
    for cpu, rows in by_cpu.items():
        threads = len(range(cpu, workers, 2))
        assert len(rows) == 2 * 20 * threads
        for before, after in pairwise(rows):
            assert before[3] <= after[2]


def test_slices_are_as_long_as_asked() -> None:
    """Two threads of one CPU: with a slice longer than a test the second starts when the first is over."""
    for slice_ns, overlapping in ((10**9, False), (5_000, True)):
        outcome = simulate(scenario(cpus=1, nr_threads=2, run_test_mask=1, slice_ns=slice_ns), HERE)
        first, second = summary(outcome)["workers"]
        assert (second["start_ns"] < first["stop_ns"]) == overlapping


def test_workers_start_together() -> None:
    """Nobody begins before all CPUs are there."""
    workers = summary(simulate(scenario(), HERE))["workers"]

    assert {worker["start_ns"] for worker in workers} == {0}


def test_the_grace_period(completed: list[Completed]) -> None:
    """kvfree_rcu() holds an area for as long as asked, and in the end all are freed."""
    asked = scenario(cpus=1, nr_threads=1, run_test_mask=256, grace_period_ns=2_000)
    outcome = simulate(asked, HERE)
    begun_ns = [row[2] for row in completed if row[0] == "free"]
    allocated_ns = [row[3] for row in completed if row[0] == "alloc"]

    assert outcome.ok
    assert areas_of(completed, "free") == areas_of(completed, "alloc")
    assert len(begun_ns) == 20
    for begin_ns, since_ns in zip(begun_ns, allocated_ns, strict=True):
        assert 2_000 <= begin_ns - since_ns < 4_000


def test_pages_take_time() -> None:
    """`page_ns` for each page besides the guard page, while nothing is locked."""
    slow, fast = (
        simulate(scenario(cpus=1, nr_threads=1, run_test_mask=1, nr_pages=10, page_ns=page_ns), HERE)
        for page_ns in (1_000, 0)
    )

    assert slow.virtual_ns - fast.virtual_ns == 20 * 10 * 1_000


def test_scaled_tests_hold_fewer_areas(completed: list[Completed]) -> None:
    """A thousandth of 15,000 areas, the table of their addresses, and two areas a loop."""
    simulate(scenario(cpus=1, nr_threads=1, run_test_mask=4, scale=1000, test_loop_count=3), HERE)

    assert [row[0] for row in completed].count("alloc") == 15 + 1 + 2 * 3


def test_scaled_purges_are_due_earlier() -> None:
    """On one CPU 8,192 pages may be lazy: 20 frees of two pages need no purge, but with a bound of 8."""
    plain, scaled = (
        simulate(scenario(cpus=1, nr_threads=1, run_test_mask=1, lazy_scale=lazy_scale), HERE)
        for lazy_scale in (1, 1024)
    )

    assert plain.vmap is not None
    assert plain.vmap.purges == []
    assert scaled.vmap is not None
    assert scaled.vmap.purges
    assert scaled.ok


def test_with_a_global_lock_allocations_are_made_one_at_a_time() -> None:
    """Three CPUs whose time is all in pages: they take turns with the lock, and nothing else."""
    together, in_turn = (
        simulate(scenario(nr_threads=3, run_test_mask=1, page_ns=1_000_000, global_lock=one), HERE).virtual_ns
        for one in (False, True)
    )

    assert in_turn == pytest.approx(3 * together, rel=0.05)


def test_many_pages_need_a_table_of_their_own(completed: list[Completed]) -> None:
    """513 pointers do not fit a page: two areas a loop, both freed, the larger one first."""
    simulate(scenario(cpus=1, nr_threads=1, run_test_mask=1, nr_pages=513, test_loop_count=2), HERE)
    names = [row[0] for row in completed]

    assert names == ["alloc", "alloc", "free", "free"] * 2
    for operation in ("alloc", "free"):
        assert [area.size // 4096 for area in areas_of(completed, operation)] == [514, 3] * 2


COUNTED = [
    pytest.param(1 << index, marks=[pytest.mark.slow] if 1 << index & LONG else [], id=case.__name__)
    for index, case in enumerate(CASES)
    if 1 << index not in (64, 128, 1024, NO_BLOCK)
]


@pytest.mark.parametrize("mask", COUNTED)
def test_progress_knows_about_how_much_there_is(mask: int) -> None:
    """The number of operations that a plan announces is right to a tenth."""
    asked = scenario(cpus=1, nr_threads=2, run_test_mask=mask, test_loop_count=500)
    announced = plan(asked, HERE).operations

    assert announced == pytest.approx(simulate(asked, HERE).recorder.operations, rel=0.1)


def test_kernels_that_sleep_refuse_the_test_that_must_not() -> None:
    """no_block_alloc_test is for kernels that allocate without sleeping."""
    asked = scenario(run_test_mask=NO_BLOCK)
    with pytest.raises(
        BadInput, match=r"found 2048, no_block_alloc_test, with kernel 6.16, which may sleep; allowed: "
    ):
        plan(asked, HERE)


@pytest.mark.parametrize("name", ["performance", "smoke", "stress"])
def test_the_scripts_presets(name: str) -> None:
    """The module's script gives these parameters, and leaves the others at the module's defaults."""
    test = load_scenarios(CONFIGS / "test_vmalloc" / f"{name}.toml").base.workload.test_vmalloc

    assert (
        test
        == {
            "performance": VmallocTest(sequential_test_order=True, test_repeat_count=3),
            "smoke": VmallocTest(test_loop_count=10_000, test_repeat_count=10),
            "stress": VmallocTest(nr_threads=4, test_repeat_count=20),
        }[name]
    )


def test_pages_of_another_size_are_refused() -> None:
    """The test's numbers are of 4 KiB pages."""
    asked = scenario()
    with pytest.raises(BadInput, match=r"^space.page_size: found 16384; allowed: 4096"):
        plan(evolve(asked, space=evolve(asked.space, page_size=16_384)), HERE)


def test_the_name_is_the_kernels(tmp_path: Path) -> None:
    """`kind = "test_vmalloc"`, with the module's own parameters as keys; others are refused by name."""
    path = tmp_path / "test.toml"
    path.write_text('[workload]\nkind = "test_vmalloc"\n[workload.test_vmalloc]\nrun_test_mask = 4\n')
    assert load_scenarios(path).base.workload.test_vmalloc == VmallocTest(run_test_mask=4)

    for value, found in (("run_test_mask = 0", "0"), ("run_test_mask = 8192", "8192")):
        path.write_text(f"[workload.test_vmalloc]\n{value}\n")
        with pytest.raises(BadInput, match=rf"workload.test_vmalloc.run_test_mask: found {found}; allowed"):
            load_scenarios(path)
    path.write_text("")
    with pytest.raises(
        BadInput,
        match=r"workload.kind: found 'test-vmalloc'; allowed: migrate, mix, .*, test_vmalloc, trace, vmalloc",
    ):
        load_scenarios(path, ["workload.kind=test-vmalloc"])
