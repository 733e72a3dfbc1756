"""Latency per operation and per number of nodes asked, folded in a chunk of operations at a time."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from sim.metrics import histogram


@define
class Latency:
    """What is kept of one kind of operation: exact count, sums and maximum, and a histogram."""

    count: int = 0
    total_ns: int = 0
    queue_ns: int = 0
    service_ns: int = 0
    max_ns: int = 0
    buckets: dict[int, int] = field(factory=dict)

    @property
    def mean_ns(self) -> float:
        """The mean, exact up to one division; 0.0 of nothing."""
        return self.total_ns / self.count if self.count else 0.0

    def percentile_ns(self, per_mille: int) -> int:
        """Give a percentile, within 0.4 % (see `histogram`); 500 is the median."""
        return histogram.percentile(self.buckets, per_mille, self.max_ns)

    def merge(self, other: "Latency") -> None:
        """Add what `other` has seen."""
        self.count += other.count
        self.total_ns += other.total_ns
        self.queue_ns += other.queue_ns
        self.service_ns += other.service_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    @classmethod
    def merged(cls, latencies: Iterable["Latency"]) -> "Latency":
        """Give the sum of `latencies`."""
        result = cls()
        for latency in latencies:
            result.merge(latency)
        return result


class LatencyTable:
    """A `Latency` for each (operation code, probes); grows with those pairs, not with operations."""

    def __init__(self) -> None:
        self.cells: defaultdict[tuple[int, int], Latency] = defaultdict(Latency)

    def fold(
        self,
        codes: NDArray[np.int64],
        probes: NDArray[np.int64],
        latency_ns: NDArray[np.int64],
        queue_ns: NDArray[np.int64],
        service_ns: NDArray[np.int64],
    ) -> None:
        """Add one chunk; the columns have one entry per operation."""
        pairs, pair_of = np.unique((codes << 32) | probes, return_inverse=True)
        order = np.argsort(pair_of, kind="stable")
        firsts = np.searchsorted(pair_of[order], np.arange(len(pairs)))
        counts = np.diff(np.append(firsts, len(order)))
        totals = np.add.reduceat(latency_ns[order], firsts)
        queues = np.add.reduceat(queue_ns[order], firsts)
        services = np.add.reduceat(service_ns[order], firsts)
        maxima = np.maximum.reduceat(latency_ns[order], firsts)
        keys, key_counts = np.unique((pair_of << 14) | histogram.bucket_of(latency_ns), return_counts=True)
        cells = [self.cells[pair >> 32, pair & 0xFFFF_FFFF] for pair in pairs.tolist()]
        columns = (counts, totals, queues, services, maxima)
        for cell, count, total, queue, service, largest in zip(
            cells, *(column.tolist() for column in columns), strict=True
        ):
            cell.count += count
            cell.total_ns += total
            cell.queue_ns += queue
            cell.service_ns += service
            cell.max_ns = max(cell.max_ns, largest)
        for key, count in zip(keys.tolist(), key_counts.tolist(), strict=True):
            buckets = cells[key >> 14].buckets
            bucket = key & 0x3FFF
            buckets[bucket] = buckets.get(bucket, 0) + count
