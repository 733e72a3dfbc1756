"""The search: the constants with which the figures come closest to the measurements.

What is minimised is the weighted sum of squares of log(ours / measured): a figure at half and one at twice its
measurement are equally wrong, whatever their units.

Runs are deterministic, but as functions of the constants they are jagged: costs are whole nanoseconds, and a
nanosecond can change who comes first at a lock. So the way goes in two parts.

1. Levenberg-Marquardt within bounds: a Jacobian by steps that are large against the jags, from it the best step by
   `scipy.optimize.lsq_linear` for each of several dampings, and on from the best of these. A round takes as many
   evaluations as there are constants and a few more, all at the same time: with runs of seconds that decides,
   and it follows valleys in which constants make up for each other. (`scipy.optimize.least_squares` asks for one
   point at a time and creeps along bounds; Nelder-Mead and the like take many times as many evaluations.)
2. From the best point found, a compass search, which needs no derivatives: all neighbours one step away in one
   constant, go to the best, else halve the steps; whole numbers end at neighbours of 1. Then both again, with
   steps a quarter as large, until neither helps: one is exact where the other's steps are too large, the other
   follows valleys that lie askew.

Nothing in it is drawn by chance but starts beyond the first.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from attrs import define, field

from sim.calibration.model import Constant, Plan, Point
from sim.chance import stream

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

Residuals: TypeAlias = Callable[[Sequence[Point]], list[list[float]]]
"""Gives the residuals at each of some points: sqrt(weight) * log(ours / measured), for each fitted measurement."""

ENOUGH = 1e-6
"""Relative change of the sum of squares at which least squares stops."""

DAMPINGS = (1e-6, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Levenberg-Marquardt's, relative to the squared length of a constant's column of the Jacobian."""

FLAT = 1e-12
"""Stands for the slope of a constant on which nothing depends."""

FINEST = 1e-3
"""Share of itself by which a constant with fractions is varied at last."""


class _Spent(Exception):
    """No more evaluations are allowed."""


