"""Two folders of results side by side: what differs in what was asked, and in what was found.

Of two runs (or sets of variants) all figures of latency and locks are compared; of two studies the metrics of the
cells that both have, with a mark where the confidence intervals do not overlap. Differences of single runs are what
they are: without replications nobody can say which of them is chance (`study` can).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from rich.console import Console
from rich.text import Text

from sim.errors import BadInput
from sim.scenario.settings import shown
from sim.study.metrics import is_metric, label, metrics_of
from sim.summary import Column, show_table


@frozen
class Figure:
    """One figure in both folders."""

    of: str
    """A variant's name, or a cell's levels; "" of a single run."""
    metric: str
    a: float
    b: float
    apart: bool | None
    """Whether the intervals do not overlap; None where there are none."""

    @property
    def relative(self) -> float | None:
        """How much b differs from a, relative to a; None where a is 0."""
        return (self.b - self.a) / abs(self.a) if self.a else (0.0 if self.b == self.a else None)


@frozen
class Comparison:
    """What two folders have in common and what not."""

    folders: tuple[Path, Path]
    asked: dict[str, tuple[Any, Any]]
    """Keys of what was asked that differ, with both values; None where one does not have the key."""
    figures: list[Figure]
    only: tuple[list[str], list[str]]
    """Variants or cells that only one of the folders has."""

    def as_json(self) -> dict[str, Any]:
        """Give the comparison as plain data."""
        return {
            "schema": 1,
            "folders": [str(folder) for folder in self.folders],
            "asked": {key: list(values) for key, values in self.asked.items()},
            "figures": [
                {
                    "of": one.of,
                    "metric": one.metric,
                    "a": one.a,
                    "b": one.b,
                    "relative": one.relative,
                    "apart": one.apart,
                }
                for one in self.figures
            ],
            "only": [list(names) for names in self.only],
        }


def compared(a: Path, b: Path) -> Comparison:
    """Compare two folders of results. Raises `BadInput`, also when they are not of the same kind."""
    kinds = [_kind(folder) for folder in (a, b)]
    if kinds[0] != kinds[1]:
        raise BadInput(str(b), f"a {kinds[1]}, and {a} is a {kinds[0]}", "two folders of the same kind")
    return _compared_studies(a, b) if kinds[0] == "study" else _compared_runs(a, b)


def _kind(folder: Path) -> str:
    if (folder / "study.json").is_file():
        return "study"
    if _run_files(folder):
        return "run"
    raise BadInput(str(folder), "no results", "a folder that run or study left")


def _run_files(folder: Path) -> dict[str, Path]:
    """Give the results of a run (named ""), or of variants, by name."""
    if (folder / "results.json").is_file():
        return {"": folder / "results.json"}
    return {path.parent.name: path for path in sorted(folder.glob("*/results.json"))}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(str(path), f"no results ({error})", "a file that run or study wrote") from None
    if not isinstance(read, dict) or read.get("schema") != 1:
        raise BadInput(f"{path}: schema", shown(read.get("schema") if isinstance(read, dict) else read), "1")
    return read


@frozen
class _Side:
    """What a file of results says: what was asked, by key, and what was found."""

    asked: dict[str, Any]
    found: dict[str, Any]
    """Of a run, metrics by name; of a study, rows of cells by their levels."""


def _side(path: Path, of: Callable[[Mapping[str, Any]], _Side]) -> _Side:
    read = _read(path)
    try:
        return of(read)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        found = f"no whole results ({type(error).__name__}: {error})"
        raise BadInput(str(path), found, "a file as run or study wrote it") from None


def _of_run(results: Mapping[str, Any]) -> _Side:
    asked = dict(_leaves({"engine": results["engine"], **results["scenario"]}))
    metrics = metrics_of(results)
    _refuse_other_than_numbers(metrics)
    return _Side(asked, metrics)


def _of_study(study: Mapping[str, Any]) -> _Side:
    factors = study["study"]["factors"]
    cells = {", ".join(f"{name}={row[name]}" for name in factors) or "the only cell": row for row in study["cells"]}
    for row in cells.values():
        metrics = {key: value for key, value in row.items() if is_metric(key)}
        _refuse_other_than_numbers({key: value for key, value in metrics.items() if value is not None})
    return _Side(dict(_leaves({"code": study["code"], **study["study"]})), cells)


def _refuse_other_than_numbers(metrics: Mapping[str, object]) -> None:
    for metric, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{metric} is {value!r}")


def _compared_runs(a: Path, b: Path) -> Comparison:
    both = [{name: _side(path, _of_run) for name, path in _run_files(folder).items()} for folder in (a, b)]
    asked: dict[str, tuple[Any, Any]] = {}
    figures: list[Figure] = []
    for name in both[0].keys() & both[1].keys():
        different = _different(*(side[name].asked for side in both))
        asked |= {f"{name}: {key}" if name else key: values for key, values in different.items()}
    for name in both[0]:
        if name in both[1]:
            ours, theirs = (side[name].found for side in both)
            figures += [Figure(name, key, ours[key], theirs[key], None) for key in ours if key in theirs]
    return Comparison((a, b), dict(sorted(asked.items())), figures, _only(both[0], both[1]))


def _compared_studies(a: Path, b: Path) -> Comparison:
    both = [_side(folder / "study.json", _of_study) for folder in (a, b)]
    cells = [side.found for side in both]
    return Comparison(
        (a, b),
        _different(*(side.asked for side in both)),
        [
            Figure(name, metric, row[metric], cells[1][name][metric], _apart(row, cells[1][name], metric))
            for name, row in cells[0].items()
            if name in cells[1]
            for metric in row
            if is_metric(metric) and row[metric] is not None and cells[1][name].get(metric) is not None
        ],
        _only(cells[0], cells[1]),
    )


def _apart(a: Mapping[str, Any], b: Mapping[str, Any], metric: str) -> bool | None:
    ends = [row.get(f"{metric}.{end}") for row in (a, b) for end in ("ci_low", "ci_high")]
    if any(end is None for end in ends):
        return None
    a_low, a_high, b_low, b_high = (float(end) for end in ends if end is not None)
    return a_high < b_low or b_high < a_low


def _only(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    return [name for name in a if name not in b], [name for name in b if name not in a]


def _leaves(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _different(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)}


# -- the screen -----------------------------------------------------------------------------------

SHOWN_OF_RUNS = ("mean_ns", "p50_ns", "p99_ns", "p999_ns", "handoffs", "mean_wait_ns", "throughput_per_s")
"""Figures of runs that stand on the screen; all are in --json."""


def show_comparison(console: Console, found: Comparison) -> None:
    """Print what differs, figure by figure."""
    console.print(Text(f"A {found.folders[0]}   B {found.folders[1]}", style="bold"))
    asked = [
        Column("A", lambda pair: shown(pair[0]), folds=True),
        Column("B", lambda pair: shown(pair[1]), folds=True),
    ]
    if found.asked:
        show_table(console, "Asked differently", "key", asked, found.asked)
    else:
        console.print(Text("Both were asked the same."))
    for of in dict.fromkeys(one.of for one in found.figures):
        own = [one for one in found.figures if one.of == of and _is_shown(one)]
        show_table(console, of or "Found", "figure", _FOUND, {label(one.metric): one for one in own})
    for folder, names in zip("AB", found.only, strict=True):
        if names:
            console.print(Text(f"Only in {folder}: {'; '.join(names)}"), soft_wrap=True)
    if any(one.apart is not None for one in found.figures):
        console.print(Text("*: the confidence intervals do not overlap"))


def _is_shown(one: Figure) -> bool:
    return one.apart is not None or one.metric.endswith(SHOWN_OF_RUNS)


def _text(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) and abs(value) < 10_000 else f"{value:,.0f}"


def _difference(one: Figure) -> str:
    mark = "*" if one.apart else ""
    return f"{mark}{one.relative:+.1%}" if one.relative is not None else f"{mark}-"


_FOUND: Sequence[Column] = (
    Column("A", lambda one: _text(one.a)),
    Column("B", lambda one: _text(one.b)),
    Column("B to A", _difference),
)
