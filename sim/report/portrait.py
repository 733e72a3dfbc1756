"""Portraits: what of a run's course the figures show, small enough to keep one of every replication.

curves    per operation a histogram, 1/64 wide or less: lower edges "ns", ascending, and "count"
asked     lookups by the number of nodes they asked: count, mean, p99
metrics   all metrics (`sim.study.metrics`)
locks     per lock: name, acquisitions, hold_ns, wait_ns
load      the share of the time each lock was held, per interval of virtual time
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sim.metrics.histogram import value_of
from sim.metrics.latency import Latency
from sim.metrics.load import load_curve
from sim.outcome import Outcome
from sim.study.metrics import metrics_of

Portrait: TypeAlias = Mapping[str, Any]
Curve: TypeAlias = Mapping[str, Sequence[int]]

CURVE_BITS = 7
"""Leading bits of a latency that curves keep."""

LOAD_POINTS = 24
"""Intervals of the load that a replication keeps."""


def portrait_of(outcome: Outcome, results: Mapping[str, Any], *, intervals: int = LOAD_POINTS) -> dict[str, Any]:
    """Give a run's portrait; with 0 `intervals` it is without its locks, one by one and over time."""
    by_operation = outcome.recorder.latencies.by_operation()
    portrait: dict[str, Any] = {
        "metrics": metrics_of(results),
        "curves": {name: _curve(Latency.merged(by_probes.values())) for name, by_probes in by_operation.items()},
        "asked": {
            probes: [figures["count"], figures["mean_ns"], figures["p99_ns"]]
            for probes, figures in results["groups"]["lookups"]["by_probes"].items()
        },
    }
    if intervals:
        locks = outcome.recorder.locks
        load = load_curve(outcome.recorder.load, len(locks), intervals)
        held = {lock.name: [round(share, 3) for share in load.held[place]] for place, lock in enumerate(locks)}
        names = [lock["name"] for lock in results["locks"]]
        portrait["locks"] = [
            [lock["name"], lock["acquisitions"], lock["hold_ns"], lock["wait_ns"]] for lock in results["locks"]
        ]
        portrait["load"] = {"ends_ns": load.ends_ns, "held": {name: held[name] for name in names}}
    return portrait


def merged(portraits: Sequence[Portrait]) -> dict[str, Any]:
    """Give the portrait of replications together; locks are those of the first."""
    operations = dict.fromkeys(name for portrait in portraits for name in portrait["curves"])
    names = dict.fromkeys(name for portrait in portraits for name in portrait["metrics"])
    metrics = {name: [portrait["metrics"].get(name) for portrait in portraits] for name in names}
    return {
        "metrics": {name: sum(values) / len(values) for name, values in metrics.items() if None not in values},
        "curves": {
            name: _sum([portrait["curves"][name] for portrait in portraits if name in portrait["curves"]])
            for name in operations
        },
        "asked": _asked([portrait["asked"] for portrait in portraits]),
        "locks": portraits[0]["locks"],
        "load": portraits[0]["load"],
    }


def _curve(latency: Latency) -> dict[str, list[int]]:
    counts: Counter[int] = Counter()
    for bucket, count in latency.buckets.items():
        value_ns = value_of(bucket)
        exponent = max(0, value_ns.bit_length() - CURVE_BITS)
        counts[value_ns >> exponent << exponent] += count
    return _sorted(counts)


def _sum(curves: Sequence[Curve]) -> dict[str, list[int]]:
    counts: Counter[int] = Counter()
    for curve in curves:
        counts.update(dict(zip(curve["ns"], curve["count"], strict=True)))
    return _sorted(counts)


def _sorted(counts: Counter[int]) -> dict[str, list[int]]:
    edges = sorted(counts)
    return {"ns": edges, "count": [counts[edge] for edge in edges]}


def _asked(parts: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Add up lookups by nodes asked; p99s are averaged, weighted by how many lookups they are of."""
    whole: dict[str, list[float]] = {}
    for probes in sorted({probes for part in parts for probes in part}, key=int):
        own = [part[probes] for part in parts if probes in part]
        count = sum(figures[0] for figures in own)
        whole[probes] = [count, *(sum(figures[0] * figures[place] for figures in own) / count for place in (1, 2))]
    return whole
