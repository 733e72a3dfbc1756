"""Metrics: the numbers of a run that a study averages, named after their place in results.json.

Latencies are those after the warm-up, counts of locks those of the whole run. All names are in
docs/reference/study.md.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

LATENCY_FIGURES = ("count", "mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")
PARTS = ("queue", "transfer", "service")
LOCK_FIGURES = ("acquisitions", "contended", "handoffs", "hold_ns", "wait_ns")

METRIC_SHAPES = "a metric such as latency.all.p99_ns (docs/reference/study.md)"

_LATENCY = "|".join((*LATENCY_FIGURES, *(f"{part}_ns" for part in PARTS), "nodes_asked"))
_LOCKS = "|".join((*LOCK_FIGURES, "mean_hold_ns", "mean_wait_ns"))
_METRIC = re.compile(
    rf"(latency|groups)\.\w+\.({_LATENCY})|locks\.\w+\.({_LOCKS})|batches\.(sessions|areas|session_areas)"
    r"|groups\.lookups\.missed|looks\.\w+\.\w+"
    r"|checks\.\w+\.count|throughput_per_s|virtual_ns|operations"
)


def is_metric(name: object) -> bool:
    """Tell whether a run could have a metric of this name."""
    return isinstance(name, str) and _METRIC.fullmatch(name) is not None


def metrics_of(results: Mapping[str, Any]) -> dict[str, float]:
    """Give all metrics of a run's results, by name."""
    metrics: dict[str, float] = {
        "operations": results["operations"],
        "virtual_ns": results["virtual_ns"],
        "throughput_per_s": results["operations"] * 1e9 / max(1, results["virtual_ns"]),
    }
    for table in ("latency", "groups"):
        for name, latency in results[table].items():
            if latency["count"]:
                metrics.update(_latency_metrics(f"{table}.{name}", latency))
    metrics.update(_lock_metrics(results["locks"]))
    metrics.update(_batch_metrics(results))
    metrics.update(_miss_metrics(results))
    metrics.update({f"checks.{name}.count": check["count"] for name, check in results["checks"].items()})
    return metrics


def _latency_metrics(name: str, latency: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for figure in LATENCY_FIGURES:
        yield f"{name}.{figure}", latency[figure]
    for part in PARTS:
        yield f"{name}.{part}_ns", latency["parts_ns"][part]
    asked = sum(int(probes) * count for probes, count in latency["probes"].items())
    yield f"{name}.nodes_asked", asked / latency["count"]


def _lock_metrics(locks: list[Mapping[str, Any]]) -> dict[str, float]:
    """Add up the locks of each kind: "busy/0", "busy/1", … are busy locks."""
    metrics: dict[str, float] = {}
    kinds = dict.fromkeys(lock["name"].partition("/")[0] for lock in locks)
    for kind in kinds:
        own = [lock for lock in locks if lock["name"].partition("/")[0] == kind]
        sums = {figure: sum(lock[figure] for lock in own) for figure in LOCK_FIGURES}
        metrics.update({f"locks.{kind}.{figure}": value for figure, value in sums.items()})
        for figure in ("hold_ns", "wait_ns"):
            metrics[f"locks.{kind}.mean_{figure}"] = sums[figure] / max(1, sums["acquisitions"])
    return metrics


def _batch_metrics(results: Mapping[str, Any]) -> dict[str, float]:
    if "batches" not in results:
        return {}
    sessions, areas = results["batches"]["sessions"], results["batches"]["areas"]
    return {"batches.sessions": sessions, "batches.areas": areas, "batches.session_areas": areas / sessions}


def _miss_metrics(results: Mapping[str, Any]) -> dict[str, float]:
    """Give what was not found, as shares of what was asked for."""
    metrics: dict[str, float] = {}
    if lookups := results["groups"]["lookups"]["count"]:
        metrics["groups.lookups.missed"] = results["latency"].get("find_miss", {"count": 0})["count"] / lookups
    for name, counts in results.get("looks", {}).items():
        shares = {figure: count / counts["asked"] for figure, count in counts.items() if figure != "asked"}
        metrics.update({f"looks.{name}.{figure}": share for figure, share in shares.items()})
        metrics[f"looks.{name}.asked"] = counts["asked"]
    return metrics


def label(metric: str) -> str:
    """Give a metric's name as people read it: "find p99 (ns)"."""
    words = metric.split(".")
    if words[0] in ("latency", "groups", "locks", "batches", "looks"):
        words = words[1:]
    text = " ".join(words)
    for unit in ("ns", "per_s"):
        if text.endswith(f"_{unit}"):
            text = f"{text.removesuffix(f'_{unit}')} ({unit.replace('per_s', '/s')})"
    return text.replace("p999", "p99.9").replace("_", " ")
