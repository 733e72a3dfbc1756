"""The search on functions that are known: minima are found, with fractions and whole numbers, jags or not."""

from collections.abc import Sequence

import numpy as np
import pytest

from sim.calibration.fit import Search, steps_at
from sim.calibration.model import Constant, Plan, Point

WHOLE = [Constant("a", 10, 0, 1000, integer=True), Constant("b", 500, 1, 1000, integer=True)]
BROKEN = [Constant("a", 10, 0, 1000), Constant("b", 500, 1, 1000)]


def search(
    constants: Sequence[Constant], goal: tuple[float, float], jag: float = 0.0, evaluations: int = 300
) -> Search:
    """Make a search for `goal` by three figures that both constants change, with jags of that height."""
    matrix = np.array([[1.0, 2.0], [3.0, 1.0], [1.0, 1.0]])
    wanted = matrix @ np.array(goal)

    def residuals(points: Sequence[Point]) -> list[list[float]]:
        figures = [matrix @ np.array(point) for point in points]
        return [list(np.log((found + jag * (np.floor(found) % 3 - 1)) / wanted)) for found in figures]

    return Search(constants, residuals, Plan(evaluations=evaluations))


def start_of(constants: Sequence[Constant]) -> Point:
    return tuple(constant.nearest(constant.start) for constant in constants)


@pytest.mark.parametrize("goal", [(700, 30), (3, 900), (0, 1), (1000, 1000)])
def test_whole_numbers_are_found_exactly(goal: tuple[float, float]) -> None:
    """Also far from the start and on bounds."""
    assert search(WHOLE, goal).run(start_of(WHOLE)) == goal


def test_fractions_are_found_closely() -> None:
    """To a thousandth or so."""
    assert search(BROKEN, (712.25, 30.5)).run(start_of(BROKEN)) == pytest.approx((712.25, 30.5), rel=2e-3)


def test_jags_do_not_stop_it() -> None:
    """Figures that jump by up to 2 between whole numbers leave the constants within a few of the goal."""
    found = search(WHOLE, (400, 300), jag=1.0).run(start_of(WHOLE))
    assert found == pytest.approx((400, 300), abs=4)


def test_a_budget_is_kept_and_the_best_is_given() -> None:
    """With few evaluations the best of them is the result, and better than the start."""
    short = search(WHOLE, (700, 30), evaluations=8)
    found = short.run(start_of(WHOLE))
    assert len(short.known) <= 8
    assert short.cost(found) == min(map(short.cost, short.known))
    assert short.cost(found) < short.cost(start_of(WHOLE))


def test_steps_are_whole_where_constants_are() -> None:
    """A share of the value, at least 1 for whole numbers, at least a share of the range's hundredth for others."""
    assert steps_at(WHOLE, (0, 500), 0.05) == [1.0, 25.0]
    assert steps_at(BROKEN, (0.0, 500.0), 0.05) == pytest.approx([0.5, 25.0])
