"""results.json: what a run leaves for other programs. Its keys are a contract (docs/reference/results.md).

Times are nanoseconds of the run's clock (virtual, or wall time in the live engine). All of it but `wall_s`
is the same for the same scenario, seed and trace, byte for byte, in the virtual engine.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from actors.vmap import Vmap
from sim.checks import Verdict
from sim.errors import BadInput
from sim.extensions import described
from sim.metrics.latency import Latency
from sim.scenario.converter import unstructure
from sim.scenario.file import RESULT_FILES
from sim.simulation import NodeAreas, Outcome

SCHEMA = 1
"""Raised when a key changes its meaning."""

LOOKUPS = frozenset({"find", "find_interior", "find_miss"})
"""Operations that search and change nothing: the group "lookups"."""

PARTS = frozenset({"setup_vmalloc_vm"})
"""Operations that are always a part of another: not in `all` once more."""

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
            {
                "name": lock.name,
                "acquisitions": lock.acquisitions,
                "contended": lock.contended,
                "handoffs": lock.handoffs,
                "hold_ns": lock.hold_ns,
                "hold_max_ns": lock.hold_max_ns,
                "wait_ns": lock.wait_ns,
                "wait_max_ns": lock.wait_max_ns,
            }
            for lock in sorted(recorder.locks, key=lambda lock: natural(lock.name))
        ],
        "nodes": [
            {"id": node.node_id, "areas": node.areas, "requests": node.requests, "bytes": node.bytes_busy}
            for node in outcome.nodes
        ],
        "checks": {name: _check(verdict) for name, verdict in outcome.verdicts.items()},
    }
    truncation = recorder.latencies.truncation()
    if truncation is not None:
        results["warmup"] = {
            "method": outcome.scenario.warmup.method,
            "dropped": truncation.dropped,
            "of": truncation.operations,
            "settled": truncation.settled,
        }
    if recorder.failed:
        results["failures"] = {
            name: {"count": count, "first": recorder.failures[name][0].reason}
            for name, count in sorted(recorder.failed.items())
        }
    if outcome.faults:
        results["faults"] = outcome.faults
    if outcome.cluster:
        results["cluster"] = outcome.cluster
    if outcome.vmap is not None:
        results["vmap"] = _vmap(outcome.vmap, outcome.areas)
    if outcome.extensions:
        results["extensions"] = described(outcome.extensions)
    if outcome.batches.sessions:
        results["batches"] = {
            "strategy": outcome.scenario.batch.strategy,
            "sessions": outcome.batches.sessions,
            "areas": outcome.batches.areas,
        }
    assert not results.keys() & outcome.report.keys(), "a workload's report has a key of its own"
    return {**results, **outcome.report}


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


def write_files(folder: Path, texts: Mapping[str, str | bytes]) -> None:
    """Write files of one folder whole or not at all. Raises `BadInput`."""
    write_whole({folder / name: text for name, text in texts.items()})


def write_whole(texts: Mapping[Path, str | bytes]) -> None:
    """Write files whole or not at all: none takes its name before all are on the disk. Raises `BadInput`."""
    ready: dict[Path, Path] = {}
    folder = Path()
    try:
        for path, text in texts.items():
            folder = path.parent
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
            ready[path] = Path(temporary)
            with os.fdopen(handle, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
            Path(temporary).chmod(0o644)
        for path, file_made in ready.items():
            folder = path.parent
            file_made.replace(path)
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        for file_made in ready.values():
            file_made.unlink(missing_ok=True)


@contextmanager
def prepared(folders: Sequence[Path], files: Sequence[Path] = ()) -> Iterator[None]:
    """Have folders that results and other `files` can be written to while the body makes them. Raises `BadInput`.

    When the body fails, the folders that were made for it and are still empty are removed again.
    """
    made: list[Path] = []
    try:
        for folder in folders:
            _prepare(folder, RESULT_FILES, made)
        for file in files:
            _prepare(file.parent, [file.name], made)
        yield
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def _prepare(folder: Path, names: Sequence[str], made: list[Path]) -> None:
    """Make a folder and those it is in, noting what was made; see that such files can be written in it."""
    try:
        for path in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
            path.mkdir(exist_ok=True)
            made.append(path)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for path in (folder / name for name in names):
            if path.is_dir():
                raise BadInput(str(path), "a directory", "a place for a file")
            if path.exists() and not path.is_file():
                raise BadInput(str(path), "no regular file", "a place for a file")
    except OSError as error:
        raise cannot_write(folder, error) from None


def cannot_write(folder: Path, error: OSError) -> BadInput:
    """Give the one line that says that `folder` cannot be written."""
    return BadInput(str(folder), (error.strerror or str(error)).lower(), "a place that can be written")


def to_json(results: Mapping[str, Any]) -> str:
    """Give results as the text of a JSON file."""
    return json.dumps(results, indent=1, allow_nan=False) + "\n"


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
