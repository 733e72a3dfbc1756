"""A calibration from the first run to the last: fit, then what it is worth, and only then the predictions."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from attrs import frozen

from sim.calibration.fit import Search
from sim.calibration.model import Point, Target, Targets
from sim.calibration.runs import Evaluator
from sim.calibration.uncertainty import Seen, Worth, neighbours, worths
from sim.errors import BadInput

NEARLY_0 = 1e-9
"""The least ratio of a figure to its measurement that counts."""


@frozen
class Compared:
    """A measurement and our figure for it."""

    target: Target
    ours: float

    @property
    def relative_error(self) -> float:
        """(ours - measured) / measured."""
        return self.ours / self.target.measured.value - 1


@frozen
class Progress:
    """How far a calibration is."""

    evaluations: int
    runs: int
    rms: float
    """Root mean square of the best point's residuals; not a number before the first."""


@frozen
class Solution:
    """What a calibration found."""

    targets: Targets
    point: Point
    worths: list[Worth]
    fitted: list[Compared]
    predicted: list[Compared]
    evaluations: int
    """Sets of constants that were tried, those that tell what the result is worth included."""
    converged: bool
    """Whether the search ended by itself."""
    runs: int
    """Simulations, those for predictions included."""
    failed_checks: list[str]

    @property
    def stopped(self) -> str:
        """Say of a search that was cut off when it was; "" of one that was not."""
        return "" if self.converged else f"after {self.evaluations:,} evaluations, before it converged"


def calibrate(targets: Targets, evaluator: Evaluator, told: Callable[[Progress], None]) -> Solution:
    """Fit the constants and predict what is to be predicted; the same for the same targets, whoever runs them."""
    fitted = targets.fitted
    to_predict = [target for target in targets.targets if target.measured.predict]
    progress = Progress(0, 0, math.nan)

    def tell(evaluations: int, rms: float) -> None:
        nonlocal progress
        progress = Progress(evaluations, evaluator.runs, rms)
        told(progress)

    evaluator.told = lambda runs: told(Progress(progress.evaluations, runs, progress.rms))

    def residuals(points: Sequence[Point]) -> list[list[float]]:
        return [list(map(_residual, compared)) for compared in _compared(evaluator, fitted, points)]

    _refuse_nothing(targets, evaluator)

    search = Search(targets.constants, residuals, targets.plan, tell, spare=targets.beside)
    point = search.run(targets.start)
    beside = neighbours(targets.constants, point, targets.plan.step)
    ours, *others = evaluator.evaluate(fitted, [point, *beside])
    weights = np.array([target.measured.weight for target in fitted])
    seen = Seen(np.array(ours), np.array(others), search.known[point], weights)
    (predicted,) = _compared(evaluator, to_predict, [point])
    return Solution(
        targets=targets,
        point=point,
        worths=worths(targets.constants, point, targets.plan.step, seen),
        fitted=[Compared(target, figure) for target, figure in zip(fitted, ours, strict=True)],
        predicted=predicted,
        evaluations=len({*search.known, *beside}),
        converged=search.converged,
        runs=evaluator.runs,
        failed_checks=evaluator.failed_checks(targets.targets, point),
    )


def _refuse_nothing(targets: Targets, evaluator: Evaluator) -> None:
    """Refuse figures that are not above 0 where the search starts: they have no logarithm."""
    (start,) = _compared(evaluator, targets.fitted, [targets.start])
    for one in start:
        if one.ours <= 0:
            where = f"{targets.path}: measurement {one.target.measured.name!r}: metric {one.target.ours.metric}"
            raise BadInput(where, f"{one.ours:g} with the constants' starts", "a figure above 0")


def _residual(one: Compared) -> float:
    """Give sqrt(weight) * log(ours / measured); what is 0 far from the start is taken for very little."""
    return math.sqrt(one.target.measured.weight) * math.log(max(one.ours / one.target.measured.value, NEARLY_0))


def _compared(evaluator: Evaluator, targets: Sequence[Target], points: Sequence[Point]) -> list[list[Compared]]:
    return [
        [Compared(target, figure) for target, figure in zip(targets, figures, strict=True)]
        for figures in evaluator.evaluate(targets, points)
    ]


def mean_absolute_error(compared: Sequence[Compared]) -> float:
    """Give the mean of the absolute relative errors."""
    return sum(abs(one.relative_error) for one in compared) / len(compared)
