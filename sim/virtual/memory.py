"""Stations in shared memory: what a hold takes, and who gets a lock next, is known when it begins.

`FifoLock` gives the end of a hold when its request arrives. Here the next holder is chosen when the lock is let go,
of those who wait then, and its hold takes as long as its lines are far from the holder before. So an arrival at a
lock that is held enqueues and causes nothing; the end of a hold is an event of the lock's, which lets the next
waiter begin and gives the holder its reply.

A machine serves a request when it arrives, as ever: what a reply says was true then, between the call and the
reply. Which of two waiters gets the lock first decides times only.

**Rounds.** Those who wait when a round begins are served before those who come later, in the order that
`Memory.next_holder` chooses; nobody is overtaken by more than one round of others. Where the order is that of
arrival rounds make no difference.
"""

from collections.abc import Callable
from typing import TypeAlias

from actors.lock import FifoLock, Grants, as_taken
from protocol.messages import Busy, Reply, Request
from protocol.work import Work
from sim.costs import Memory
from sim.virtual.agenda import Agenda, Caller, Entry

BUSY: Reply = Busy()


Waiter: TypeAlias = tuple[int, Caller, Work, Request, Reply]
"""A request that waits for its lock: since when, whose, what it takes, the request and its reply."""


class MemoryLocks:
    """All locks of a world whose holds are priced by a `Memory`. Machines that name the same lock share it."""

    def __init__(self, agenda: Agenda, memory: Memory, new_lock: Callable[[str], FifoLock]) -> None:
        self._agenda = agenda
        self._memory = memory
        self._new_lock = new_lock
        self._locks: dict[str, MemoryLock] = {}

    def ask(self, now_ns: int, caller: Caller, work: Work, request: Request, reply: Reply) -> Entry | None:
        """Let a request that was served now wait for its lock, if it needs one, and for the end of its hold."""
        if not work.holds:
            service_ns = self._memory.hold_ns(caller.cpu, work, request, reply)
            caller.service_ns += service_ns
            return (now_ns + service_ns, self._agenda.next_sequence(), caller, None, reply)
        lock = self._locks.get(work.lock)
        if lock is None:
            lock = self._locks[work.lock] = MemoryLock(self._agenda, self._memory, self._new_lock(work.lock))
        return lock.ask((now_ns, caller, work, request, reply))


class MemoryLock:
    """One lock, its holder and those who wait."""

    __slots__ = ("_agenda", "_held", "_late", "_lock", "_memory", "_next_sequence", "_round", "_round_cpus")

    def __init__(self, agenda: Agenda, memory: Memory, lock: FifoLock) -> None:
        self._agenda = agenda
        self._next_sequence = agenda.next_sequence
        self._memory = memory
        self._lock = lock
        self._held = False
        self._round: list[Waiter] = []
        self._round_cpus: list[int] = []
        self._late: list[Waiter] = []

    def ask(self, waiter: Waiter) -> Entry | None:
        """Give the lock to a request that arrives now, if it is free: causes the end of its hold."""
        now_ns, caller, work, _request, _reply = waiter
        if not self._held:
            return self._begin(now_ns, waiter)
        if work.attempt:
            # Found held: the attempt itself takes no time, and changes nothing.
            return (now_ns, self._next_sequence(), caller, None, BUSY)
        self._late.append(waiter)
        return None

    def step(self, now_ns: int, caller: Caller, reply: Reply) -> Entry | None:
        """End a hold: the next one begins, and `caller` has its reply."""
        self._held = False
        if self._late and not self._round:
            self._round, self._late = self._late, []
            self._round_cpus = [waiting.cpu for _since_ns, waiting, *_ in self._round]
        if self._round:
            index = self._memory.next_holder(caller.cpu, self._round_cpus)
            del self._round_cpus[index]
            self._agenda.push_entry(self._begin(now_ns, self._round.pop(index)))
        return caller.step(now_ns, None, reply)

    def _begin(self, now_ns: int, waiter: Waiter) -> Entry:
        arrival_ns, caller, work, request, reply = waiter
        hold_ns = self._memory.hold_ns(caller.cpu, work, request, reply)
        taken: Grants = self._lock if work.holds == 1 else as_taken(self._lock, work.holds, False)
        end_ns = taken.grant(caller.cpu, arrival_ns, hold_ns)
        assert end_ns == now_ns + hold_ns, f"{self._lock.name} was given away while it was held"
        caller.queue_ns += now_ns - arrival_ns
        caller.service_ns += hold_ns
        self._held = True
        return (end_ns, self._next_sequence(), self, caller, reply)
