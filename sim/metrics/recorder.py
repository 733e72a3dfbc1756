"""The recorder: told of every operation, it folds them a chunk at a time and forgets them.

What happens is appended to a list, the cheapest thing Python can do; between slices the list is folded into
latencies, the digest and the history that the checks judge, and emptied. Memory does not grow with the
number of operations. Operations that failed are counted, and told to the history, but have no latency.

The digest covers every completed operation in order (name, cpu, begin, end, probes, address and the
end of the area it answered) and the final statistics of every lock, and the failures if there are any. It does not
depend on how the list was cut into chunks, and holds no wall time in virtual time.
"""

import hashlib
import sys
from array import array
from collections import Counter
from collections.abc import Sequence
from operator import sub
from typing import TYPE_CHECKING

from attrs import astuple

from actors.lock import FifoLock
from actors.world import Answer, Completed, Failure, Observer
from protocol.area import VmapArea
from sim.history import History
from sim.metrics.latency import Latencies, LatencyTable
from sim.metrics.load import Load

if TYPE_CHECKING:
    from sim.timeline.recording import Timeline

FAILURES = 100
"""Failures of each operation that are kept in full."""

CHUNK = 1024
"""Operations that are kept before they are folded."""


class Recorder:
    """Observes one world."""

    def __init__(
        self, history: History, latencies: Latencies | None = None, timeline: "Timeline | None" = None
    ) -> None:
        """Record into `history`, `latencies` and `timeline`; by default all latencies are kept, and no timeline."""
        self.history = history
        self.timeline = timeline
        self.latencies: Latencies = latencies or LatencyTable()
        self.load = Load()
        self._locks: dict[str, FifoLock] = {}
        self.operations = 0
        """Operations folded so far."""
        self.failures: dict[str, list[Failure]] = {}
        """The failed operations by name, the first `FAILURES` of each; `failed` counts all."""
        self.failed: Counter[str] = Counter()
        self._completed: list[Completed] = []
        self._failing: list[Failure] = []
        self._failure_hash = hashlib.sha256()
        self._hashes = [hashlib.sha256() for _ in range(8)]

    @property
    def locks(self) -> list[FifoLock]:
        """All locks, in the order in which they were first named."""
        return list(self._locks.values())

    def observer(self) -> Observer:
        """Give what a world needs in order to report here."""
        return Observer(
            completed=self._completed.append,
            left=self.history.left,
            lock=self.lock,
            failed=self._failing.append,
        )

    def fold_if_due(self) -> None:
        """Fold what has been collected, if it is a chunk."""
        if len(self._completed) >= CHUNK:
            self.fold()

    def fold(self) -> None:
        """Fold all that has been collected."""
        if self._failing:
            self._fold_failures()
        completed = self._completed
        if completed:
            names, cpus, begins, ends, probes, queues, services, addrs, answers = zip(*completed, strict=True)
            self.latencies.fold(zip(names, probes, map(sub, ends, begins), queues, services, strict=True))
            self._hash(names, (cpus, begins, ends, probes, addrs), answers)
            self.history.extend(completed)
            if self.timeline is not None:
                self.timeline.completed(completed)
            self.operations += len(completed)
            completed.clear()

    def sample(self, now_ns: int) -> None:
        """Note how busy the locks have been up to now, every so often."""
        self.load.sample(now_ns, self.locks)

    def finish(self, now_ns: int) -> None:
        """Fold what is left; the run ended at `now_ns`."""
        self.fold()
        self.load.take(now_ns, self.locks)

    def digest(self) -> str:
        """Give "sha256:…" over the ordered event log; fold first."""
        locks = [" ".join(str(value) for value in astuple(lock)) for lock in self.locks]
        whole = hashlib.sha256("\n".join(locks).encode())
        for column_hash in self._hashes:
            whole.update(column_hash.digest())
        if self.failed:
            whole.update(self._failure_hash.digest())
        return f"sha256:{whole.hexdigest()}"

    def lock(self, name: str) -> FifoLock:
        """Give the lock called `name`, a new one the first time."""
        if name not in self._locks:
            self._locks[name] = FifoLock(name) if self.timeline is None else self.timeline.lock(name)
        return self._locks[name]

    def _fold_failures(self) -> None:
        """Take failures first: later answers may be true because of what they may have done."""
        for failure in self._failing:
            self.history.fail(failure)
            self.failed[failure.operation] += 1
            kept = self.failures.setdefault(failure.operation, [])
            if len(kept) < FAILURES:
                kept.append(failure)
            self._failure_hash.update(f"{astuple(failure)!r}\n".encode())
        self._failing.clear()

    def _hash(self, names: Sequence[str], numbers: Sequence[Sequence[int]], answers: Sequence[Answer]) -> None:
        """Hash each column on its own: so it does not matter how the log is cut."""
        ends = [
            answer.va_end if type(answer) is VmapArea else len(answer) if type(answer) is tuple else 0
            for answer in answers
        ]
        batches = [answer for answer in answers if type(answer) is tuple]
        batch_ends = [area.va_end for batch in batches for area in batch]
        self._hashes[0].update(("\n".join(names) + "\n").encode())
        for column_hash, column in zip(self._hashes[1:], (*numbers, ends, batch_ends), strict=True):
            column_hash.update(_little_endian(column))


def _little_endian(column: Sequence[int]) -> bytes:
    packed = array("Q", column)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
