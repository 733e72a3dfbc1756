"""The cluster's world, as clients see it: the same scripts, whose calls go to other processes.

Scripts are patient (`actors.patience`), so what reaches this world are attempts: each is one ask on the link to
the member that hosts the address. Times are the client's; what an answer says of queue and service are the
server's durations, and the locks' statistics are what this world's clients met.

A client's trio task is parked while its script waits. Scripts are stepped where what they wait for comes in, as in
virtual time: by the task that reads a link, which so steps all scripts whose answers came in one piece, and what
they ask next leaves in one piece. What a script raises is raised in its own task.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any, cast

import trio

from actors.cluster.link import Link
from actors.driving import Gathering
from actors.errors import ActorGone, NotACommand
from actors.faults import Carrier, Faults
from actors.lock import FifoLock
from actors.patience import Patience, patient
from actors.wall_clock import WallClock
from actors.world import Address, Attempts, Observer, Port, Script, Signal
from protocol.envelopes import Answer, Failed
from protocol.messages import Reply
from protocol.sessions import Numbered

TICK_S = 0.02
"""Seconds between two looks at the clock: an attempt may wait that much longer than it was to."""


class ClusterWorld:
    """A `Driving` over links to members."""

    def __init__(
        self,
        links: Mapping[Address, Link],
        patience: Patience,
        observer: Observer,
        pause: Callable[[], None],
        faults: Faults | None = None,
    ) -> None:
        """Reach each address over its link; `pause` is called every `PAUSE_S` seconds."""
        self._links = links
        self.patience = patience
        self.observer = observer
        self._clock = WallClock(observer, pause)
        self._carrier = Carrier(faults, lambda: self.now_ns)
        self._locks: dict[str, FifoLock] = {}
        self._deadlines: list[tuple[int, int, Gathering]] = []
        self._next = count().__next__
        self._nursery: trio.Nursery | None = None
        self.events = 0
        """Answers received."""

    @property
    def now_ns(self) -> int:
        """The wall time since the scripts began."""
        return self._clock.now_ns

    def signal(self) -> Signal:
        """See `Driving.signal`."""
        return trio.Event()

    async def drive(
        self,
        cpu: int,
        script: Script,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `Driving.drive`; scripts begin together, when the world is conducted."""
        await self._clock.drive(cpu, lambda port: self.run_script(script, port), task_status)

    async def conduct(self) -> None:
        """See `Driving.conduct`: time passes by itself."""
        await self._clock.conduct(self.keep_time)

    async def run_script(self, script: Script, port: Port) -> None:
        """Run a script to its end, patiently; raises what it raises."""
        client = _Client(self, port, script)
        client.resume(None)
        try:
            await client.over.wait()
        finally:
            client.close()
        if client.error is not None:
            raise client.error

    async def keep_time(self, task_status: trio.TaskStatus[None]) -> None:
        """Let attempts end whose time is over, until cancelled; scripts run while this does."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await nursery.start(self._carrier.run)
            task_status.started()
            while True:
                await trio.sleep(TICK_S)
                now_ns = time.perf_counter_ns()
                while self._deadlines and self._deadlines[0][0] <= now_ns:
                    heappop(self._deadlines)[2].expire()

    # -- what clients do ------------------------------------------------------------------------

    def attempt(self, cpu: int, attempts: Attempts, gathered: Callable[[Gathering], None]) -> None:
        """Send requests; `gathered` is told when all are settled, or their time is over. Raises `ActorGone`."""
        gathering = Gathering(len(attempts.asked), gathered)
        links = [self._link_to(to) for to, _numbered in attempts.asked]
        heappush(self._deadlines, (time.perf_counter_ns() + attempts.timeout_ns, self._next(), gathering))
        for index, (link, (to, numbered)) in enumerate(zip(links, attempts.asked, strict=True)):
            posted = _Posted(self, gathering, index, cpu, to, numbered, attempts.timeout_ns)
            if self._carrier.is_perfect:
                link.post(posted)
            else:
                self._carrier.carry(f"cpu/{cpu}", to, partial(link.post, posted))

    def later(self, ns: int, resume: Callable[[None], None]) -> None:
        """Call `resume` when `ns` nanoseconds have passed."""
        self._start(_sleep_then, ns, resume)

    def when_set(self, signal: trio.Event, resume: Callable[[None], None]) -> None:
        """Call `resume` when `signal` is set."""
        self._start(_wait_then, signal, resume)

    def received(self, posted: "_Posted", answer: Answer) -> None:
        """Take an answer: note what its lock went through, and bring it to who waits for it."""
        self.events += 1
        if answer.lock:
            self._account(posted.cpu, answer)
        if self._carrier.is_perfect:
            posted.deliver(answer)
        else:
            slowed_ns = self._carrier.slowed(posted.to, answer.service_ns)
            self._carrier.carry(posted.to, f"cpu/{posted.cpu}", partial(posted.deliver, answer), slowed_ns)

    def _account(self, cpu: int, answer: Answer) -> None:
        """Keep the statistics of a lock as this world's clients met it: one acquisition a request."""
        lock = self._locks.get(answer.lock)
        if lock is None:
            lock = self._locks[answer.lock] = self.observer.lock(answer.lock)
        lock.free_at_ns = answer.queue_ns  # as if it had arrived at 0
        lock.grant(cpu, 0, answer.service_ns)

    def _link_to(self, address: Address) -> Link:
        link = self._links.get(address)
        if link is None:
            raise ActorGone(address)
        return link

    def _start(self, function: Any, *arguments: object) -> None:
        assert self._nursery is not None, "a script waits in a world that keeps no time"
        self._nursery.start_soon(function, *arguments)


