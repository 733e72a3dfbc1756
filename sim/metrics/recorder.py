"""The recorder: told of every operation, it folds them a chunk at a time and forgets them.

What happens is appended to a list, the cheapest thing Python can do; between slices the list is folded into
latencies, the digest and the history that the checks judge, and emptied. Memory does not grow with the
number of operations.

The digest covers every completed operation in order (name, cpu, begin, end, probes, address and the
end of the area it answered) and the final statistics of every lock. It does not depend on how the
list was cut into chunks, and holds no wall time in virtual time.
"""

import hashlib
from collections.abc import Sequence
from operator import sub

import msgpack
from attrs import astuple

from actors.lock import FifoLock
from actors.world import Answer, Completed, Observer
from protocol.area import VmapArea
from sim.history import History
from sim.metrics.latency import LatencyTable

CHUNK = 1024
"""Operations that are kept before they are folded."""


class Recorder:
    """Observes one world."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.latencies = LatencyTable()
        self._locks: dict[str, FifoLock] = {}
        self.operations = 0
        """Operations folded so far."""
        self._completed: list[Completed] = []
        self._operations_hash = hashlib.sha256()
        self._answers_hash = hashlib.sha256()
        self._batches_hash = hashlib.sha256()

    @property
    def locks(self) -> list[FifoLock]:
        """All locks, in the order in which they were first named."""
        return list(self._locks.values())

    def observer(self) -> Observer:
        """Give what a world needs in order to report here."""
        return Observer(completed=self._completed.append, left=self.history.left, lock=self.lock)

    def fold_if_due(self) -> None:
        """Fold what has been collected, if it is a chunk."""
        if len(self._completed) >= CHUNK:
            self.fold()

    def fold(self) -> None:
        """Fold all that has been collected."""
        completed = self._completed
        if completed:
            names, cpus, begins, ends, probes, queues, services, addrs, answers = zip(*completed, strict=True)
            self.latencies.fold(zip(names, probes, map(sub, ends, begins), queues, services, strict=True))
            self._hash(list(zip(names, cpus, begins, ends, probes, addrs, strict=True)), answers)
            self.history.extend(completed)
            self.operations += len(completed)
            completed.clear()

    def digest(self) -> str:
        """Give "sha256:…" over the ordered event log; fold first."""
        locks = [" ".join(str(value) for value in astuple(lock)) for lock in self.locks]
        whole = hashlib.sha256("\n".join(locks).encode())
        whole.update(self._operations_hash.digest())
        whole.update(self._answers_hash.digest())
        whole.update(self._batches_hash.digest())
        return f"sha256:{whole.hexdigest()}"

    def lock(self, name: str) -> FifoLock:
        """Give the lock called `name`, a new one the first time."""
        if name not in self._locks:
            self._locks[name] = FifoLock(name)
        return self._locks[name]

    def _hash(self, rows: Sequence[object], answers: Sequence[Answer]) -> None:
        """Hash what is the same for every way of cutting the log: rows, one after the other, as msgpack."""
        self._operations_hash.update(_packed(rows))
        ends = [
            answer.va_end if type(answer) is VmapArea else len(answer) if type(answer) is tuple else 0
            for answer in answers
        ]
        self._answers_hash.update(_packed(ends))
        batches = [answer for answer in answers if type(answer) is tuple]
        self._batches_hash.update(_packed([area.va_end for batch in batches for area in batch]))


def _packed(rows: Sequence[object]) -> bytes:
    """Pack rows without the header that says how many they are."""
    count = len(rows)
    return msgpack.packb(rows)[1 if count < 16 else 3 if count < 65536 else 5 :]
