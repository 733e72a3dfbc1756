"""The tables of a study: a row per cell, per comparison, per replication; as Parquet and as CSV.

    cells          the factors' levels; for each metric METRIC, METRIC.ci_low, METRIC.ci_high; replications,
                   whether the precision was reached, what was dropped as warm-up, the command, the error if any
    comparisons    each level of the compared factor against the baseline: the mean of the paired differences, with
                   its interval and the wider one that the verdict goes by
    replications   a row per run: its seed and its metrics, to compute anything else from

Figures have 12 significant digits. Nothing in a table depends on the clock, or on who ran what.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from sim.study.campaign import CellResult, left_out
from sim.study.model import Study
from sim.study.statistics import Paired, interval, paired

Row: TypeAlias = Mapping[str, Any]


def cell_rows(study: Study, results: Sequence[CellResult]) -> list[Row]:
    """Give the row of each cell."""
    return [_cell_row(study, result) for result in results]


def _cell_row(study: Study, result: CellResult) -> Row:
    row: dict[str, Any] = {"cell": result.cell.number, **result.cell.levels}
    for metric in study.metrics:
        values = result.values(metric)
        found = interval(values, study.plan.precision.confidence) if values else None
        row[metric] = _figure(found.mean if found else None)
        row[f"{metric}.ci_low"] = _figure(found.low if found else None)
        row[f"{metric}.ci_high"] = _figure(found.high if found else None)
    dropped, of = left_out([result])
    row |= {
        "replications": len(result.records),
        "reached": result.reached,
        "warmup_dropped": _figure(dropped / of if of else None),
        "warmup_unsettled": result.unsettled,
        "exceptions": sum(count for count, _first, _words in result.exceptions().values()),
        "command": result.command(-1 if result.failure else 0),
        "error": result.failure,
    }
    return row


def comparison_rows(study: Study, results: Sequence[CellResult]) -> list[Row]:
    """Compare each cell with the one that differs from it in the baseline's level only."""
    return [
        {
            **result.cell.levels,
            "baseline": study.compare.baseline if study.compare else None,
            "metric": metric,
            "difference": _figure(found.difference.mean),
            "ci_low": _figure(found.difference.low),
            "ci_high": _figure(found.difference.high),
            "relative": _figure(found.relative),
            "variance_ratio": _figure(found.variance_ratio),
            "pairs": found.difference.n,
            "verdict": found.verdict,
            "verdict_low": _figure(found.together.low),
            "verdict_high": _figure(found.together.high),
        }
        for result, metric, found in comparisons(study, results)
    ]


def comparisons(study: Study, results: Sequence[CellResult]) -> Iterator[tuple[CellResult, str, Paired]]:
    """Give every comparison that both cells have the metric for."""
    compare = study.compare
    if compare is None:
        return
    baselines = {
        _rest(result, compare.factor): result
        for result in results
        if result.cell.levels[compare.factor] == compare.baseline
    }
    pairs = [
        (result, baselines[_rest(result, compare.factor)])
        for result in results
        if result.cell.levels[compare.factor] != compare.baseline
    ]
    for metric in compare.metrics or study.metrics:
        sides = [(result, result.values(metric), base.values(metric)) for result, base in pairs]
        known = [(result, values, base) for result, values, base in sides if values and base]
        for result, values, base in known:
            yield result, metric, paired(values, base, study.plan.precision.confidence, len(known))


def replication_rows(results: Sequence[CellResult]) -> list[Row]:
    """Give the row of each replication: its seed and every metric that any replication has."""
    names = sorted({name for result in results for record in result.records for name in record["metrics"]})
    return [
        {
            "cell": result.cell.number,
            **result.cell.levels,
            "replication": number,
            "seed": str(seed),
            **{name: _figure(record["metrics"].get(name)) for name in names},
        }
        for result in results
        for number, (seed, record) in enumerate(zip(result.seeds, result.records, strict=False))
    ]


def to_csv(rows: Sequence[Row]) -> str:
    """Give rows as CSV with a heading."""
    stream = io.StringIO()
    if rows:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return stream.getvalue()


def to_parquet(rows: Sequence[Row]) -> bytes:
    """Give rows as a Parquet file; a column of several types is one of strings."""
    import pyarrow
    import pyarrow.parquet

    columns = {name: _column([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink, compression="zstd")
    return sink.getvalue()


def _column(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return values if len(kinds) <= 1 else [None if value is None else str(value) for value in values]


def _rest(result: CellResult, factor: str) -> tuple[Any, ...]:
    """Give a cell's levels of all factors but one."""
    return tuple(level for name, level in result.cell.levels.items() if name != factor)


def _figure(value: float | None) -> float | int | None:
    """Give a figure of 12 digits; None for what is no finite number."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.12g}")
