"""How busy each lock was over virtual time, in samples: what the locks had counted at some instants.

A sample is taken between two slices of events, when nothing else happens: it costs the locks nothing. Between two
samples the counters say exactly how often a lock was taken, how long it was held and waited for. (A hold
counts when it is granted, which in virtual time is up to a queue's length before its end.) When there are
`MOST` samples every second one is dropped and from then on half as many are taken: memory stays bounded, and
the samples spread over the whole run.
"""

from collections.abc import Sequence

from attrs import define, field, frozen

from actors.lock import FifoLock

MOST = 256
"""Samples that are kept."""


@frozen
class Sample:
    """What the locks had counted at an instant, in the order in which they were first named."""

    time_ns: int
    acquisitions: tuple[int, ...]
    hold_ns: tuple[int, ...]
    wait_ns: tuple[int, ...]


@define
class Load:
    """Samples of all locks over a run."""

    samples: list[Sample] = field(factory=list)
    _stride: int = 1
    _asked: int = 0

    def sample(self, time_ns: int, locks: Sequence[FifoLock]) -> None:
        """Take a sample now, or let it be if there are enough around this time."""
        self._asked += 1
        if self._asked % self._stride:
            return
        self.take(time_ns, locks)
        if len(self.samples) >= MOST:
            self.samples = self.samples[1::2]
            self._stride *= 2

    def take(self, time_ns: int, locks: Sequence[FifoLock]) -> None:
        """Take a sample now; the last one replaces another of its time."""
        if self.samples and self.samples[-1].time_ns >= time_ns:
            self.samples.pop()
        self.samples.append(
            Sample(
                time_ns,
                tuple([lock.acquisitions for lock in locks]),
                tuple([lock.hold_ns for lock in locks]),
                tuple([lock.wait_ns for lock in locks]),
            )
        )


@frozen
class LoadCurve:
    """The share of the time for which each lock was held, by interval: `held[lock][interval]`, 0 to 1."""

    ends_ns: list[int]
    held: list[list[float]]


def load_curve(load: Load, locks: int, most: int = MOST) -> LoadCurve:
    """Give how busy each of `locks` locks was between samples, of which at most `most` are used.

    A share is cut at 1: a hold that was granted ahead can end after the interval in which it counts.
    """
    stride = -(-len(load.samples) // most)
    samples = load.samples[::-1][:: max(1, stride)][::-1]
    held: list[list[float]] = [[] for _ in range(locks)]
    before = Sample(0, (), (), ())
    for sample in samples:
        span_ns = max(1, sample.time_ns - before.time_ns)
        for lock in range(locks):
            hold_ns = _at(sample.hold_ns, lock) - _at(before.hold_ns, lock)
            held[lock].append(min(1.0, hold_ns / span_ns))
        before = sample
    return LoadCurve([sample.time_ns for sample in samples], held)


def _at(counters: tuple[int, ...], lock: int) -> int:
    """Give a lock's counter; one that was first named later had counted nothing."""
    return counters[lock] if lock < len(counters) else 0
