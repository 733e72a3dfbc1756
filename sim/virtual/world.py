"""The virtual world: integer nanoseconds, one heap, actors stepped in place.

The conductor keeps what will happen in an agenda, a heap of `(time_ns, sequence, target, caller, message)`,
and steps the target of the earliest entry: a request that reaches a station is served by a call of the machine,
a reply that reaches a port resumes the client's script by `coroutine.send`. Each step returns the one
entry it causes (or None), which takes its place in the heap: an event costs a heap operation and a
function call, not a trio switch (see docs/explanation/virtual-time.md).

**Ties.** Events of the same nanosecond happen in the order in which they were caused (`sequence`);
scripts start in the order in which they were driven. Nothing else decides: no hash, no `id()`, no trio.

**Locks** are FIFO servers. Since the n-th request to arrive is the n-th to be served, a request is
served when it *arrives*: the machine's state is then that of its service's start, and the time of
its end is known, `max(arrival, free_at) + service`. The reply is the next event.

Where all links take equally long, requests arrive in the order in which they were sent, and are served
when they are *sent*, with the time of their arrival: the same outcome for half the events, but for ties between
replies and those who wake from sleep, and for requests on their way to a server that is cancelled (these are
served).

Where links vary each message draws its own, and is served when it arrives: what was sent first need not come first.

**Shared memory** has no links, and locks whose holds depend on who held them before (`sim.virtual.memory`).

**Tasks.** Each actor is a trio task that parks in `serve` or `drive`. What goes wrong in a step is
raised there; a task that is cancelled or fails withdraws: entries that were meant for it are skipped,
requests to it are answered with `ActorGone`. The conductor waits until the task has left before it goes
on, and gives trio a checkpoint every `SLICE` events, for Ctrl-C, deadlines and progress.

**Faults** are events like any others (`sim.virtual.lossy`); scripts then make attempts, and ask again.
"""

from collections.abc import Callable

import trio

from actors.faults import Faults
from actors.world import Address, Observer, Script
from protocol.errors import VmapsimError
from protocol.machine import Machine
from sim.costs import CostModel
from sim.virtual.agenda import Agenda, Parked
from sim.virtual.lossy import Crashing, Network, Waking
from sim.virtual.memory import MemoryLocks
from sim.virtual.port import VirtualPort, VirtualSignal
from sim.virtual.station import DrawnLinks, Links, MemoryStation, Prices, Station

SLICE = 4096
"""Events between two checkpoints: some tens of milliseconds of wall time."""


class Deadlock(VmapsimError):
    """Scripts are left, and nothing will ever happen again: they wait for each other."""


class VirtualWorld:
    """A `World` in virtual time. All of it happens in the task that calls `conduct`."""

    def __init__(
        self,
        costs: CostModel,
        cpus: int,
        observer: Observer,
        pause: Callable[[], None],
        faults: Faults | None = None,
    ) -> None:
        """Make an empty world; `pause` is called between slices. With `faults`, scripts make attempts."""
        self._costs = costs
        self._cpus = cpus
        self._observer = observer
        self._pause = pause
        self._agenda = Agenda()
        self._prices = Prices(costs, observer.lock)
        memory = costs.memory
        self._memory_locks = None if memory is None else MemoryLocks(self._agenda, memory, observer.lock)
        self._stations: dict[Address, Station] = {}
        self._ports: list[VirtualPort] = []
        self._network: Network | None = None
        self._crashing: Crashing | None = None
        if faults is not None:
            self._network = Network(self._agenda, self._stations, faults, costs.link_ns)
            self._crashing = Crashing(self._network, faults.crashes())

    @property
    def now_ns(self) -> int:
        """The time of the latest event."""
        return self._agenda.now_ns

    @property
    def events(self) -> int:
        """Events so far."""
        return self._agenda.events

    async def serve(
        self,
        address: Address,
        machine: Machine,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `World.serve`."""
        assert address not in self._stations, f"somebody serves at {address!r} already"
        station = self._stations[address] = self._station(address, machine)
        task_status.started()
        try:
            await station.parked.wait()
        finally:
            station.gone = True
            del self._stations[address]

    def _station(self, address: Address, machine: Machine) -> Station:
        costs = self._costs
        if self._memory_locks is not None:
            return MemoryStation(self._agenda, self._prices, self._memory_locks, address, machine)
        links: Links = (
            [costs.link_ns(cpu, address) for cpu in range(self._cpus)]
            if costs.fixed_links
            else DrawnLinks(costs.link_ns, address)
        )
        ahead_ns = None if costs.uniform_link_ns is None else links
        return Station(self._agenda, self._prices, links, address, machine, ahead_ns=ahead_ns)

    async def drive(
        self,
        cpu: int,
        script: Script,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `World.drive`."""
        port = VirtualPort(
            self._agenda,
            self._stations,
            cpu,
            self._observer.completed,
            script,
            self._observer.failed,
            self._network,
        )
        self._ports.append(port)
        self._agenda.push(self._agenda.now_ns, port)
        task_status.started()
        try:
            await port.parked.wait()
        finally:
            port.withdraw()
            self._ports.remove(port)
            self._observer.left(cpu)

    def signal(self) -> VirtualSignal:
        """See `World.signal`."""
        return VirtualSignal(self._agenda)

    async def pass_time(self, ns: int) -> None:
        """See `World.pass_time`."""
        waking = Waking(Parked())
        self._agenda.push(self._agenda.now_ns + ns, waking)
        try:
            await waking.parked.wait()
        finally:
            waking.gone = True

    async def conduct(self) -> None:
        """See `World.conduct`. Raises `Deadlock` when scripts wait for what can never come."""
        if self._crashing is not None:
            self._crashing.schedule()
        while self._ports:
            parked = self._agenda.run(SLICE)
            self._pause()
            if parked is not None:
                await parked.has_left()
            await trio.lowlevel.checkpoint()
            if not self._agenda and self._ports and parked is None:
                waiting = ", ".join(f"cpu {port.cpu} since {port.now_ns} ns" for port in self._ports)
                raise Deadlock(f"nothing more can happen, but scripts still wait: {waiting}")
