"""The figures of studies: metrics over a factor as lines with bands, and differences to the baseline."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from attrs import frozen

from sim.report.figure import Choice, Figure, Trace, axis, digits, figure_of
from sim.report.figures import Groups
from sim.report.portrait import merged
from sim.study.campaign import CellResult
from sim.study.metrics import label
from sim.study.model import Factor, Study, Value
from sim.study.statistics import interval
from sim.study.tables import comparisons


@frozen
class Arrangement:
    """Which factor is the abscissa, which the lines; all others are chosen from a list."""

    across: Factor | None
    lines: Factor | None
    others: list[Factor]

    def others_of(self, result: CellResult) -> str:
        """Give the levels of a cell that are chosen from the list, in words."""
        return ", ".join(f"{factor.name}={result.cell.levels[factor.name]}" for factor in self.others) or "all"


def arranged(study: Study) -> Arrangement:
    """Lines are the compared factor's levels; across goes the factor with the most numbers for levels."""
    rest = list(study.factors)
    lines = next((factor for factor in rest if study.compare and factor.name == study.compare.factor), None)
    if lines is None and len(rest) > 1:
        lines = rest[-1]
    rest = [factor for factor in rest if factor is not lines]
    numeric = [factor for factor in rest if _is_numeric(factor)]
    across = max(numeric or rest, key=lambda factor: len(factor.levels), default=None)
    return Arrangement(across, lines, [factor for factor in rest if factor is not across])


def groups_of(study: Study, results: Sequence[CellResult]) -> Groups:
    """Group the cells' portraits: those that differ in the lines' factor only are beside each other."""
    lines = arranged(study).lines
    groups: dict[str, dict[str, Any]] = {}
    for result in results:
        if result.records:
            levels = {name: level for name, level in result.cell.levels.items() if not lines or name != lines.name}
            words = ", ".join(f"{name}={level}" for name, level in levels.items()) or "all"
            name = str(result.cell.levels[lines.name]) if lines else ""
            groups.setdefault(words, {})[name] = merged(result.records)
    return groups


def study_figures(study: Study, results: Sequence[CellResult]) -> Iterator[Figure]:
    """Give the figures that only studies have."""
    arrangement = arranged(study)
    if arrangement.across is not None:
        yield sweep(study, results, arrangement)
        if study.compare is not None and arrangement.lines is not None:
            yield differences(study, results, arrangement)


def sweep(study: Study, results: Sequence[CellResult], arrangement: Arrangement) -> Figure:
    """Draw each metric over the levels of a factor, with its confidence band."""
    confidence = study.plan.precision.confidence
    others = list(dict.fromkeys(map(arrangement.others_of, results)))
    names = _line_names(arrangement)
    draw: dict[tuple[int, ...], list[Trace]] = {}
    for (which, metric), (place, other) in product(enumerate(study.metrics), enumerate(others)):
        traces: list[Trace] = []
        for series, name in enumerate(names):
            own = [
                result for result in results if _is_on(result, arrangement, other, name) and result.values(metric)
            ]
            found = [interval(result.values(metric), confidence) for result in own]
            xs = _across(own, arrangement)
            traces += [
                _edge(name, series, xs, [one.low for one in found], "none", "ci low"),
                _edge(name, series, xs, [one.high for one in found], "tonexty", "ci high"),
                _line(name, series, xs, [one.mean for one in found]),
            ]
        draw[which, place] = traces
    metrics = [label(metric) for metric in study.metrics]
    choices = [Choice("Metric", metrics, "yaxis"), Choice("Of", others)]
    return figure_of(
        "sweep",
        "Metrics over factors",
        f"Means of replications; the band is the {confidence:.0%} confidence interval of the mean.",
        choices,
        draw,
        {"xaxis": _across_axis(arrangement), "yaxis": axis("", rangemode="tozero")},
    )


