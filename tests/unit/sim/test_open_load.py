"""Open load and drawn service: arrivals as asked for, latency from arrival on, the distributions that are named."""

from itertools import islice
from pathlib import Path
from random import Random

import pytest
from scipy import stats

from protocol.work import Work
from sim.chance import exponential, stream
from sim.costs.queueing import Queueing
from sim.metrics.load import MOST, Load, load_curve
from sim.outcome import Outcome
from sim.placement import Placement
from sim.results import results_of
from sim.scenario.file import structure
from sim.simulation import simulate
from sim.topologies.flat import Flat
from sim.workloads.open import deal, even, poisson

HERE = Path()
PLACEMENT = Placement(Flat(0), [0], 0)


def run(**changes: object) -> Outcome:
    table = {
        "space": {"nodes": 1},
        "machine": {"cpus": 4},
        "costs": {"model": "queueing", "service_ns": 1000, "distribution": "fixed", "link_ns": 0},
        "workload": {
            "kind": "open",
            "operations": 4000,
            "preload_areas": 40,
            "mix": {"find": 1.0, "insert": 0.0, "unlink": 0.0, "interior": 0.0},
            "open": {"rate_per_s": 5e5, "arrivals": "even", **changes},
        },
    }
    return simulate(structure(table, "test"), HERE)


def test_exponential_numbers_are_exponential() -> None:
    """20,000 draws pass Kolmogorov and Smirnov's test against the distribution, and their mean is 1."""
    random = Random(7)
    draws = [exponential(random) for _ in range(20_000)]
    assert stats.kstest(draws, "expon").pvalue > 0.01
    assert sum(draws) / len(draws) == pytest.approx(1.0, abs=0.03)


def test_poisson_arrivals_come_at_their_rate() -> None:
    """Distances are exponential with the mean that the rate says; times ascend."""
    times = list(islice(poisson(Random(3), 2e6), 20_000))
    assert times == sorted(times)
    assert times[-1] == pytest.approx(20_000 * 500, rel=0.03)
    distances = [later - earlier for earlier, later in zip([0, *times], times, strict=False)]
    assert stats.kstest(distances, "expon", args=(0, 500)).statistic < 0.015


def test_even_arrivals_are_even() -> None:
    """A million a second come every microsecond, also where that is no whole number of nanoseconds."""
    assert list(islice(even(1e6), 4)) == [0, 1000, 2000, 3000]
    assert list(islice(even(3e8), 4)) == [0, 3, 7, 10]


def test_arrivals_are_dealt_in_turn_whoever_takes_first() -> None:
    """Hand n of 3 gets every third arrival from the n-th on, in any order of taking."""
    hands = deal(iter(range(12)), 3)
    assert list(islice(hands[2], 3)) == [2, 5, 8]
    assert list(islice(hands[0], 4)) == [0, 3, 6, 9]
    assert list(islice(hands[1], 2)) == [1, 4]


def test_service_is_drawn_per_lock() -> None:
    """A lock's services do not depend on what other locks serve; fixed ones are all the mean."""
    busy, other = Work("busy/0", 3, 1), Work("busy/1", 3, 1)
    alone, beside = (Queueing(PLACEMENT, 5, 10_000, "exponential") for _ in range(2))
    expected = [alone.service_ns(busy) for _ in range(5)]
    found = []
    for _ in range(5):
        beside.service_ns(other)
        found.append(beside.service_ns(busy))
    assert found == expected
    assert len(set(found)) == 5
    assert expected[0] == round(10_000 * exponential(stream(5, "service/busy/0")))
    assert Queueing(PLACEMENT, 5, 10_000, "fixed").service_ns(busy) == 10_000


def test_a_server_that_keeps_up_lets_nobody_wait() -> None:
    """Even arrivals at half of what the server can do: every latency is the service, and nothing else."""
    latency = results_of(run())["latency"]["find"]
    assert (latency["mean_ns"], latency["max_ns"], latency["parts_ns"]["queue"]) == (1000, 1000, 0)


def test_a_server_that_cannot_keep_up_is_seen_in_full() -> None:
    """At twice what it can do the n-th operation waits n/2 services: the load does not wait for the server.

    (A closed loop of 4 CPUs would show 4 services at most.)
    """
    results = results_of(run(rate_per_s=2e6))
    latency = results["latency"]["find"]
    assert latency["max_ns"] == 1000 + 3999 * 500
    assert latency["mean_ns"] == pytest.approx(1000 + 3999 * 250)
    assert latency["parts_ns"]["queue"] == pytest.approx(3999 * 250)
    assert latency["parts_ns"]["transfer"] == pytest.approx(0)
    assert all(check["ok"] for check in results["checks"].values())


def test_answers_are_judged_under_open_load() -> None:
    """Inserts, finds and unlinks that wait for their CPU have histories that hold."""
    outcome = simulate(
        structure(
            {
                "space": {"nodes": 4},
                "machine": {"cpus": 3},
                "workload": {
                    "kind": "open",
                    "operations": 3000,
                    "preload_areas": 60,
                    "open": {"rate_per_s": 3e7},
                    "mix": {"find": 0.5, "insert": 0.2, "unlink": 0.2, "insert_batch": 0.1, "miss": 0.1},
                },
            },
            "test",
        ),
        HERE,
    )
    assert outcome.ok
    assert outcome.recorder.operations == 3000


def test_load_is_bounded_and_exact() -> None:
    """However many samples are asked for, few are kept; what they say of holds adds up to the locks' sums."""
    outcome = run()
    lock = outcome.recorder.locks[0]
    load = Load()
    for time_ns in range(1, 5 * MOST):
        load.sample(time_ns, [lock])
        assert len(load.samples) < MOST
    curve = load_curve(outcome.recorder.load, 1)
    spans = [end - begin for begin, end in zip([0, *curve.ends_ns], curve.ends_ns, strict=False)]
    assert curve.ends_ns[-1] == outcome.virtual_ns
    held = sum(share * span for share, span in zip(curve.held[0], spans, strict=True))
    assert held == pytest.approx(lock.hold_ns, rel=0.01)
    assert len(load_curve(outcome.recorder.load, 1, 3).ends_ns) <= 3
