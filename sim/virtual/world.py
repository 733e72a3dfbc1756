"""The virtual world: integer nanoseconds, one heap, actors stepped in place.

The conductor keeps what will happen in a heap of `(time_ns, sequence, target, caller, message)` and steps
the target of the earliest entry: a request that reaches a station is served by a call of the machine,
a reply that reaches a port resumes the client's script by `coroutine.send`. Each step returns the one
entry it causes (or None), which takes its place in the heap: an event costs a heap operation and a
function call, not a trio switch (a factor of 25, see docs/explanation/virtual-time.md).

**Ties.** Events of the same nanosecond happen in the order in which they were caused (`sequence`);
scripts start in the order in which they were driven. Nothing else decides: no hash, no `id()`, no trio.

**Locks** are FIFO servers. Since the n-th request to arrive is the n-th to be served, a request is
served when it *arrives*: the machine's state is then that of its service's start, and the time of
its end is known, `max(arrival, free_at) + service`. The reply is the next event.

Where all links take equally long, requests arrive in the order in which they were sent, and are served
when they are *sent*, with the time of their arrival: the same outcome for half the events.

**Tasks.** Each actor is a trio task that parks in `serve` or `drive`. What goes wrong in a step is
raised there; a task that is cancelled or fails withdraws: entries that were meant for it are skipped,
requests to it are answered with `ActorGone`. The conductor waits until the task has left before it goes
on, and gives trio a checkpoint every `SLICE` events, for Ctrl-C, deadlines and progress.
"""

from collections.abc import Callable
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Any

import trio

from actors.lock import FifoLock
from actors.world import Address, Observer, Script
from protocol.errors import VmapsimError
from protocol.machine import Machine
from sim.costs import CostModel
from sim.virtual.events import Attention, Entry, Parked, Target
from sim.virtual.port import VirtualPort, VirtualSignal
from sim.virtual.station import Station

SLICE = 4096
"""Events between two checkpoints: some tens of milliseconds of wall time."""


class Deadlock(VmapsimError):
    """Scripts are left, and nothing will ever happen again: they wait for each other."""


class VirtualWorld:
    """A `World` in virtual time. All of it happens in the task that calls `conduct`."""

    def __init__(self, costs: CostModel, cpus: int, observer: Observer, pause: Callable[[], None]) -> None:
        """Make an empty world; `pause` is called between slices."""
        self.costs = costs
        self.in_order_link_ns = costs.uniform_link_ns
        self.cpus = cpus
        self.observer = observer
        self.stations: dict[Address, Station] = {}
        self._locks: dict[str, FifoLock] = {}
        self.next_sequence = count(1).__next__
        self._pause = pause
        self.now_ns = 0
        self.events = 0
        self._heap: list[Entry] = []
        self._ports: list[VirtualPort] = []

    # -- what actors see ------------------------------------------------------------------------

    async def serve(
        self,
        address: Address,
        machine: Machine,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `World.serve`."""
        assert address not in self.stations, f"somebody serves at {address!r} already"
        station = self.stations[address] = Station(self, address, machine)
        task_status.started()
        try:
            await station.parked.wait()
        finally:
            station.gone = True
            del self.stations[address]

    async def drive(
        self,
        cpu: int,
        script: Script,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `World.drive`."""
        port = VirtualPort(self, cpu, script)
        self._ports.append(port)
        self.push(self.now_ns, port, None)
        task_status.started()
        try:
            await port.parked.wait()
        finally:
            port.withdraw()
            self._ports.remove(port)
            self.observer.left(cpu)

    def signal(self) -> VirtualSignal:
        """See `World.signal`."""
        return VirtualSignal(self)

    async def conduct(self) -> None:
        """See `World.conduct`. Raises `Deadlock` when scripts wait for what can never come."""
        while self._ports:
            parked = self._run_slice()
            if parked is not None:
                await parked.has_left()
            await trio.lowlevel.checkpoint()
            if not self._heap and self._ports and parked is None:
                waiting = ", ".join(f"cpu {port.cpu} since {port.now_ns} ns" for port in self._ports)
                raise Deadlock(f"nothing more can happen, but scripts still wait: {waiting}")

    def lock(self, name: str) -> FifoLock:
        """Give the lock called `name`, which stations may share."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = self.observer.lock(name)
        return lock

    # -- the conductor --------------------------------------------------------------------------

    def _run_slice(self) -> Parked | None:
        """Step up to `SLICE` events; give the task that has to run before the next, if any."""
        heap = self._heap
        attention = None
        done = 0
        try:
            for done in range(1, SLICE + 1):  # noqa: B007 (read after the loop)
                self.now_ns, _sequence, target, caller, message = heap[0]
                caused = target.step(self.now_ns, caller, message)
                if caused is None:
                    heappop(heap)
                else:
                    heapreplace(heap, caused)
        except Attention as raised:
            heappop(heap)
            attention = raised.parked
        except IndexError:
            if heap:
                raise
            done -= 1
        self.events += done
        self._pause()
        return attention

    def push(self, time_ns: int, target: Target, message: Any) -> None:
        """Let `target` be stepped with `message` at `time_ns`, which is not in the past."""
        heappush(self._heap, (time_ns, self.next_sequence(), target, None, message))

    def push_now(self, target: Target) -> None:
        """Let `target` be stepped at the present time, after all that is already due then."""
        self.push(self.now_ns, target, None)

    def push_entry(self, entry: Entry) -> None:
        """Let `entry` happen."""
        heappush(self._heap, entry)
