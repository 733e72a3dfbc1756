"""The costs file: what was fitted, as the tables of a scenario, and how well.

`[costs]` and `[machine]` hold the fitted constants and the model that they are for, so that a scenario can name the
file in `costs.file` and have the rest from elsewhere. `[fit]` says where they are from; `[[fit.constant]]`,
`[[fit.fitted]]` and `[[fit.predicted]]` how good it is. Figures have six digits: more would be the machine's.
"""

import shlex
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import tomli_w

from sim.calibration.model import Constant
from sim.calibration.solution import Compared, Solution, mean_absolute_error
from sim.calibration.uncertainty import Worth
from sim.extensions import described, loaded, words
from sim.scenario.settings import Table, put

HEAD = "# Fitted by vmapsim; docs/how-to/calibrate.md says how to use and to read it.\n\n"

METHOD = "Levenberg-Marquardt on log(ours / published) within bounds, then a compass search, in turn"


def costs_file(solution: Solution) -> str:
    """Give the contents of the costs file; the same for the same targets, seed and program."""
    about = f"fitted to {solution.targets.path.name}"
    return HEAD + tomli_w.dumps({"about": about, **_settings(solution), "fit": _fit(solution)})


def command_of(solution: Solution) -> str:
    """Give the command that makes the file again; where it is written and by how many processes does not matter."""
    targets = solution.targets
    return shlex.join(["./dev", "calibrate", str(targets.path), *words(), "--seed", str(targets.plan.seed)])


def _settings(solution: Solution) -> Table:
    """Give the model and its fitted constants; those of other tables than a costs file has are in `[fit]` only."""
    targets = solution.targets
    model = targets.scenario(targets.fitted[0].ours, solution.point).costs.model
    table: Table = {"costs": {"model": model}}
    for constant, value in zip(targets.constants, solution.point, strict=True):
        if constant.key.partition(".")[0] in ("costs", "machine"):
            put(table, constant.key, value, str(targets.path))
    return table


def _fit(solution: Solution) -> dict[str, Any]:
    targets = solution.targets
    fit: dict[str, Any] = {
        "version": version("vmapsim"),
        "command": command_of(solution),
        **({"extensions": known} if (known := described(loaded())) else {}),
        "seed": targets.plan.seed,
        "method": METHOD,
        "evaluations": solution.evaluations,
        **({"stopped": solution.stopped} if solution.stopped else {}),
        "runs": solution.runs,
        "fitted_mean_abs_error": _rounded(mean_absolute_error(solution.fitted)),
    }
    if solution.predicted:
        fit["predicted_mean_abs_error"] = _rounded(mean_absolute_error(solution.predicted))
    if solution.failed_checks:
        fit["failed_checks"] = solution.failed_checks
    fit["constant"] = [
        _constant(constant, value, worth)
        for constant, value, worth in zip(targets.constants, solution.point, solution.worths, strict=True)
    ]
    fit["fitted"] = _rows(solution.fitted)
    if solution.predicted:
        fit["predicted"] = _rows(solution.predicted)
    return fit


def _constant(constant: Constant, value: int | float, worth: Worth) -> dict[str, Any]:
    row = {
        "key": constant.key,
        "value": value,
        "start": constant.nearest(constant.start),
        "lower": constant.nearest(constant.lower),
        "upper": constant.nearest(constant.upper),
        "elasticity": _rounded(worth.elasticity, 3),
        "at_bound": worth.at_bound,
        "unidentified": worth.unidentified,
    }
    if worth.std_error is not None:
        row["std_error"] = _rounded(worth.std_error, 3)
    return row


def _rows(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    rows = []
    for one in compared:
        measured = one.target.measured
        row = {
            "name": measured.name,
            "published": measured.value,
            "ours": _rounded(one.ours),
            "unit": measured.unit,
            "relative_error": _rounded(one.relative_error, 3),
            "source": measured.source,
        }
        rows.append(row if measured.predict else {**row, "weight": measured.weight})
    return rows


def _rounded(value: float, digits: int = 6) -> float:
    return float(f"{value:.{digits}g}")
