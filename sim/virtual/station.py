"""Stations: where machines are served in virtual time, behind FIFO locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from actors.errors import ActorFailed, ActorGone
from actors.lock import FifoLock
from actors.world import Address
from protocol.machine import Machine
from protocol.messages import Request
from protocol.work import Work
from sim.virtual.events import Attention, Caller, Entry, Parked, Thrown

if TYPE_CHECKING:
    from sim.virtual.world import VirtualWorld


class Station:
    """Where a machine is served: requests are stepped here when they arrive."""

    __slots__ = (
        "_handle",
        "_next_sequence",
        "_priced",
        "_world",
        "address",
        "gone",
        "link_ns",
        "parked",
    )

    def __init__(self, world: VirtualWorld, address: Address, machine: Machine) -> None:
        costs = world.costs
        self._world = world
        self._handle = machine.handle
        self._priced: dict[Work, tuple[FifoLock, int]] = {}
        self._next_sequence = world.next_sequence
        self.address = address
        self.gone = False
        self.link_ns = [costs.link_ns(cpu, address) for cpu in range(world.cpus)]
        self.parked = Parked()

    def post(self, now_ns: int, caller: Caller, request: Request) -> Entry:
        """Send a request of `caller`; causes its arrival, or its reply where requests keep their order."""
        arrival_ns = now_ns + self.link_ns[caller.cpu]
        if self._world.in_order_link_ns is None:
            return (arrival_ns, self._next_sequence(), self, caller, request)
        return self.step(arrival_ns, caller, request)

    def step(self, now_ns: int, caller: Caller, request: Request) -> Entry:
        """Serve a request that arrives; causes its reply."""
        if self.gone:
            return (now_ns, self._next_sequence(), Thrown(caller), None, ActorGone(self.address))
        try:
            reply, work = self._handle(request)
        except Exception as error:
            self._fail(now_ns, caller, request, error)
        lock, service_ns = self._priced.get(work) or self._price(work)
        cpu = caller.cpu
        end_ns = lock.grant(cpu, now_ns, service_ns)
        caller.queue_ns += end_ns - now_ns - service_ns
        caller.service_ns += service_ns
        return (end_ns + self.link_ns[cpu], self._next_sequence(), caller, None, reply)

    def _price(self, work: Work) -> tuple[FifoLock, int]:
        """Look up the lock and the time that `work` takes; kept for the works that machines reuse."""
        price = (self._world.lock(work.lock), self._world.costs.service_ns(work))
        if work.moved == 1:
            self._priced[work] = price
        return price

    def _fail(self, now_ns: int, caller: Caller, request: Request, error: Exception) -> NoReturn:
        self.gone = True
        self._world.push(now_ns, Thrown(caller), ActorGone(self.address))
        self.parked.wake(ActorFailed(self.address, request, error))
        raise Attention(self.parked)
