"""The simulator against theory: queues whose mean wait is known, and intervals that hold what they say."""

from pathlib import Path

import pytest

from sim.results import results_of
from sim.scenario import load_scenarios
from sim.simulation import simulate
from sim.study import campaign, store
from sim.study.cells import cells_of
from sim.study.model import load_study
from sim.study.runners import Pool, all_cores
from sim.study.statistics import interval

CONFIGS = Path(__file__).parents[2] / "configs"
METRIC = "latency.all.queue_ns"
TRUE_NS = {"M/M/1": 10_000.0, "M/D/1": 5_000.0}
"""Pollaczek and Khinchine: rho / (1 - rho) * (1 + c^2) / 2 services, at rho = 1/2 and 10,000 ns per service."""


@pytest.mark.parametrize(("distribution", "true_ns"), [("exponential", 10_000), ("fixed", 5_000)])
def test_mean_wait_and_littles_law(distribution: str, true_ns: float) -> None:
    """One long run: the mean wait is the formula's, the server is busy for rho, and Little's law holds."""
    settings = [f"costs.distribution={distribution}", "workload.operations=60000"]
    outcome = simulate(load_scenarios(CONFIGS / "queue.toml", settings, 4).base, CONFIGS)
    results = results_of(outcome)
    latency = results["latency"]["all"]
    assert latency["parts_ns"]["queue"] == pytest.approx(true_ns, rel=0.06)
    lock = results["locks"][0]
    assert lock["hold_ns"] / results["virtual_ns"] == pytest.approx(0.5, abs=0.02), "utilisation is rho"
    arrivals_per_ns = results["operations"] / results["virtual_ns"]
    assert arrivals_per_ns * latency["mean_ns"] == pytest.approx(0.5 + true_ns / 20_000, rel=0.08)


@pytest.mark.slow
def test_intervals_cover_the_true_mean(tmp_path: Path) -> None:
    """Of 200 studies of a queue 92 to 98 % of the 95 % intervals hold the formula; the mean is within 1 % of it."""
    study = load_study(CONFIGS / "studies" / "coverage.toml")
    with store.opened(tmp_path) as replications:
        results = campaign.conduct(study, cells_of(study), replications, Pool(all_cores()))
    for queue, true_ns in TRUE_NS.items():
        own = [result for result in results if result.cell.levels["queue"] == queue]
        found = [interval(result.values(METRIC), study.plan.precision.confidence) for result in own]
        held = sum(one.low <= true_ns <= one.high for one in found)
        waits = [wait for result in own for wait in result.values(METRIC)]
        mean = sum(waits) / len(waits)
        print(f"{queue}: {held} of {len(own)} intervals hold {true_ns:,.0f} ns; mean wait {mean:,.1f} ns")
        assert len(own) == 200
        assert 0.92 <= held / len(own) <= 0.98
        assert mean == pytest.approx(true_ns, rel=0.01)
