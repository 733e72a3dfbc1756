"""Latency per operation and per number of nodes asked, folded in a chunk of operations at a time.

In virtual time latencies repeat: the peer model's 200,000 operations have 684 different ones. So equal ones are
counted first, in C, and only the different ones are looked at.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from operator import itemgetter
from typing import Protocol, TypeAlias

from attrs import define, field, frozen

from sim.metrics import histogram

Measured: TypeAlias = tuple[str, int, int, int, int]
"""Operation, probes, latency_ns, queue_ns, service_ns."""


MANY_DIFFERENT = 4096
"""Different ones that are counted before they are looked at: a few hundred KiB."""


@define
class Latency:
    """What is kept of one kind of operation: exact count, sums and maximum, and a histogram."""

    count: int = 0
    total_ns: int = 0
    queue_ns: int = 0
    service_ns: int = 0
    max_ns: int = 0
    buckets: defaultdict[int, int] = field(factory=lambda: defaultdict(int))

    @property
    def mean_ns(self) -> float:
        """The mean, exact up to one division; 0.0 of nothing."""
        return self.total_ns / self.count if self.count else 0.0

    def percentile_ns(self, per_mille: int) -> int:
        """Give a percentile, within 0.05 % (see `histogram`); 500 is the median."""
        return histogram.percentile(self.buckets, per_mille, self.max_ns)

    def add(self, latency_ns: int, queue_ns: int, service_ns: int, times: int) -> None:
        """Add `times` equal operations."""
        self.count += times
        self.total_ns += latency_ns * times
        self.queue_ns += queue_ns * times
        self.service_ns += service_ns * times
        self.max_ns = max(self.max_ns, latency_ns)
        self.buckets[histogram.bucket_of(latency_ns)] += times

    @classmethod
    def merged(cls, latencies: Iterable["Latency"]) -> "Latency":
        """Give the sum of `latencies`."""
        result = cls()
        for latency in latencies:
            result.merge(latency)
        return result

    def merge(self, other: "Latency") -> None:
        """Add all operations of `other`."""
        self.count += other.count
        self.total_ns += other.total_ns
        self.queue_ns += other.queue_ns
        self.service_ns += other.service_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        for bucket, count in other.buckets.items():
            self.buckets[bucket] += count


@frozen
class Truncation:
    """How many operations at the beginning are left out, of how many, and whether the run had settled."""

    dropped: int
    operations: int
    settled: bool


class Latencies(Protocol):
    """What a recorder folds latencies into, and what is kept of them."""

    def fold(self, measured: Iterable[Measured]) -> None:
        """Add a chunk of operations, in the order in which they ended."""
        ...

    def by_operation(self) -> dict[str, dict[int, Latency]]:
        """Give the latencies by operation and number of nodes asked, both ascending."""
        ...

    def truncation(self) -> Truncation | None:
        """Say what is left out as warm-up, None where none was looked for."""
        ...


class LatencyTable:
    """A `Latency` for each (operation, probes); grows with those pairs, not with operations."""

    def __init__(self) -> None:
        self._folded: defaultdict[tuple[str, int], Latency] = defaultdict(Latency)
        self._counted: Counter[Measured] = Counter()

    def fold(self, measured: Iterable[Measured]) -> None:
        """See `Latencies.fold`."""
        self._counted.update(measured)
        if len(self._counted) > MANY_DIFFERENT:
            self._cells()

    def _cells(self) -> dict[tuple[str, int], Latency]:
        """Give a `Latency` for each (operation, probes), with all that has been counted in it."""
        for (name, probes, latency_ns, queue_ns, service_ns), times in self._counted.items():
            self._folded[name, probes].add(latency_ns, queue_ns, service_ns, times)
        self._counted.clear()
        return self._folded

    def by_operation(self) -> dict[str, dict[int, Latency]]:
        """See `Latencies.by_operation`."""
        result: dict[str, dict[int, Latency]] = {}
        for (name, probes), latency in sorted(self._cells().items(), key=itemgetter(0)):
            result.setdefault(name, {})[probes] = latency
        return result

    def merge(self, other: "LatencyTable") -> None:
        """Add all operations of `other`."""
        cells = self._folded
        for key, latency in other._cells().items():
            cells[key].merge(latency)

    def truncation(self) -> Truncation | None:
        """See `Latencies.truncation`."""
        return None
