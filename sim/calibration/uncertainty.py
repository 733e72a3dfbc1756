"""What a fit is worth: how much each constant matters, whether it can be told from the others, its standard error.

All of it comes from the slopes of our figures at the solution, by steps to both sides. The standard error is that
of linear least squares, sqrt(s^2 (J^T J)^-1) with s^2 from the residuals: it says how well *these* measurements
determine a constant of *this* model, and nothing of what the model leaves out.
"""

from collections.abc import Sequence

import numpy as np
from attrs import frozen

from sim.calibration.fit import Array, moved, steps_at
from sim.calibration.model import Constant, Point

NOTHING = 1e-3
"""Elasticity below which no figure depends on a constant: doubling it would change them by a thousandth."""

ALIKE = 1e-3
"""Ratio of singular values below which constants make up for each other; steps to both sides leave less."""

PART = 0.1
"""Share of a constant in such a direction from which on it takes part."""


@frozen
class Worth:
    """What is known of a fitted constant."""

    std_error: float | None
    """None where there are too few measurements to tell, at a bound, and where it is not identified."""
    elasticity: float
    """The largest relative change of a figure for a relative change of the constant."""
    unidentified: str
    """Why the measurements do not determine it; empty if they do."""
    at_bound: str
    """"lower", "upper" or empty."""


@frozen(eq=False)
class Seen:
    """What was evaluated at a solution, for m fitted measurements and n constants."""

    ours: Array
    """Our figures (m,)."""
    beside: Array
    """Our figures at `neighbours` (2n, m)."""
    residuals: Array
    """sqrt(weight) * log(ours / measured) (m,)."""
    weights: Array
    """(m,)."""


def neighbours(constants: Sequence[Constant], point: Point, share: float) -> list[Point]:
    """Give the points that `worths` wants evaluated beside `point`: down and up in each constant."""
    steps = steps_at(constants, point, share)
    return [moved(constants, point, index, sign * step) for index, step in enumerate(steps) for sign in (-1, 1)]


def worths(constants: Sequence[Constant], point: Point, share: float, seen: Seen) -> list[Worth]:
    """Say what the fit at `point` is worth, constant by constant; `neighbours` were taken with the same `share`."""
    beside = neighbours(constants, point, share)
    scales = np.array([max(abs(value), 1e-12) for value in point])
    widths = np.array([beside[2 * i + 1][i] - beside[2 * i][i] for i in range(len(constants))])
    # Relative change of each figure (rows) for a relative change of each constant (columns).
    elasticities = (seen.beside[1::2] - seen.beside[0::2]).T / seen.ours[:, None] / widths * scales
    most = np.max(np.abs(elasticities), axis=0)
    reasons = _unidentified(constants, elasticities, most)
    errors = _standard_errors(elasticities, seen, [not reason for reason in reasons]) * scales
    found = []
    for index, (constant, value) in enumerate(zip(constants, point, strict=True)):
        at_bound = "lower" if value <= constant.lower else "upper" if value >= constant.upper else ""
        known = not reasons[index] and not at_bound and np.isfinite(errors[index])
        error = float(errors[index]) if known else None
        found.append(Worth(error, float(most[index]), reasons[index], at_bound))
    return found


def _unidentified(constants: Sequence[Constant], elasticities: Array, most: Array) -> list[str]:
    """Say of each constant why the measurements do not determine it; "" where they do."""
    reasons = ["" if elasticity > NOTHING else "no measurement depends on it" for elasticity in most]
    live = [index for index, reason in enumerate(reasons) if not reason]
    if len(live) < 2:
        return reasons
    # Columns of equal length: what counts is whether constants change the figures in the same way.
    columns = elasticities[:, live] / np.linalg.norm(elasticities[:, live], axis=0)
    _left, values, directions = np.linalg.svd(columns, full_matrices=True)
    lengths = np.concatenate([values, np.zeros(len(live) - len(values))])
    for length, direction in zip(lengths, directions, strict=True):
        together = [place for place, part in enumerate(direction) if abs(part) > PART]
        if length > ALIKE * lengths[0]:
            continue
        for place in together:
            others = [constants[live[other]].key for other in together if other != place]
            reasons[live[place]] = f"only together with {', '.join(others)}"
    return reasons


def _standard_errors(elasticities: Array, seen: Seen, identified: Sequence[bool]) -> Array:
    """Give relative standard errors; not a number where there is no telling."""
    errors = np.full(len(identified), np.nan)
    freedom = len(seen.residuals) - elasticities.shape[1]
    chosen = np.flatnonzero(identified)
    if freedom <= 0 or not len(chosen):
        return errors
    weighted = elasticities[:, chosen] * np.sqrt(seen.weights)[:, None]
    variance = float(np.dot(seen.residuals, seen.residuals)) / freedom
    errors[chosen] = np.sqrt(variance * np.diag(np.linalg.pinv(weighted.T @ weighted)))
    return errors
