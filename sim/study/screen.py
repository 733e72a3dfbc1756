"""The screen after a study: the metric that was to be known, by factor; the comparisons; where the rest is.

One table has the levels of the compared factor (without one, the last factor) beside each other, a row for each
combination of the others. Every figure stands with its interval: a mean alone says nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from sim.study.campaign import CellResult, left_out
from sim.study.metrics import label
from sim.study.model import Study, Value
from sim.study.statistics import Paired, interval
from sim.study.tables import comparisons
from sim.summary import Column, count_of, show_table


def show_study(console: Console, study: Study, results: Sequence[CellResult], where: str) -> None:
    """Print what a study found."""
    beside = study.compare.factor if study.compare else (study.factors[-1].name if study.factors else None)
    metric, confidence = study.plan.precision.metric, study.plan.precision.confidence
    _show_title(console, study, results)

    def known(result: CellResult) -> str:
        values = result.values(metric)
        if not values:
            return "failed"
        found = interval(values, confidence)
        mark = "" if result.reached else "!"
        return f"{_number(found.mean)} ±{100 * found.relative:.1f}%{mark}"

    title = f"{label(metric)}: mean of replications, {confidence:.0%} interval"
    _pivot(console, title, beside, {result.cell.number: result for result in results}, known)
    if study.compare:
        _show_comparisons(console, study, results, beside)
    _show_replications(console, study, results)
    _show_exceptions(console, study, results)
    console.print(Text("again: each cell's command is in cells.csv, column command"))
    console.print(Text(where), soft_wrap=True)


def _show_title(console: Console, study: Study, results: Sequence[CellResult]) -> None:
    factors = " x ".join(f"{len(factor.levels)} {factor.name}" for factor in study.factors)
    cells = count_of(len(results), "cell")
    title = f"{study.path.name}: {cells}{f' ({factors})' if factors else ''}, seed {study.plan.seed}"
    console.print(Text(title, style="bold"))


def _pivot(
    console: Console,
    title: str,
    beside: str | None,
    results: Mapping[int, Any],
    text: Callable[[Any], str],
    cell: Callable[[Any], CellResult] = lambda result: result,
) -> None:
    """Print a table of results: the levels of factor `beside` in columns, the other factors' in rows."""
    rows: dict[str, dict[Value, Any]] = {}
    for result in results.values():
        levels = dict(cell(result).cell.levels)
        column = levels.pop(beside) if beside is not None else "value"
        rows.setdefault(", ".join(f"{name}={level}" for name, level in levels.items()) or "all", {})[column] = (
            result
        )
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))

    def cell_text(column: Value) -> Callable[[Mapping[Value, Any]], str]:
        return lambda row: text(row[column]) if column in row else "-"

    shown = [Column(str(column), cell_text(column)) for column in columns]
    show_table(console, title, "", shown, rows)


def _show_comparisons(console: Console, study: Study, results: Sequence[CellResult], beside: str | None) -> None:
    assert study.compare is not None
    confidence = study.plan.precision.confidence
    found = list(comparisons(study, results))
    for metric in dict.fromkeys(metric for _result, metric, _paired in found):
        own = {number: (result, pair) for number, (result, its, pair) in enumerate(found) if its == metric}
        seeds = "common" if study.plan.replications.common else "independent"
        base = study.compare.baseline
        title = f"{label(metric)}: difference to {base}, {seeds} seeds, simultaneous {confidence:.0%} interval"
        _pivot(console, title, beside, own, lambda entry: _difference(entry[1]), lambda entry: entry[0])
    held = f"all intervals of a table hold together with {confidence:.0%} confidence"
    console.print(Text(f"~: undecided, the interval holds 0 (simultaneous: {held})"))


def _difference(pair: Paired) -> str:
    undecided = "~" if pair.verdict == "undecided" else ""
    found = pair.together
    if pair.relative != pair.relative:  # the baseline is 0
        return f"{undecided}{found.mean:+,.1f} ±{found.half_width:,.1f}"
    base = found.mean / pair.relative if pair.relative else 0.0
    width = abs(100 * found.half_width / base) if base else 0.0
    return f"{undecided}{100 * pair.relative:+,.1f} ±{width:.1f}%"


def _show_replications(console: Console, study: Study, results: Sequence[CellResult]) -> None:
    counts = [len(result.records) for result in results]
    dropped, of = left_out(results)
    unsettled = sum(result.unsettled for result in results)
    console.print(
        Text(
            f"{count_of(sum(counts), 'replication')}, {min(counts)} to {max(counts)} per cell; "
            f"warm-up ({study.plan.warmup}): {dropped:,} of {of:,} operations dropped "
            f"({dropped / max(1, of):.1%}), {count_of(unsettled, 'pilot')} too short to say"
        ),
        soft_wrap=True,
    )
    short = [result for result in results if result.failure is None and not result.reached]
    if short:
        relative = study.plan.precision.relative
        text = f"!: {count_of(len(short), 'cell')} not within ±{relative:.1%} after {study.plan.replications.most}"
        console.print(Text(text, style="yellow"))


def _show_exceptions(console: Console, study: Study, results: Sequence[CellResult]) -> None:
    """Print the cells that failed, and those whose runs failed a check."""
    for result in results:
        if result.failure is not None:
            text = f"failed: {result.cell.named()}: {result.failure}; {result.command(-1)}"
            console.print(Text(text, style="red"), soft_wrap=True)
    for name in dict.fromkeys(name for result in results for name in result.exceptions()):
        failing = [result for result in results if name in result.exceptions()]
        count, replication, words = failing[0].exceptions()[name]
        accepted = name in study.plan.accept
        text = (
            f"{'accepted' if accepted else 'check failed'}: {name} in {count_of(len(failing), 'cell')}; first: "
            f"{failing[0].cell.named()}, {count_of(count, 'exception')}, {words}"
        )
        text += "" if accepted else f"; {failing[0].command(replication)}"
        console.print(Text(text, style="" if accepted else "red"), soft_wrap=True)


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) < 1_000 else f"{value:,.0f}"
