"""The screen after a calibration: constants and what they are worth, fitted figures and, apart, predicted ones."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from sim.calibration.solution import Compared, Solution, mean_absolute_error
from sim.summary import Column, count_of, show_table


def show_solution(console: Console, solution: Solution, where: str) -> None:
    """Print what a calibration found."""
    targets = solution.targets
    title = (
        f"{targets.path.name}: {count_of(len(targets.constants), 'constant')} fitted to "
        f"{count_of(len(solution.fitted), 'measurement')}, seed {targets.plan.seed}"
    )
    console.print(Text(title, style="bold"))
    _show_constants(console, solution)
    _show_compared(console, "Fitted", solution.fitted)
    if solution.predicted:
        _show_compared(console, "Predicted: not used in the fit", solution.predicted)
    for name in solution.failed_checks:
        console.print(Text(f"check failed: {name}, in the runs with the fitted constants", style="red"))
    if solution.stopped:
        hint = "more evaluations may fit better (the key `evaluations`)"
        console.print(Text(f"stopped {solution.stopped}: {hint}", style="yellow"), soft_wrap=True)
    effort = f"{count_of(solution.evaluations, 'set')} of constants tried in {count_of(solution.runs, 'run')}"
    console.print(Text(f"{effort}; {where}"), soft_wrap=True)


def _show_constants(console: Console, solution: Solution) -> None:
    rows = {
        constant.key: {
            "value": f"{value:,.6g}",
            "error": "-" if worth.std_error is None else f"±{worth.std_error:,.2g}",
            "bounds": f"{constant.lower:,.6g} to {constant.upper:,.6g}",
            "elasticity": f"{worth.elasticity:.3f}",
        }
        for constant, value, worth in zip(solution.targets.constants, solution.point, solution.worths, strict=True)
    }
    columns = [_text("fitted", "value"), _text("std error", "error")]
    columns += [_text("bounds", "bounds", 1), _text("elasticity", "elasticity", 2)]
    show_table(console, "Constants", "key", columns, rows)
    for constant, worth in zip(solution.targets.constants, solution.worths, strict=True):
        if worth.unidentified:
            text = f"{constant.key} is not identified: {worth.unidentified}"
            console.print(Text(text, style="yellow"), soft_wrap=True)
        if worth.at_bound:
            console.print(Text(f"{constant.key} is at its {worth.at_bound} bound", style="yellow"), soft_wrap=True)


def _show_compared(console: Console, title: str, compared: Sequence[Compared]) -> None:
    rows = {
        one.target.measured.name: {
            "published": f"{one.target.measured.value:,.6g}",
            "ours": f"{one.ours:,.6g}",
            "error": f"{one.relative_error:+.1%}",
            "unit": one.target.measured.unit,
        }
        for one in compared
    }
    mean = f"{title}; mean absolute error {mean_absolute_error(compared):.1%}"
    columns = [
        _text("published", "published"),
        _text("ours", "ours"),
        _text("error", "error"),
        _text("unit", "unit", 1),
    ]
    show_table(console, mean, "measurement", columns, rows)


def _text(heading: str, key: str, drop: int = 0) -> Column:
    def cell(row: Mapping[str, str]) -> str:
        return row[key]

    return Column(heading, cell, drop)
