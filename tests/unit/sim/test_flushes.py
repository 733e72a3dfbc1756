"""What flushes of all TLBs take: drawn from the scenario's seed, flush by flush, in every engine."""

from pathlib import Path
from statistics import fmean

import pytest

from sim.costs import flushes
from sim.outcome import Outcome
from sim.scenario.file import structure
from sim.scenario.model import Scenario
from sim.simulation import simulate


def scenario(jitter: float, seed: int = 1) -> Scenario:
    """Make a run of three CPUs that purges often, and in which a flush takes 10 microseconds on average."""
    return structure(
        {
            "seed": seed,
            "machine": {"cpus": 3},
            "costs": {"tlb_flush_ns": 8_000, "tlb_flush_cpu_ns": 1_000, "tlb_flush_jitter": jitter},
            "workload": {
                "kind": "test_vmalloc",
                "test_vmalloc": {
                    "nr_threads": 3,
                    "test_loop_count": 60,
                    "run_test_mask": 1,
                    "lazy_scale": 1024,
                },
            },
        },
        "here",
    )


def drawn(jitter: float, times: int, seed: int = 1) -> list[int]:
    flush_ns = flushes(scenario(jitter, seed))
    return [flush_ns() for _ in range(times)]


def flushed(outcome: Outcome) -> int:
    """Count a run's flushes: purges that found something."""
    assert outcome.vmap is not None
    return sum(purge.npurged > 0 for purge in outcome.vmap.purges)


def test_flushes_all_take_the_mean_unless_they_are_drawn() -> None:
    """Of the first CPU and of every further one."""
    assert set(drawn(0.0, 100)) == {10_000}


def test_flushes_are_drawn_around_their_mean() -> None:
    """Uniformly: all lie within the bounds, come near both, and have their mean in the middle."""
    flushes_ns = drawn(0.2, 1000)
    assert all(type(flush_ns) is int for flush_ns in flushes_ns)
    assert 8_000 <= min(flushes_ns) < 8_050
    assert 11_950 < max(flushes_ns) <= 12_000
    assert fmean(flushes_ns) == pytest.approx(10_000, rel=0.01)


def test_the_seed_decides_what_flushes_take() -> None:
    assert drawn(0.2, 5) == drawn(0.2, 5)
    assert drawn(0.2, 5) != drawn(0.2, 5, seed=2)


@pytest.mark.parametrize("engine", ["virtual", "live"])
def test_every_flush_of_a_run_draws_once(engine: str) -> None:
    """After a run with n flushes the next one takes what is drawn as number n + 1."""
    outcome = simulate(scenario(0.2), Path(), engine=engine)
    times = flushed(outcome)
    assert times > 2
    assert outcome.vmap is not None
    assert outcome.vmap.flush_ns() == drawn(0.2, times + 1)[-1]


def test_runs_with_drawn_flushes_repeat() -> None:
    """With another jitter they differ."""
    runs = [simulate(scenario(jitter), Path()) for jitter in (0.2, 0.2, 0.0)]
    first, again, without = (run.recorder.digest() for run in runs)
    assert first == again
    assert first != without
