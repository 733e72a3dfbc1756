"""Warm-up: the operations at a run's beginning that its steady state does not resemble.

A run begins with empty queues, cold pools, freshly loaded trees. Averaging over that biases what it says about
the long run. **MSER-5** (White, 1997; White, Cobb and Spratt, 2000) cuts where the rest is known best: of the means
Y(1)…Y(k) of five latencies each, in the order in which operations ended, it leaves out the first d that
minimise

    sum over i > d of (Y(i) - mean of the rest)^2 / (k - d)^2

that is the squared standard error of what remains; d is at most k/2. When the minimum lies at that bound the
run has not settled: it is too short to say.

What is kept is bounded. The means are of five operations until there are `MOST_MEANS`, then of ten, and so on. The
latencies themselves are kept in up to 2 * `WINDOWS` windows of equal length, so the cut falls on the first
border of a window at or after d: up to 1/`WINDOWS` of the run more is dropped than MSER-5 asks for.
"""

from collections.abc import Iterable

import numpy as np
from attrs import define, field

from sim.metrics.latency import Latencies, Latency, LatencyTable, Measured, Truncation
from sim.scenario.model import Warmup

BATCH = 5
"""Operations per mean: the 5 of MSER-5."""

MOST_MEANS = 16_384
FEWEST_MEANS = 10
"""With fewer nothing is dropped."""

WINDOWS = 64


def latencies_without_warmup(warmup: Warmup, operations: int) -> Latencies | None:
    """Give what to fold about `operations` latencies into, None when none is to be left out."""
    if warmup.method == "mser-5":
        return SettledLatencies(operations)
    return LatenciesAfter(warmup.operations) if warmup.method == "fixed" else None


def mser(means: "np.typing.NDArray[np.float64]") -> int:
    """Give how many of `means` to leave out at the beginning; at most half. O(k)."""
    centred = means - means.mean()  # squares of differences stay small, sums exact enough
    kept = np.arange(1, len(means) + 1)
    sums, squares = np.cumsum(centred[::-1]), np.cumsum(centred[::-1] ** 2)
    errors = (np.maximum(squares - sums**2 / kept, 0.0) / kept**2)[::-1]
    return int(np.argmin(errors[: len(means) // 2 + 1]))


@define
class LatenciesAfter:
    """The latencies after the first `_first` operations."""

    _first: int
    _table: LatencyTable = field(factory=LatencyTable)
    _seen: int = 0

    def fold(self, measured: Iterable[Measured]) -> None:
        """See `Latencies.fold`."""
        chunk = list(measured)
        skip = max(0, self._first - self._seen)
        self._seen += len(chunk)
        if skip < len(chunk):
            self._table.fold(chunk[skip:])

    def by_operation(self) -> dict[str, dict[int, Latency]]:
        """See `Latencies.by_operation`."""
        return self._table.by_operation()

    def truncation(self) -> Truncation:
        """See `Latencies.truncation`."""
        return Truncation(min(self._first, self._seen), self._seen, settled=self._seen > self._first)


class SettledLatencies:
    """The latencies after the warm-up that MSER-5 finds."""

    def __init__(self, operations: int) -> None:
        """Expect about `operations`; more cost nothing but a coarser cut."""
        self._window = BATCH * max(1, -(-operations // (WINDOWS * BATCH)))
        self._windows: list[LatencyTable] = [LatencyTable()]
        self._in_last = 0
        self._means: np.typing.NDArray[np.float64] = np.empty(0)
        self._batch = BATCH
        self._rest: list[int] = []
        self._seen = 0

    def fold(self, measured: Iterable[Measured]) -> None:
        """See `Latencies.fold`."""
        chunk = list(measured)
        self._seen += len(chunk)
        self._average([latency_ns for _name, _probes, latency_ns, _queue, _service in chunk])
        while chunk:
            room = self._window - self._in_last
            self._windows[-1].fold(chunk[:room])
            self._in_last += len(chunk[:room])
            chunk = chunk[room:]
            if self._in_last == self._window:
                self._begin_window()

    def by_operation(self) -> dict[str, dict[int, Latency]]:
        """See `Latencies.by_operation`."""
        whole = LatencyTable()
        for window in self._windows[self.truncation().dropped // self._window :]:
            whole.merge(window)
        return whole.by_operation()

    def truncation(self) -> Truncation:
        """See `Latencies.truncation`."""
        if len(self._means) < FEWEST_MEANS:
            return Truncation(0, self._seen, settled=False)
        cut = mser(self._means)
        windows = -(-cut * self._batch // self._window)
        dropped = min(windows * self._window, (self._seen // 2) // self._window * self._window)
        return Truncation(dropped, self._seen, settled=cut < len(self._means) // 2)

    def _begin_window(self) -> None:
        self._in_last = 0
        if len(self._windows) == 2 * WINDOWS:
            for first, second in zip(self._windows[::2], self._windows[1::2], strict=True):
                first.merge(second)
            self._windows = self._windows[::2]
            self._window *= 2
        self._windows.append(LatencyTable())

    def _average(self, latencies_ns: list[int]) -> None:
        """Add the means of whole batches; what is left over waits for the next chunk."""
        self._rest += latencies_ns
        whole = len(self._rest) // self._batch * self._batch
        means = np.array(self._rest[:whole], dtype=np.float64).reshape(-1, self._batch).mean(axis=1)
        del self._rest[:whole]
        self._means = np.concatenate([self._means, means])
        while len(self._means) > MOST_MEANS:
            even = len(self._means) // 2 * 2
            # An odd one out is lost: it is among the last, where no cut can fall.
            self._means = self._means[:even].reshape(-1, 2).mean(axis=1)
            self._batch *= 2