@define
class Search:
    """A search in progress: what was evaluated, and the best of it."""

    constants: Sequence[Constant]
    residuals: Residuals
    plan: Plan
    told: Callable[[int, float], None] = lambda _evaluations, _rms: None
    """Told the evaluations so far and the root mean square of the best point's residuals."""
    spare: int = 0
    """Of the plan's evaluations, those that are left to whoever asks what the result is worth."""
    known: dict[Point, Array] = field(factory=dict)
    """Residuals, in the order in which the points were asked for."""
    converged: bool = False
    """Whether `run` ended because nothing helped any more, and not because no more evaluations were allowed."""
    _allowed: int = 0
    _step: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._step = self.plan.step

    def run(self, start: Point) -> Point:
        """Give the best point that `plan.evaluations` find, `start` at worst."""
        budget = self.plan.evaluations - self.spare
        share = budget // (self.plan.starts + 1)
        for number in range(self.plan.starts):
            self._allowed = min(budget, len(self.known) + share)
            self._within_budget(self._descend, start if number == 0 else self._drawn(number))
        self._allowed = budget
        self.ask([start])
        self.converged = self._within_budget(self._refine, self.best)
        return self.best

    @property
    def best(self) -> Point:
        """The point with the smallest sum of squares, the first of equals."""
        return min(self.known, key=self.cost)

    def cost(self, point: Point) -> float:
        """Give the sum of squares at a point that was evaluated."""
        return float(np.dot(self.known[point], self.known[point]))

    def ask(self, points: Sequence[Point]) -> None:
        """Have points evaluated, all at the same time. Raises when that would be too many."""
        missing = [point for point in dict.fromkeys(points) if point not in self.known]
        if len(self.known) + len(missing) > self._allowed:
            raise _Spent
        for point, found in zip(missing, self.residuals(missing) if missing else [], strict=True):
            self.known[point] = np.asarray(found, dtype=np.float64)
        best = self.known[self.best]
        self.told(len(self.known), float(np.sqrt(np.mean(best * best))))

    def _within_budget(self, part: Callable[[Point], None], start: Point) -> bool:
        """Do a part of the search; tell whether it came to its end."""
        try:
            part(start)
        except _Spent:
            return False
        return True

    def _drawn(self, number: int) -> Point:
        """Draw a start within the bounds, evenly in the logarithm where a constant is above 0."""
        random = stream(self.plan.seed, f"calibrate/start/{number}")
        return tuple(
            constant.nearest(
                constant.lower * (constant.upper / constant.lower) ** random.random()
                if constant.lower > 0
                else constant.lower + (constant.upper - constant.lower) * random.random()
            )
            for constant in self.constants
        )

    def _refine(self, start: Point) -> None:
        """Go on from the best point found by both ways in turn, with ever smaller steps, while that helps."""
        here = start
        while True:
            self._compass(here)
            self._step /= 4
            self._descend(self.best)
            if self.best == here:
                return
            here = self.best

    def _descend(self, start: Point) -> None:
        """Go down by steps of damped least squares, while they help."""
        here = start
        while True:
            ahead = self._ahead(here)
            self.ask([here, *ahead])
            tried = self._steps_from(here, ahead)
            self.ask(tried)
            best = min(tried, key=self.cost)
            if self.cost(best) >= self.cost(here) * (1 - ENOUGH):
                return
            here = best

    def _steps_from(self, here: Point, ahead: Sequence[Point]) -> list[Point]:
        """Give where damped least squares leads from a point, for each damping; `ahead` tells the slopes."""
        from scipy.optimize import lsq_linear

        place = np.array(here, dtype=np.float64)
        lower = np.array([constant.lower for constant in self.constants]) - place
        upper = np.array([constant.upper for constant in self.constants]) - place
        residuals = self.known[here]
        columns = [(self.known[other] - residuals) / (other[i] - here[i]) for i, other in enumerate(ahead)]
        jacobian = np.stack(columns, axis=1)
        lengths = np.maximum(np.linalg.norm(jacobian, axis=0), FLAT)
        goal = np.concatenate([-residuals, np.zeros(len(here))])
        found = []
        for damping in DAMPINGS:
            damped = np.concatenate([jacobian, math.sqrt(damping) * np.diag(lengths)])
            step = lsq_linear(damped, goal, bounds=(lower, upper), method="bvls").x
            found.append(self._point(place + step))
        return found

    def _ahead(self, point: Point) -> list[Point]:
        """Give the neighbours for the slope: a step up in each constant, or down at its upper bound."""
        steps = steps_at(self.constants, point, self._step)
        neighbours = []
        for index, (constant, step) in enumerate(zip(self.constants, steps, strict=True)):
            up = moved(self.constants, point, index, step)
            neighbours.append(up if point[index] < constant.upper else moved(self.constants, point, index, -step))
        return neighbours

    def _compass(self, start: Point) -> None:
        """Go from neighbour to neighbour while that helps, with ever smaller steps."""
        here, steps = start, list(steps_at(self.constants, start, self._step))
        while True:
            neighbours = [
                moved(self.constants, here, index, sign * step)
                for index, step in enumerate(steps)
                for sign in (1, -1)
            ]
            self.ask(neighbours)
            best = min(neighbours, key=self.cost)
            if self.cost(best) < self.cost(here):
                here = best
                continue
            finer = [
                _halved(constant, step, value)
                for constant, step, value in zip(self.constants, steps, here, strict=True)
            ]
            if finer == steps:
                return
            steps = finer

    def _point(self, place: Array) -> Point:
        return tuple(constant.nearest(float(value)) for constant, value in zip(self.constants, place, strict=True))


def steps_at(constants: Sequence[Constant], point: Point, share: float) -> list[float]:
    """Give by how much each constant is varied at `point`: `share` of itself, and not too little."""
    return [
        max(1.0, float(round(share * abs(value))))
        if constant.integer
        else max(share * abs(value), share * (constant.upper - constant.lower) / 100)
        for constant, value in zip(constants, point, strict=True)
    ]


def moved(constants: Sequence[Constant], point: Point, index: int, step: float) -> Point:
    """Give `point` with one constant moved by `step`, as far as its bounds allow."""
    return (*point[:index], constants[index].nearest(point[index] + step), *point[index + 1 :])


def _halved(constant: Constant, step: float, value: float) -> float:
    """Give half a step, not finer than the finest."""
    if constant.integer:
        return max(1.0, step // 2)
    finest = FINEST * max(abs(value), (constant.upper - constant.lower) / 100)
    return step / 2 if step / 2 >= finest else step
