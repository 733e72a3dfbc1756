"""Warm-up detection: the cut where theory and construction put it, in bounded memory, however the log is cut."""

from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from sim.metrics.latency import Latencies, Latency, LatencyTable, Measured
from sim.metrics.warmup import MOST_MEANS, WINDOWS, LatenciesAfter, SettledLatencies, latencies_without_warmup, mser
from sim.scenario.model import Warmup


def measured(latencies_ns: list[int]) -> list[Measured]:
    return [("find", 1, latency_ns, 0, latency_ns) for latency_ns in latencies_ns]


def whole(latencies: Latencies) -> Latency:
    return Latency.merged(latencies.by_operation().get("find", {}).values())


def slow_mser(means: list[float]) -> int:
    """The definition, term by term."""
    errors = []
    for cut in range(len(means) // 2 + 1):
        rest = means[cut:]
        mean = sum(rest) / len(rest)
        errors.append(sum((value - mean) ** 2 for value in rest) / len(rest) ** 2)
    return errors.index(min(errors))


@pytest.mark.parametrize("seed", range(20))
def test_the_cut_is_where_the_definition_has_it(seed: int) -> None:
    """The cumulative sums find the same cut as the sums written out, for series with and without a transient."""
    random = Random(seed)
    means = [100 * random.random() + 1000 * 0.8**index * (seed % 3) for index in range(60 + seed)]
    assert mser(np.array(means)) == slow_mser(means)


def test_a_transient_is_cut_off() -> None:
    """A run that begins ten times slower than it goes on loses that part, and little more."""
    random = Random(1)
    latencies = SettledLatencies(10_000)
    latencies.fold(measured([random.randrange(900, 1100) + 9000 * (number < 800) for number in range(10_000)]))
    truncation = latencies.truncation()
    assert 800 <= truncation.dropped <= 800 + 10_000 // WINDOWS + 160
    assert truncation.settled
    assert whole(latencies).max_ns < 1100
    assert whole(latencies).count == 10_000 - truncation.dropped


def test_a_run_that_drifts_to_its_end_has_not_settled() -> None:
    """Where the best cut is the latest allowed one, the run is too short to say, and half of it is dropped."""
    latencies = SettledLatencies(6_400)
    latencies.fold(measured(list(range(6_400, 0, -1))))
    truncation = latencies.truncation()
    assert not truncation.settled
    assert truncation.dropped == 3_200


def test_constant_latencies_keep_everything() -> None:
    """Nothing is gained by a cut, so none is made."""
    latencies = SettledLatencies(5_000)
    latencies.fold(measured([123] * 5_000))
    assert latencies.truncation().dropped == 0


def test_a_few_operations_are_too_few() -> None:
    """Of a handful of operations nothing is dropped, and nothing is claimed; none at all are no error."""
    latencies = SettledLatencies(49)
    assert not latencies.by_operation()
    latencies.fold(measured([5] * 49))
    assert (latencies.truncation().dropped, latencies.truncation().settled) == (0, False)


@pytest.mark.parametrize("make", [lambda: SettledLatencies(3_000), lambda: LatenciesAfter(700)])
def test_chunks_do_not_matter(make: Callable[[], Latencies]) -> None:
    """However the log is cut into chunks, the same is dropped and kept."""
    random = Random(5)
    log = measured([random.randrange(50, 150) + 3_000 // (1 + number) for number in range(3_000)])
    at_once, in_chunks = make(), make()
    at_once.fold(log)
    while log:
        size = random.randrange(1, 400)
        in_chunks.fold(iter(log[:size]))
        log = log[size:]
    assert at_once.truncation() == in_chunks.truncation()
    assert whole(at_once) == whole(in_chunks)


def test_memory_is_bounded_when_more_comes_than_was_expected() -> None:
    """Thirty times as many operations as expected: the windows and means stay few, and no operation is lost."""
    latencies = SettledLatencies(4_000)
    random = Random(2)
    for _ in range(120):
        latencies.fold(measured([random.randrange(1, 9) for _ in range(1_000)]))
    assert len(latencies._windows) <= 2 * WINDOWS
    assert len(latencies._means) <= MOST_MEANS
    assert whole(latencies).count + latencies.truncation().dropped == 120_000


def test_a_fixed_warmup_is_what_it_says() -> None:
    """Exactly the first operations are dropped; a run that is shorter keeps nothing, and has not settled."""
    latencies = LatenciesAfter(10)
    latencies.fold(measured(list(range(1, 8))))
    assert not latencies.truncation().settled
    assert whole(latencies).count == 0
    latencies.fold(measured(list(range(8, 31))))
    assert (whole(latencies).count, whole(latencies).total_ns) == (20, sum(range(11, 31)))
    assert latencies.truncation().settled


def test_methods_by_name() -> None:
    """Without a warm-up latencies are kept as ever; the other methods leave something out."""
    assert latencies_without_warmup(Warmup(), 10) is None
    assert isinstance(latencies_without_warmup(Warmup("fixed", 3), 10), LatenciesAfter)
    assert isinstance(latencies_without_warmup(Warmup("mser-5"), 10), SettledLatencies)
    assert LatencyTable().truncation() is None
