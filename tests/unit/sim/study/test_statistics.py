"""Intervals, the stopping rule and paired differences, held against published tables and direct computation."""

import math
import statistics
from random import Random

import pytest
from scipy import stats

from sim.study.statistics import Interval, checkpoint_after, interval, paired, student_t, variance

VALUES = [1.20, 1.50, 1.68, 1.89, 0.95, 1.49, 1.58, 1.55, 0.50, 1.09]
"""Law, Simulation Modeling and Analysis, example 4.27: the 90 % interval is 1.34 ± 0.24."""


def test_the_interval_is_the_textbooks() -> None:
    """Ten observations of the textbook give its mean and its half-width."""
    found = interval(VALUES, 0.90)
    assert found.mean == pytest.approx(1.343)
    assert found.half_width == pytest.approx(0.24, abs=0.005)
    assert (found.low, found.high) == pytest.approx((1.10, 1.58), abs=0.01)


@pytest.mark.parametrize(
    ("confidence", "degrees", "quantile"), [(0.95, 4, 2.776), (0.90, 9, 1.833), (0.99, 1, 63.657)]
)
def test_quantiles_are_those_of_the_table(confidence: float, degrees: int, quantile: float) -> None:
    """Student's t, to the three digits that tables give."""
    assert student_t(confidence, degrees) == pytest.approx(quantile, abs=5e-4)


def test_order_does_not_matter() -> None:
    """The same observations in another order give the same bits."""
    shuffled = list(VALUES)
    Random(3).shuffle(shuffled)
    assert interval(shuffled, 0.95) == interval(VALUES, 0.95)


def test_one_observation_says_nothing_about_its_spread() -> None:
    """The interval of a single observation is unbounded, and never narrow enough."""
    found = interval([3.0], 0.95)
    assert found == Interval(3.0, math.inf, 1)
    assert checkpoint_after(found, 0.02, 10) == 2


def test_equal_observations_are_exactly_known() -> None:
    """Without spread the interval is the value itself, also where that is 0, and no more are needed."""
    for value in (0.0, 0.1, 7e9):
        found = interval([value] * 3, 0.95)
        assert (found.low, found.high, found.relative) == (value, value, 0.0)
        assert checkpoint_after(found, 0.02, 10) is None


@pytest.mark.parametrize(
    ("found", "next_checkpoint"),
    [
        (Interval(100.0, 1.9, 5), None),  # ± 1.9 %: enough
        (Interval(-100.0, 1.9, 5), None),  # of the absolute mean
        (Interval(100.0, 2.2, 5), 7),  # 5 * 1.1 ** 2 = 6.05
        (Interval(100.0, 2.0000001, 5), 6),  # at least one more
        (Interval(100.0, 50.0, 5), 10),  # at most twice as many
        (Interval(100.0, 50.0, 30), 40),  # at most the cap
        (Interval(100.0, 50.0, 40), None),
        (Interval(0.0, 1.0, 5), 10),  # of nothing, no share
    ],
)
def test_where_the_stopping_rule_looks_next(found: Interval, next_checkpoint: int | None) -> None:
    """The next checkpoint is where the present spread says ± 2 % will be reached, within its bounds."""
    assert checkpoint_after(found, 0.02, 40) == next_checkpoint


def test_pairs_are_compared_by_their_differences() -> None:
    """The interval is scipy's of the differences; observations without partner are left out."""
    base = [10.0, 20.0, 30.0, 40.0, 99.0]
    values = [11.0, 22.0, 31.0, 42.0]
    found = paired(values, base, 0.95, 1)
    expected = stats.ttest_rel(values, base[:4]).confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(expected))
    assert found.difference.n == 4
    assert found.relative == pytest.approx(1.5 / 25.0)
    differences = [value - other for value, other in zip(values, base, strict=False)]
    assert found.variance_ratio == pytest.approx(
        statistics.variance(differences) / (statistics.variance(values) + statistics.variance(base[:4]))
    )
    assert found.verdict == "more"
    assert paired(base[:4], values, 0.95, 1).verdict == "less"


def test_many_comparisons_need_more_than_one() -> None:
    """A difference that one comparison shows is undecided as one of a thousand (Bonferroni)."""
    base, values = [10.0, 12.0, 9.0, 11.0], [10.9, 12.4, 9.8, 11.5]
    assert paired(values, base, 0.95, 1).verdict == "more"
    assert paired(values, base, 0.95, 1000).verdict == "undecided"


def test_equal_cells_do_not_differ() -> None:
    """A cell compared with one that does the same is undecided, the interval is 0, and nothing is divided by 0."""
    found = paired([5.0, 5.0], [5.0, 5.0], 0.95, 1)
    assert (found.difference.low, found.difference.high, found.verdict) == (0.0, 0.0, "undecided")
    assert math.isnan(found.variance_ratio)
    assert math.isnan(paired([0.0, 0.0], [0.0, 0.0], 0.95, 1).relative)


def test_variance_is_the_samples() -> None:
    """n - 1 in the denominator."""
    assert variance(VALUES) == pytest.approx(statistics.variance(VALUES))


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    """Of 2,000 intervals of normal observations 95 % ± 1.5 % hold the true mean: three standard errors."""
    random = Random(11)
    held = sum(
        found.low <= 10.0 <= found.high
        for found in (interval([random.gauss(10.0, 3.0) for _ in range(5)], 0.95) for _ in range(2000))
    )
    assert 0.935 <= held / 2000 <= 0.965
