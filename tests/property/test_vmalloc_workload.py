"""Whole runs of the workload that uses vmalloc: all checks hold, on every kernel, and a run repeats to the byte."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.kernel import KERNELS
from sim.outcome import Outcome
from sim.results import results_of
from sim.scenario import Scenario
from sim.scenario.file import structure
from sim.scenario.model import VmallocUse
from sim.simulation import simulate

HERE = Path()

ALL = {
    "alloc",
    "free",
    "find",
    "find_interior",
    "find_vmap_area_exceed_addr",
    "vread",
    "vb_alloc",
    "vb_free",
    "new_vmap_block",
    "vm_map_ram",
    "vm_unmap_ram",
    "pcpu_get_vm_areas",
    "pcpu_free_vm_areas",
    "vmallocinfo",
    "vmalloc_dump_obj",
    "_vm_unmap_aliases",
    "vmap_node_shrink_scan",
}


def scenario(kernel: str, seed: int = 1, cpus: int = 3, **use: Any) -> Scenario:
    """A short run; with `use` its shares and sizes are others."""
    return structure(
        {
            "seed": seed,
            "space": {"kernel": kernel},
            "machine": {"cpus": cpus},
            "workload": {"kind": "vmalloc", "operations": 1_500, "preload_areas": 20, "vmalloc": use},
        },
        "a test",
    )


def judged(outcome: Outcome) -> Outcome:
    assert outcome.ok, {name: verdict.first for name, verdict in outcome.verdicts.items()}
    return outcome


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_operation_appears_by_its_name_and_every_check_holds(kernel: str) -> None:
    outcome = judged(simulate(scenario(kernel), HERE))
    results = results_of(outcome)
    two_holds = KERNELS[kernel].busy_locks == 2
    assert ALL | ({"setup_vmalloc_vm"} if two_holds else set()) <= results["latency"].keys()
    locks = {lock["name"] for lock in results["locks"] if lock["acquisitions"]}
    assert {"busy/0", "lazy/0", "free", "vmap_lazy_nr", "purge"} <= locks
    assert ("pool/0" in locks) is KERNELS[kernel].pools
    assert results["vmap"]["purges"] > 0


@pytest.mark.parametrize("kernel", ["6.8", "6.16"])
def test_a_run_repeats_to_the_byte(kernel: str) -> None:
    first, second = (simulate(scenario(kernel), HERE).recorder.digest() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("kernel", KERNELS)
def test_live_the_same_scripts_leave_everything_in_order(kernel: str) -> None:
    """Over real channels; who gets which address depends on the scheduler."""
    judged(simulate(evolve(scenario(kernel)), HERE, engine="live"))


@given(
    kernel=st.sampled_from(list(KERNELS)),
    seed=st.integers(0, 1_000),
    cpus=st.integers(1, 5),
    held=st.integers(1, 60),
    window=st.sampled_from([0, 3_000, 6_000]),
    cached=st.sampled_from([0, 10, 1_000]),
)
@settings(max_examples=25, deadline=None, print_blob=True)
def test_checks_hold_whatever_runs_out(
    kernel: str, seed: int, cpus: int, held: int, window: int, cached: int
) -> None:
    """Small windows: allocations fail, purges empty the pools, blocks are reclaimed, cached areas asked for."""
    use = {"held_areas": held, "window_pages": window, "nonblocking": 0.3 * KERNELS[kernel].nonblocking}
    use["cached_areas"] = cached
    judged(simulate(scenario(kernel, seed, cpus, **use), HERE))


def test_an_allocation_that_fails_is_an_operation_and_the_kernels_warning_is_kept() -> None:
    outcome = judged(simulate(scenario("6.16", window_pages=3_000, held_areas=500), HERE))
    results = results_of(outcome)
    failed = results["latency"]["alloc_failed"]["count"]
    warnings = results["vmap"]["warnings"]
    assert all(text.startswith("vmalloc_node_range for size") for text in warnings)
    assert 0 < sum(warnings.values()) <= failed


def allocs_and_frees(cpus: int, cached_areas: int, **use: Any) -> dict[str, Any]:
    """The results of a run that does nothing else."""
    nothing_else: dict[str, Any] = dict.fromkeys(VmallocUse().shares, 0.0) | {
        "alloc": 0.5,
        "free": 0.5,
        "cached_areas": cached_areas,
    }
    return results_of(judged(simulate(scenario("6.16", cpus=cpus, **nothing_else, **use), HERE)))


def test_what_is_cached_is_freed_for_who_finds_no_room() -> None:
    """The cache never fills, so all that is freed was asked for; it is enough for every allocation."""
    results = allocs_and_frees(1, 10_000, held_areas=20, window_pages=3_000, module=0.0)
    assert results["latency"]["free"]["count"] > 100
    assert "alloc_failed" not in results["latency"]
    assert results["vmap"]["warnings"] == {}


def test_an_area_is_freed_when_it_is_one_too_many_in_the_cache() -> None:
    """As many frees less as there are areas in the three CPUs' caches at the end."""
    frees = [allocs_and_frees(3, cached)["latency"]["free"]["count"] for cached in (0, 7)]
    assert frees[0] - frees[1] == 3 * 7


def test_a_drain_that_is_queued_while_one_runs_waits_for_it() -> None:
    """Frees of large chunks queue drain after drain: no CPU has both workers in drains and none for a helper."""
    shares = {"alloc": 0.32, "free": 0.28, "find": 0.30, "percpu": 0.10}
    none = ("dump_obj", "exceed", "vread", "vmallocinfo", "map", "unmap", "unmap_aliases", "shrink")
    use = {**shares, **dict.fromkeys(none, 0.0), "percpu_groups": [8, 8], "percpu_pages": 512}
    asked = structure(
        {
            "space": {"nodes": 48},
            "machine": {"cpus": 16},
            "workload": {"kind": "vmalloc", "operations": 3_000, "preload_areas": 400, "vmalloc": use},
        },
        "a test",
    )
    vmap = results_of(judged(simulate(asked, HERE)))["vmap"]
    assert vmap["drains_queued"] > 2
    assert vmap["helpers"] > 2
