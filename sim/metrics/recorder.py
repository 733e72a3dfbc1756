"""The recorder: told of every visit and operation, it keeps columns and folds them a chunk at a time.

What happens is appended to two lists, the cheapest thing Python can do; between slices the lists are
folded into latencies, lock statistics, the digest and the history that the checks judge, and
emptied. Memory does not grow with the number of operations.

The digest covers, in order: every visit (lock, cpu, arrival, start, end) and every completed operation
(name, cpu, begin, end, probes, queue, service, address, end of the area answered). It does not depend on how the lists were
cut into chunks, and holds no wall time in virtual time.
"""

import hashlib
from array import array
from collections.abc import Sequence
from itertools import chain

import numpy as np

from actors.world import Answer, Completed, Observer, Visit
from protocol.area import VmapArea
from sim.history import History
from sim.metrics.latency import Latency, LatencyTable
from sim.metrics.locks import LockTable

CHUNK = 4096
"""Operations or visits that are kept before they are folded."""


class Recorder:
    """Observes one world."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.latencies = LatencyTable()
        self.locks = LockTable()
        self.operations = 0
        self._names: dict[str, int] = {}
        self._completed: list[Completed] = []
        self._visits: list[Visit] = []
        self._operations_hash = hashlib.sha256()
        self._batches_hash = hashlib.sha256()
        self._visits_hash = hashlib.sha256()

    def observer(self) -> Observer:
        """Give what a world needs in order to report here."""
        return Observer(
            completed=self._completed.append,
            visited=self._visits.append,
            left=self.history.left,
            lock_number=self.locks.number,
        )

    def fold_if_due(self) -> None:
        """Fold what has been collected, if it is a chunk."""
        if len(self._completed) >= CHUNK or len(self._visits) >= CHUNK:
            self.fold()

    def fold(self) -> None:
        """Fold all that has been collected."""
        if self._visits:
            self._fold_visits()
            self._visits.clear()
        if self._completed:
            self._fold_completed()
            self.operations += len(self._completed)
            self._completed.clear()

    def digest(self) -> str:
        """Give "sha256:…" over the ordered event log; fold first."""
        names = "\n".join(chain(self._names, (lock.name for lock in self.locks.locks)))
        whole = hashlib.sha256(names.encode())
        whole.update(self._operations_hash.digest())
        whole.update(self._batches_hash.digest())
        whole.update(self._visits_hash.digest())
        return f"sha256:{whole.hexdigest()}"

    def by_operation(self) -> dict[str, dict[int, Latency]]:
        """Give the latencies by operation and number of nodes asked, both in ascending order."""
        code_names = list(self._names)
        result: dict[str, dict[int, Latency]] = {name: {} for name in sorted(code_names)}
        for code, probes in sorted(self.latencies.cells):
            result[code_names[code]][probes] = self.latencies.cells[code, probes]
        return result

    def _fold_visits(self) -> None:
        flat = array("q", chain.from_iterable(self._visits))
        visits = np.frombuffer(flat, dtype=np.int64).astype("<i8", copy=False).reshape(-1, 5)
        self._visits_hash.update(visits.tobytes())
        self.locks.fold(visits)

    def _fold_completed(self) -> None:
        names, cpus, begins, ends, probes, queues, services, addrs, answers = zip(
            *self._completed, strict=True
        )
        known = self._names
        for name in dict.fromkeys(names):
            known.setdefault(name, len(known))
        table = np.empty((len(names), 9), dtype="<i8")
        columns = ([known[name] for name in names], cpus, begins, ends, probes, queues, services)
        for index, column in enumerate(columns):
            table[:, index] = array("q", column)
        table[:, 7] = np.frombuffer(array("Q", addrs), dtype=np.int64)
        answer_ends, batch_ends = _ends(answers)
        table[:, 8] = np.frombuffer(array("Q", answer_ends), dtype=np.int64)
        self._operations_hash.update(table.tobytes())
        self._batches_hash.update(np.array(batch_ends, dtype="<u8").tobytes())
        code, _cpu, begin, end, probe, queue, service = table.T[:7]
        self.latencies.fold(code, probe, end - begin, queue, service)
        self.history.extend(self._completed)


def _ends(answers: Sequence[Answer]) -> tuple[list[int], list[int]]:
    """Give the end of each answer's area (0 for none, the number of areas for a batch), and all batches' ends."""
    batches = [answer for answer in answers if isinstance(answer, tuple)]
    ends = [
        answer.va_end if isinstance(answer, VmapArea) else 0 if answer is None else len(answer)
        for answer in answers
    ]
    return ends, [area.va_end for batch in batches for area in batch]
