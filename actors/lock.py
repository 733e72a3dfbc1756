"""A FIFO lock and its statistics, in the terms of the kernel's /proc/lock_stat.

Linux's qspinlock is FIFO (a queue of MCS nodes), and so is an actor's inbox. Since requests are served in
the order in which they arrive, the time at which a request gets the lock is known when it arrives.
"""

from attrs import define


@define(eq=False)
class FifoLock:
    """A lock in its world's time; statistics are those since its creation, times in nanoseconds."""

    name: str
    free_at_ns: int = 0
    acquisitions: int = 0
    contended: int = 0
    """Acquisitions that had to wait."""
    handoffs: int = 0
    """Acquisitions after which the holder was another CPU than before: the lock's cache line moved."""
    hold_ns: int = 0
    hold_max_ns: int = 0
    wait_ns: int = 0
    wait_max_ns: int = 0
    _last_cpu: int = -1

    def grant(self, cpu: int, arrival_ns: int, hold_ns: int) -> int:
        """Give the lock to a request of `cpu` for `hold_ns`, after all that came before; give its end."""
        start_ns = self.free_at_ns
        if start_ns > arrival_ns:
            wait_ns = start_ns - arrival_ns
            self.contended += 1
            self.wait_ns += wait_ns
            if wait_ns > self.wait_max_ns:
                self.wait_max_ns = wait_ns
        else:
            start_ns = arrival_ns
        if hold_ns > self.hold_max_ns:
            self.hold_max_ns = hold_ns
        if cpu != self._last_cpu:
            self.handoffs += self.acquisitions > 0
            self._last_cpu = cpu
        self.acquisitions += 1
        self.hold_ns += hold_ns
        self.free_at_ns = end_ns = start_ns + hold_ns
        return end_ns
