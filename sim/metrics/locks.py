"""Lock statistics, in the terms of the kernel's /proc/lock_stat, folded in a chunk of visits at a time.

*contended*: the request waited. *handoffs*: the lock went to another CPU than held it before (its cache
line, or the actor's attention, moved). Times are nanoseconds.
"""

import numpy as np
from attrs import define
from numpy.typing import NDArray


@define
class LockStatistics:
    """What is kept of one lock."""

    name: str
    acquisitions: int = 0
    contended: int = 0
    handoffs: int = 0
    hold_ns: int = 0
    hold_max_ns: int = 0
    wait_ns: int = 0
    wait_max_ns: int = 0


class LockTable:
    """Statistics of all locks of a world, by number."""

    def __init__(self) -> None:
        self.locks: list[LockStatistics] = []
        self._last_cpu: list[int] = []

    def number(self, name: str) -> int:
        """Give the number of the lock called `name`, a new one the first time."""
        for number, lock in enumerate(self.locks):
            if lock.name == name:
                return number
        self.locks.append(LockStatistics(name))
        self._last_cpu.append(-1)
        return len(self.locks) - 1

    def fold(self, visits: NDArray[np.int64]) -> None:
        """Add a chunk of visits, one per row as in `actors.world.Visit`, each lock's in its order."""
        by_lock = visits[np.argsort(visits[:, 0], kind="stable")]
        numbers, firsts = np.unique(by_lock[:, 0], return_index=True)
        cpus = by_lock[:, 1]
        previous = np.empty_like(cpus)
        previous[1:] = cpus[:-1]
        previous[firsts] = [self._last_cpu[number] for number in numbers]
        handoffs = ((previous != cpus) & (previous >= 0)).astype(np.int64)
        waits = by_lock[:, 3] - by_lock[:, 2]
        holds = by_lock[:, 4] - by_lock[:, 3]
        lasts = np.append(firsts[1:], len(by_lock)) - 1
        columns = (
            lasts - firsts + 1,
            np.add.reduceat((waits > 0).astype(np.int64), firsts),
            np.add.reduceat(handoffs, firsts),
            np.add.reduceat(holds, firsts),
            np.maximum.reduceat(holds, firsts),
            np.add.reduceat(waits, firsts),
            np.maximum.reduceat(waits, firsts),
            cpus[lasts],
        )
        for number, *row in zip(numbers.tolist(), *(column.tolist() for column in columns), strict=True):
            self._add(number, *row)

    def _add(
        self,
        number: int,
        acquisitions: int,
        contended: int,
        handoffs: int,
        hold_ns: int,
        hold_max_ns: int,
        wait_ns: int,
        wait_max_ns: int,
        last_cpu: int,
    ) -> None:
        lock = self.locks[number]
        lock.acquisitions += acquisitions
        lock.contended += contended
        lock.handoffs += handoffs
        lock.hold_ns += hold_ns
        lock.hold_max_ns = max(lock.hold_max_ns, hold_max_ns)
        lock.wait_ns += wait_ns
        lock.wait_max_ns = max(lock.wait_max_ns, wait_max_ns)
        self._last_cpu[number] = last_cpu
