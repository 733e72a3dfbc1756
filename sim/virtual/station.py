"""Stations: where machines are served in virtual time, behind FIFO locks."""

from collections.abc import Callable
from typing import NoReturn, Protocol

from actors.errors import ActorFailed, ActorGone
from actors.lock import FifoLock, Grants, LockHeld, NoLock, as_taken
from actors.world import Address
from protocol.machine import Machine
from protocol.messages import Busy, Reply, Request
from protocol.sessions import Numbered
from protocol.work import Work
from sim.costs import CostModel
from sim.virtual.agenda import Agenda, Attention, Caller, Entry, Parked, Thrown
from sim.virtual.memory import MemoryLocks

BUSY: Reply = Busy()


class Prices:
    """What work takes: its lock and the nanoseconds under it. Stations that name the same lock share it."""

    def __init__(self, costs: CostModel, new_lock: Callable[[str], FifoLock]) -> None:
        self.known: dict[Work, tuple[Grants, int]] = {}
        self._costs = costs
        self._new_lock = new_lock
        self._locks: dict[str, FifoLock] = {}

    def of(self, work: Work) -> tuple[Grants, int]:
        """Look up what `work` takes; kept, if it is fixed, for the works of one area, which machines reuse."""
        price = (self._grants(work), self._costs.service_ns(work))
        if work.moved == 1 and self._costs.fixed:
            self.known[work] = price
        return price

    def _grants(self, work: Work) -> Grants:
        if not work.holds:
            return NoLock()
        lock = self._locks.get(work.lock)
        if lock is None:
            lock = self._locks[work.lock] = self._new_lock(work.lock)
        return as_taken(lock, work.holds, work.attempt)


class Links(Protocol):
    """The links between CPUs and one actor: what the next message takes, by CPU."""

    def __getitem__(self, cpu: int, /) -> int:
        """Give what a message between the actor and `cpu` takes."""
        ...


class DrawnLinks:
    """Links on which no two messages need take equally long: each is drawn when it is sent."""

    __slots__ = ("_address", "_draw")

    def __init__(self, draw: Callable[[int, Address], int], address: Address) -> None:
        self._draw = draw
        self._address = address

    def __getitem__(self, cpu: int) -> int:
        """See `Links`."""
        return self._draw(cpu, self._address)


class _NoLinks:
    """No link at all."""

    def __getitem__(self, cpu: int) -> int:
        return 0


_AT_ONCE = _NoLinks()


class Station:
    """Where a machine is served: requests are stepped here when they arrive."""

    __slots__ = (
        "_agenda",
        "_ahead_ns",
        "_handle",
        "_known_prices",
        "_link_ns",
        "_locks",
        "_next_sequence",
        "_prices",
        "address",
        "gone",
        "parked",
        "post",
    )

    def __init__(
        self,
        agenda: Agenda,
        prices: Prices,
        link_ns: Links,
        address: Address,
        machine: Machine,
        *,
        ahead_ns: Links | None,
    ) -> None:
        """Serve `machine`; `link_ns` is by CPU.

        Where requests arrive in the order in which they are sent they are served when they are sent, `ahead_ns`
        before their arrival; elsewhere it is None.
        """
        self._agenda = agenda
        self._next_sequence = agenda.next_sequence
        self._prices = prices
        self._known_prices = prices.known
        self._link_ns = link_ns
        self._ahead_ns = _AT_ONCE if ahead_ns is None else ahead_ns
        self.post: Callable[[int, Caller, Request], Entry | None] = self._send if ahead_ns is None else self.step
        """Sends a request at a time; gives the entry that this causes: its arrival, or at once its reply."""
        self._handle = machine.handle
        self._locks: dict[str, Grants] = {}
        self.address = address
        self.gone = False
        self.parked = Parked()

    def _send(self, now_ns: int, caller: Caller, request: Request) -> Entry:
        return (now_ns + self._link_ns[caller.cpu], self._next_sequence(), self, caller, request)

    def step(self, now_ns: int, caller: Caller, request: Request) -> Entry | None:
        """Serve a request that arrives now, or ahead of its arrival; causes its reply."""
        if self.gone:
            return (now_ns, self._next_sequence(), Thrown(caller), None, ActorGone(self.address))
        try:
            reply, work = self._handle(request)
        except Exception as error:
            self._fail(now_ns, caller, request, error)
        lock, service_ns = self._known_prices.get(work) or self._prices.of(work)
        cpu = caller.cpu
        arrival_ns = now_ns + self._ahead_ns[cpu]
        try:
            end_ns = lock.grant(cpu, arrival_ns, service_ns)
        except LockHeld:
            # Found held: the attempt itself takes no time, and changes nothing.
            return (arrival_ns + self._link_ns[cpu], self._next_sequence(), caller, None, BUSY)
        caller.queue_ns += end_ns - arrival_ns - service_ns
        caller.service_ns += service_ns
        return (end_ns + self._link_ns[cpu], self._next_sequence(), caller, None, reply)

    def serve(self, now_ns: int, caller: Caller, numbered: Numbered, factor: int) -> tuple[Reply, int, int]:
        """Serve a request that arrives now, `factor` times as slowly: the reply, the service's end, its length."""
        try:
            reply, work = self._handle(numbered)
        except Exception as error:
            self._fail(now_ns, caller, numbered, error)
        lock, service_ns = self._known_prices.get(work) or self._prices.of(work)
        self._locks[work.lock] = lock
        service_ns *= factor
        try:
            return reply, lock.grant(caller.cpu, now_ns, service_ns), service_ns
        except LockHeld:
            return BUSY, now_ns, 0

    def crash(self, now_ns: int) -> None:
        """End the station, and let go of its locks: nobody waits behind what was under way."""
        self.gone = True
        for lock in self._locks.values():
            lock.let_go(now_ns)

    def _fail(self, now_ns: int, caller: Caller, request: Request | Numbered, error: Exception) -> NoReturn:
        self.gone = True
        self._agenda.push(now_ns, Thrown(caller), ActorGone(self.address))
        self.parked.wake(ActorFailed(self.address, request, error))
        raise Attention(self.parked)


class MemoryStation(Station):
    """Where a machine is in shared memory: whoever asks does the work, behind locks whose order is their own."""

    __slots__ = ("_memory_locks",)

    def __init__(
        self, agenda: Agenda, prices: Prices, locks: MemoryLocks, address: Address, machine: Machine
    ) -> None:
        """Serve `machine` behind `locks`; there are no links."""
        super().__init__(agenda, prices, _AT_ONCE, address, machine, ahead_ns=_AT_ONCE)
        self._memory_locks = locks

    def step(self, now_ns: int, caller: Caller, request: Request) -> Entry | None:
        """Serve a request now; causes the end of its hold, or nothing while its lock is another's."""
        if self.gone:
            return (now_ns, self._next_sequence(), Thrown(caller), None, ActorGone(self.address))
        try:
            reply, work = self._handle(request)
        except Exception as error:
            self._fail(now_ns, caller, request, error)
        return self._memory_locks.ask(now_ns, caller, work, request, reply)
