"""A FIFO lock and its statistics, in the terms of the kernel's /proc/lock_stat.

Linux's qspinlock is FIFO (a queue of MCS nodes), and so is an actor's inbox. Since requests are served in
the order in which they arrive, the time at which a request gets the lock is known when it arrives.
"""

from typing import Protocol

from attrs import define, frozen


class LockHeld(Exception):
    """A lock that was only tried is held by somebody."""


class Grants(Protocol):
    """What gives a request its time: a lock, or what stands for the lack of one."""

    def grant(self, cpu: int, arrival_ns: int, hold_ns: int) -> int:
        """Give the end of a hold of `hold_ns` by a request of `cpu` that arrives at `arrival_ns`."""
        ...

    def let_go(self, now_ns: int) -> None:
        """Forget all holds: whoever arrives from `now_ns` on waits for none of them."""
        ...


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

    def let_go(self, now_ns: int) -> None:
        """See `Grants.let_go`."""
        self.free_at_ns = now_ns

    def record(self, cpu: int, arrival_ns: int, start_ns: int, end_ns: int) -> None:
        """Account for a hold that is over, of a lock whose order is kept elsewhere."""
        self.free_at_ns = start_ns - arrival_ns
        FifoLock.grant(self, cpu, 0, end_ns - start_ns)  # a lock that notes its grants notes this one itself


@frozen(eq=False)
class NoLock:
    """Work without a lock: nobody waits."""

    def grant(self, cpu: int, arrival_ns: int, hold_ns: int) -> int:  # noqa: ARG002 (the shape of `Grants`)
        """See `Grants.grant`."""
        return arrival_ns + hold_ns

    def let_go(self, now_ns: int) -> None:
        """See `Grants.let_go`."""


@frozen(eq=False)
class Repeated:
    """A lock that is taken several times in a row, by one request: one hold of the sum."""

    lock: FifoLock
    holds: int

    def grant(self, cpu: int, arrival_ns: int, hold_ns: int) -> int:
        """See `Grants.grant`."""
        end_ns = self.lock.grant(cpu, arrival_ns, hold_ns)
        self.lock.acquisitions += self.holds - 1
        return end_ns

    def let_go(self, now_ns: int) -> None:
        """See `Grants.let_go`."""
        self.lock.let_go(now_ns)


@frozen(eq=False)
class Attempt:
    """A lock that is only tried (kernel: `spin_trylock`)."""

    lock: FifoLock

    def grant(self, cpu: int, arrival_ns: int, hold_ns: int) -> int:
        """See `Grants.grant`; raises `LockHeld` if the lock is not free on arrival."""
        if self.lock.free_at_ns > arrival_ns:
            raise LockHeld
        return self.lock.grant(cpu, arrival_ns, hold_ns)

    def let_go(self, now_ns: int) -> None:
        """See `Grants.let_go`."""
        self.lock.let_go(now_ns)


def as_taken(lock: FifoLock, holds: int, attempt: bool) -> Grants:
    """Give a lock as a request takes it: several times, or only if it is free."""
    if attempt:
        return Attempt(lock)
    return lock if holds == 1 else Repeated(lock, holds)
