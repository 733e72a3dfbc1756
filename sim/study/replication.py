"""One replication: a run of a cell, boiled down to what the study keeps of it. This is what workers do."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from sim.metrics.histogram import value_of
from sim.metrics.latency import Latency
from sim.metrics.load import load_curve
from sim.results import results_of
from sim.scenario.model import Scenario
from sim.simulation import Outcome, simulate
from sim.study.metrics import metrics_of
from sim.study.store import Key, Record

CURVE_BITS = 7
"""Leading bits of a latency that curves keep: they are 1/64 wide or less."""

LOAD_POINTS = 24
"""Intervals in which the load over virtual time is kept."""


@frozen
class Task:
    """A replication to run."""

    cell: int
    replication: int
    scenario: Scenario
    """With the replication's seed."""
    beside: Path
    fingerprint: str

    @property
    def key(self) -> Key:
        """Under which the store keeps it."""
        return self.fingerprint, self.scenario.seed


@frozen
class Failure:
    """Why a replication left nothing."""

    text: str


def replicate(task: Task) -> Record | Failure:
    """Run a replication. What goes wrong in it comes back as a `Failure`: others go on."""
    try:
        return record_of(simulate(task.scenario, task.beside), first=task.replication == 0)
    except Exception as error:
        return Failure(_one_line(error))


def record_of(outcome: Outcome, *, first: bool) -> dict[str, Any]:
    """Give what is kept of a run; of a cell's first replication also its locks, one by one and over time."""
    results = results_of(outcome)
    by_operation = outcome.recorder.latencies.by_operation()
    record: dict[str, Any] = {
        "operations": results["operations"],
        "metrics": metrics_of(results),
        "warmup": results.get("warmup", {"dropped": 0, "of": results["operations"], "settled": True}),
        "checks": results["checks"],
        "curves": {name: curve(Latency.merged(by_probes.values())) for name, by_probes in by_operation.items()},
        "asked": {
            probes: [figures["count"], figures["mean_ns"], figures["p99_ns"]]
            for probes, figures in results["groups"]["lookups"]["by_probes"].items()
        },
    }
    if first:
        locks = outcome.recorder.locks
        load = load_curve(outcome.recorder.load, len(locks), LOAD_POINTS)
        order = {lock.name: place for place, lock in enumerate(locks)}
        record["locks"] = [
            [lock["name"], lock["acquisitions"], lock["hold_ns"], lock["wait_ns"]] for lock in results["locks"]
        ]
        record["load"] = {
            "ends_ns": load.ends_ns,
            "held": {
                lock["name"]: [round(share, 3) for share in load.held[order[lock["name"]]]]
                for lock in results["locks"]
            },
        }
    return record


def curve(latency: Latency) -> dict[str, list[int]]:
    """Give a histogram coarse enough to keep: lower edges in nanoseconds, ascending, and counts."""
    counts: Counter[int] = Counter()
    for bucket, count in latency.buckets.items():
        value_ns = value_of(bucket)
        exponent = max(0, value_ns.bit_length() - CURVE_BITS)
        counts[value_ns >> exponent << exponent] += count
    edges = sorted(counts)
    return {"ns": edges, "count": [counts[edge] for edge in edges]}


def merged_curves(curves: list[Mapping[str, list[int]]]) -> dict[str, list[int]]:
    """Add up curves."""
    counts: Counter[int] = Counter()
    for one in curves:
        counts.update(dict(zip(one["ns"], one["count"], strict=True)))
    edges = sorted(counts)
    return {"ns": edges, "count": [counts[edge] for edge in edges]}


def _one_line(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(f"{type(error).__name__}: {error}".split())