def differences(study: Study, results: Sequence[CellResult], arrangement: Arrangement) -> Figure:
    """Draw how much each level differs from the baseline, with the interval that decides whether it does."""
    assert study.compare is not None
    found = list(comparisons(study, results))
    metrics = list(dict.fromkeys(metric for _result, metric, _pair in found))
    others = list(dict.fromkeys(map(arrangement.others_of, results)))
    names = _line_names(arrangement)
    draw: dict[tuple[int, ...], list[Trace]] = {}
    for (which, metric), (place, other) in product(enumerate(metrics), enumerate(others)):
        draw[which, place] = [
            _bars(
                name,
                series,
                [
                    (result, pair.relative, pair.together.half_width * abs(pair.relative / pair.together.mean))
                    if pair.together.mean
                    else (result, 0.0, 0.0)
                    for result, its, pair in found
                    if its == metric and _is_on(result, arrangement, other, name)
                ],
                arrangement,
            )
            for series, name in enumerate(names)
            if name != str(study.compare.baseline)
        ]
    choices = [Choice("Metric", [label(metric) for metric in metrics]), Choice("Of", others)]
    confidence = study.plan.precision.confidence
    return figure_of(
        "differences",
        f"Differences to {study.compare.baseline}",
        f"How many times what {study.compare.baseline} has: from the mean of the differences of replications with "
        f"{'common' if study.plan.replications.common else 'independent'} seeds, with an interval. All of a "
        f"metric's hold together at {confidence:.0%}; where one holds 1, the study cannot tell.",
        choices,
        draw,
        {
            "xaxis": _across_axis(arrangement),
            "yaxis": axis(f"times {study.compare.baseline}", log=True, tickformat="~g"),
        },
    )


def _line_names(arrangement: Arrangement) -> list[str]:
    return [str(level.value) for level in arrangement.lines.levels] if arrangement.lines else [""]


def _is_on(result: CellResult, arrangement: Arrangement, other: str, name: str) -> bool:
    """Tell whether a cell is a point of the line `name` in the view `other`."""
    on_line = arrangement.lines is None or str(result.cell.levels[arrangement.lines.name]) == name
    return on_line and arrangement.others_of(result) == other


def _across(results: Sequence[CellResult], arrangement: Arrangement) -> list[Value]:
    assert arrangement.across is not None
    return [result.cell.levels[arrangement.across.name] for result in results]


def _line(name: str, series: int, xs: list[Value], ys: list[float]) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name or "mean",
        "series": series,
        "x": xs,
        "y": [digits(y) for y in ys],
    }


def _edge(name: str, series: int, xs: list[Value], ys: list[float], fill: str, what: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{name} {what}".strip(),
        "series": series,
        "x": xs,
        "y": [digits(y) for y in ys],
        "line": {"width": 0},
        "fill": fill,
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _bars(name: str, series: int, points: list[tuple[CellResult, float, float]], arrangement: Arrangement) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "series": series,
        "x": _across([result for result, _relative, _half in points], arrangement),
        "y": [digits(1 + relative) for _result, relative, _half in points],
        "error_y": {"type": "data", "array": [digits(half) for _result, _relative, half in points]},
    }


def _across_axis(arrangement: Arrangement) -> dict[str, Any]:
    """Put numbers that grow by factors on a logarithmic axis with ticks of their own, names on categories."""
    assert arrangement.across is not None
    values = [level.value for level in arrangement.across.levels]
    name = arrangement.across.name
    if not _is_numeric(arrangement.across):
        return axis(name, type="category")
    numbers = [float(value) for value in values]
    grows = len(numbers) > 2 and min(numbers) > 0 and max(numbers) / min(numbers) >= 8
    return axis(
        name, type="log" if grows else "linear", tickvals=values, ticktext=[f"{value:g}" for value in numbers]
    )


def _is_numeric(factor: Factor) -> bool:
    return all(
        isinstance(level.value, (int, float)) and not isinstance(level.value, bool) for level in factor.levels
    )
