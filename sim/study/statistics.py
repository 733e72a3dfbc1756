"""What replications say: means with confidence intervals, how many replications are enough, paired differences.

Replications are independent runs of one cell with seeds of their own; a metric of a replication (a mean, a p99)
is one observation, and observations of n replications are averaged. For their mean Student's t interval

    mean ± t(1 - (1 - confidence)/2, n - 1) * s / sqrt(n)

is used (Law, Simulation Modeling and Analysis, section 9.4.1, replication/deletion). It needs no more of the
observations than that they are independent, alike, and not wildly skewed.

**Stopping rule** (sequential, relative precision; Law section 9.4.1): after a first `least` replications, go on
until the half-width is at most `relative` times the absolute mean, or until `most`. It is looked at only
at checkpoints: the next one is where the present spread says the goal will be reached, at most twice as many as
now. A rule that looks after every replication stops too often by luck; this one looks a few times, and always
at the same numbers of replications for the same observations, whoever computed them in whatever order.

**Paired comparison.** Cells of a study get the same seeds (common random numbers), so observations of two cells
pair up by replication. The interval is that of the mean of the differences: what both have in common cancels
out. `variance_ratio` says how much that gains: the variance of the differences over the sum of the variances, 1
if the pairing gains nothing.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

from attrs import frozen


@frozen
class Interval:
    """A mean of n observations and its confidence interval; of one observation, the interval is unbounded."""

    mean: float
    half_width: float
    n: int

    @property
    def low(self) -> float:
        """The lower end."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + self.half_width

    @property
    def relative(self) -> float:
        """The half-width relative to the mean: 0.02 is ±2 %. 0 when exactly known."""
        if not self.half_width:
            return 0.0
        return self.half_width / abs(self.mean) if self.mean else math.inf


def interval(values: Sequence[float], confidence: float) -> Interval:
    """Give the mean of one or more `values` and its Student t interval."""
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, math.inf, 1)
    if min(values) == max(values):
        return Interval(values[0], 0.0, n)
    return Interval(mean, student_t(confidence, n - 1) * math.sqrt(variance(values) / n), n)


def variance(values: Sequence[float]) -> float:
    """Give the sample variance of two or more `values`."""
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


@lru_cache(maxsize=4096)
def student_t(confidence: float, degrees: int) -> float:
    """Give the quantile of Student's t that cuts off (1 - confidence)/2 on each side."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def checkpoint_after(found: Interval, relative: float, most: int) -> int | None:
    """Give the number of replications to look at next, None when these are enough."""
    if found.relative <= relative or found.n >= most:
        return None
    needed = found.n * (found.relative / relative) ** 2 if math.isfinite(found.relative) else math.inf
    return min(most, max(found.n + 1, math.ceil(min(needed, 2 * found.n))))


@frozen
class Paired:
    """How much larger a metric is in one cell than in another, over the replications of both."""

    difference: Interval
    """At the confidence that was asked for, as if it were the only comparison."""
    together: Interval
    """The same difference with the wider interval that decides: those of a family hold all at once."""
    relative: float
    """The difference over the baseline's mean; nan where that is 0."""
    variance_ratio: float
    """Variance of the differences over the sum of both variances; nan where both are 0."""
    verdict: str
    """"more", "less", or "undecided": by which side of 0 `together` is on, if it is on one."""


def paired(values: Sequence[float], baseline: Sequence[float], confidence: float, family: int) -> Paired:
    """Compare the observations of two cells, replication by replication.

    `family` is how many comparisons are made at once: for the verdict the interval is widened as Bonferroni
    says, so that the probability that any of their verdicts is wrong stays below 1 - confidence.
    """
    pairs = list(zip(values, baseline, strict=False))  # replications that only one cell needed have no partner
    differences = [value - base for value, base in pairs]
    difference = interval(differences, confidence)
    together = interval(differences, 1 - (1 - confidence) / family)
    mean = math.fsum(base for _value, base in pairs) / len(pairs)
    spread = sum(variance(side) for side in zip(*pairs, strict=True)) if len(pairs) > 1 else 0.0
    return Paired(
        difference=difference,
        together=together,
        relative=difference.mean / mean if mean else math.nan,
        variance_ratio=variance(differences) / spread if spread else math.nan,
        verdict="more" if together.low > 0 else "less" if together.high < 0 else "undecided",
    )