class _Client:
    """One script, stepped in place; its trio task waits for `over`."""

    def __init__(self, world: ClusterWorld, port: Port, script: Script) -> None:
        self.over = trio.Event()
        self.error: BaseException | None = None
        self._world = world
        self._port = port
        self._coroutine = patient(script, world.patience)(port)

    def resume(self, answer: object) -> None:
        """Resume the script with what it awaited."""
        self._step(partial(self._coroutine.send, answer))

    def close(self) -> None:
        """End the script; whatever comes in for it is ignored."""
        self.over.set()
        self._coroutine.close()

    def _step(self, resume: Callable[[], Any] | None) -> None:
        """Step until the script waits for something that is not there yet."""
        while resume is not None and not self.over.is_set():
            self._port.now_ns = self._world.now_ns
            try:
                command = resume()
            except StopIteration:
                self.over.set()
                return
            except BaseException as error:
                self.error = error
                self.over.set()
                return
            try:
                resume = self._obey(command)
            except (ActorGone, NotACommand) as error:
                self._port.forget()
                resume = partial(self._coroutine.throw, error)

    def _obey(self, command: object) -> Callable[[], Any] | None:
        """Begin what the script wants; gives how to resume it at once, if there is nothing to wait for."""
        match command:
            case Attempts():
                self._world.attempt(self._port.cpu, command, self._gathered)
            case int():
                self._world.later(command, self.resume)
            case trio.Event():
                if command.is_set():
                    return partial(self._coroutine.send, None)
                self._world.when_set(command, self.resume)
            case _:
                raise NotACommand(command)
        return None

    def _gathered(self, gathering: Gathering) -> None:
        self._port.queue_ns += gathering.queue_ns
        self._port.service_ns += gathering.service_ns
        self.resume(gathering.outcomes)


class _Posted:
    """One request under way: see `link.Posted`."""

    __slots__ = ("_gathering", "_index", "_world", "cpu", "numbered", "timeout_ns", "to")

    def __init__(
        self,
        world: ClusterWorld,
        gathering: Gathering,
        index: int,
        cpu: int,
        to: Address,
        numbered: Numbered,
        timeout_ns: int,
    ) -> None:
        self._world = world
        self._gathering = gathering
        self._index = index
        self.cpu = cpu
        self.to = to
        self.numbered = numbered
        self.timeout_ns = timeout_ns

    def is_wanted(self) -> bool:
        """See `link.Posted.is_wanted`."""
        return not self._gathering.is_whole

    def settle(self, answer: Answer | Failed | None) -> None:
        """See `link.Posted.settle`."""
        if isinstance(answer, Answer):
            self._world.received(self, answer)
        else:
            self._gathering.settle(self._index, answer)

    def deliver(self, answer: Answer) -> None:
        """Bring the reply to who waits for it."""
        self._gathering.settle(self._index, cast(Reply, answer.reply), answer.queue_ns, answer.service_ns)


async def _sleep_then(ns: int, resume: Callable[[None], None]) -> None:
    await trio.sleep(ns / 1e9)
    resume(None)


async def _wait_then(signal: trio.Event, resume: Callable[[None], None]) -> None:
    await signal.wait()
    resume(None)
