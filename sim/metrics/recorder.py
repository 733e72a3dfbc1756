"""The recorder: told of every operation, it folds them a chunk at a time and forgets them.

What happens is appended to a list, the cheapest thing Python can do; between slices the list is folded into
latencies, the digest and the history that the checks judge, and emptied. Memory does not grow with the
number of operations.

The digest covers every completed operation in order (name, cpu, begin, end, probes, address and the
end of the area it answered) and the final statistics of every lock. It does not depend on how the
list was cut into chunks, and holds no wall time in virtual time.
"""

import hashlib
from array import array
from collections.abc import Sequence
from operator import sub

import numpy as np
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
        self.locks: list[FifoLock] = []
        self.operations = 0
        """Operations folded so far."""
        self._names: dict[str, int] = {}
        self._completed: list[Completed] = []
        self._operations_hash = hashlib.sha256()
        self._batches_hash = hashlib.sha256()

    def observer(self) -> Observer:
        """Give what a world needs in order to report here."""
        return Observer(completed=self._completed.append, left=self.history.left, lock=self._new_lock)

    def fold_if_due(self) -> None:
        """Fold what has been collected, if it is a chunk."""
        if len(self._completed) >= CHUNK:
            self.fold()

    def fold(self) -> None:
        """Fold all that has been collected."""
        completed = self._completed
        if completed:
            names, cpus, begins, ends, probes, queues, services, addrs, answers = zip(
                *completed, strict=True
            )
            self.latencies.fold(zip(names, probes, map(sub, ends, begins), queues, services, strict=True))
            self._hash(names, (cpus, begins, ends, probes), addrs, answers)
            self.history.extend(completed)
            self.operations += len(completed)
            completed.clear()

    def digest(self) -> str:
        """Give "sha256:…" over the ordered event log; fold first."""
        locks = [" ".join(str(value) for value in astuple(lock)) for lock in self.locks]
        whole = hashlib.sha256("\n".join((*self._names, *locks)).encode())
        whole.update(self._operations_hash.digest())
        whole.update(self._batches_hash.digest())
        return f"sha256:{whole.hexdigest()}"

    def _new_lock(self, name: str) -> FifoLock:
        self.locks.append(FifoLock(name))
        return self.locks[-1]

    def _hash(
        self,
        names: Sequence[str],
        times: Sequence[Sequence[int]],
        addrs: Sequence[int],
        answers: Sequence[Answer],
    ) -> None:
        known = self._names
        for name in dict.fromkeys(names):
            known.setdefault(name, len(known))
        table = np.empty((len(names), 3 + len(times)), dtype="<i8")
        for index, column in enumerate(([known[name] for name in names], *times)):
            table[:, index] = array("q", column)
        batches = [answer for answer in answers if type(answer) is tuple]
        answer_ends = [
            answer.va_end if type(answer) is VmapArea else len(answer) if type(answer) is tuple else 0
            for answer in answers
        ]
        for index, addresses in enumerate((addrs, answer_ends), start=1 + len(times)):
            table[:, index] = np.frombuffer(array("Q", addresses), dtype=np.int64)
        self._operations_hash.update(table.tobytes())
        batch_ends = [area.va_end for batch in batches for area in batch]
        self._batches_hash.update(np.array(batch_ends, dtype="<u8").tobytes())
