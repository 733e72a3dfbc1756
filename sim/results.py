"""results.json: what a run leaves for other programs. Its keys are a contract (docs/reference/results.md).

Times are nanoseconds of the run's clock (virtual, or wall time in the live engine). All of it but `wall_s`
is the same for the same scenario, seed and trace, byte for byte, in the virtual engine.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from actors.vmap import Vmap
from sim.checks import Verdict
from sim.extensions import described
from sim.metrics.latency import Latency
from sim.outcome import NodeAreas, Outcome
from sim.scenario.converter import unstructure

SCHEMA = 1
"""Raised when a key changes its meaning."""

LOOKUPS = frozenset({"find", "find_interior", "find_miss"})
"""Operations that search and change nothing: the group "lookups"."""

PARTS = frozenset({"setup_vmalloc_vm"})
"""Operations that are always a part of another: not in `all` once more."""

LOCK_KEYS = (
    "name",
    "acquisitions",
    "contended",
    "handoffs",
    "hold_ns",
    "hold_max_ns",
    "wait_ns",
    "wait_max_ns",
)
"""What results say of a lock, of what `actors.lock` knows."""

PERCENTILES = (("p50_ns", 500), ("p90_ns", 900), ("p99_ns", 990), ("p999_ns", 999))


def results_of(outcome: Outcome) -> dict[str, Any]:
    """Give the contents of results.json."""
    recorder = outcome.recorder
    by_operation = recorder.latencies.by_operation()
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "scenario": unstructure(outcome.scenario),
        "seed": outcome.scenario.seed,
        "engine": outcome.engine,
        "virtual_ns": outcome.virtual_ns,
        "wall_s": round(outcome.wall_s, 6),
        "operations": recorder.operations,
        "events": outcome.events,
        "digest": recorder.digest(),
        "latency": {
            **{name: _latency(by_probes) for name, by_probes in by_operation.items()},
            "all": _latency(_together(by_operation, by_operation.keys() - PARTS)),
        },
        "groups": {"lookups": _latency(_together(by_operation, LOOKUPS))},
        "locks": [
            {key: getattr(lock, key) for key in LOCK_KEYS}
            for lock in sorted(recorder.locks, key=lambda lock: natural(lock.name))
        ],
        "nodes": [
            {"id": node.node_id, "areas": node.areas, "requests": node.requests, "bytes": node.bytes_busy}
            for node in outcome.nodes
        ],
        "checks": {name: _check(verdict) for name, verdict in outcome.verdicts.items()},
        **dict(_where_there_is_any(outcome)),
    }
    assert not results.keys() & outcome.report.keys(), "a workload's report has a key of its own"
    return {**results, **outcome.report}


def _where_there_is_any(outcome: Outcome) -> Iterator[tuple[str, Any]]:
    """Give the keys that only some results have, each with its value."""
    recorder, batches = outcome.recorder, outcome.batches
    truncation = recorder.latencies.truncation()
    if truncation is not None:
        dropped, of, settled = truncation.dropped, truncation.operations, truncation.settled
        method = outcome.scenario.warmup.method
        yield "warmup", {"method": method, "dropped": dropped, "of": of, "settled": settled}
    if recorder.failed:
        counts, failures = sorted(recorder.failed.items()), recorder.failures
        yield "failures", {name: {"count": count, "first": failures[name][0].reason} for name, count in counts}
    if outcome.faults:
        yield "faults", outcome.faults
    if outcome.cluster:
        yield "cluster", outcome.cluster
    if outcome.vmap is not None:
        yield "vmap", _vmap(outcome.vmap, outcome.areas)
    if outcome.extensions:
        yield "extensions", described(outcome.extensions)
    if batches.sessions:
        strategy = outcome.scenario.batch.strategy
        yield "batches", {"strategy": strategy, "sessions": batches.sessions, "areas": batches.areas}


def _vmap(vmap: Vmap, areas: Sequence[NodeAreas]) -> dict[str, Any]:
    """Give what vmalloc did beside its nodes, and what they hold of freed areas."""
    page_size = vmap.page_size
    return {
        "purges": len(vmap.purges),
        "purged_areas": sum(purge.npurged for purge in vmap.purges),
        "helpers": sum(purge.helpers for purge in vmap.purges),
        "drains_queued": vmap.drains_queued,
        "lazy_max_pages": vmap.lazy_max_pages,
        "nr_lazy_highest": vmap.nr_lazy_highest,
        "blocks": len(list(vmap.blocks)),
        "warnings": dict(sorted(vmap.warnings.items())),
        "nodes": [
            {
                "id": node.node_id,
                "lazy_areas": len(node.lazy),
                "lazy_pages": sum(area.size for area in node.lazy) // page_size,
                "pooled_areas": len(node.pooled),
                "pooled_pages": sum(area.size for area in node.pooled) // page_size,
            }
            for node in areas
        ],
    }


def _together(by_operation: Mapping[str, Mapping[int, Latency]], names: Set[str]) -> dict[int, Latency]:
    """Add up the latencies of several operations, by nodes asked."""
    asked = sorted({probes for name in names for probes in by_operation.get(name, {})})
    return {
        probes: Latency.merged(
            by_operation[name][probes] for name in sorted(names) if probes in by_operation.get(name, {})
        )
        for probes in asked
    }


def _latency(by_probes: Mapping[int, Latency]) -> dict[str, Any]:
    whole = Latency.merged(by_probes.values())
    return {
        **_figures(whole),
        "probes": {str(probes): latency.count for probes, latency in by_probes.items()},
        "parts_ns": {
            "queue": whole.queue_ns / max(1, whole.count),
            "transfer": (whole.total_ns - whole.queue_ns - whole.service_ns) / max(1, whole.count),
            "service": whole.service_ns / max(1, whole.count),
        },
        "by_probes": {str(probes): _figures(latency) for probes, latency in by_probes.items()},
    }


def _figures(latency: Latency) -> dict[str, Any]:
    return {
        "count": latency.count,
        "mean_ns": latency.mean_ns,
        **{name: latency.percentile_ns(per_mille) for name, per_mille in PERCENTILES},
        "max_ns": latency.max_ns,
    }


def _check(verdict: Verdict) -> dict[str, Any]:
    return {"ok": verdict.ok, "count": verdict.count, "first": verdict.first}


def natural(name: str) -> tuple[str, int, str]:
    """Order "busy/2" before "busy/10"."""
    kind, _, number = name.partition("/")
    return kind, int(number) if number.isdecimal() else -1, number
