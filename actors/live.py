"""The live world: the same actors over trio memory channels, on the wall clock.

Each server has a bounded channel of requests and each client a channel of replies: a full inbox makes its
senders wait (backpressure). Time is `time.perf_counter_ns()`. A machine serves one request at a time, so its lock
is held exactly while it does. A request waits for the lock, from its sending until the machine takes it up, if
another was still to be served when it was sent; the rest of its latency but for the machine's call is transfer.

Nothing here is deterministic but the outcome of workloads whose clients own their areas.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import trio
from attrs import define

from actors.errors import ActorFailed, ActorGone, NotACommand
from actors.lock import FifoLock, as_taken
from actors.world import Address, Call, Command, Observer, Port, Script, Signal
from protocol.machine import Machine
from protocol.messages import Busy, Reply, Request
from protocol.work import Work

INBOX = 64
"""Requests that wait at a server before its senders do."""

PAUSE_S = 0.1
"""Seconds between two pauses, in which what has happened is looked at."""

Delivery: TypeAlias = tuple[int, int, int, Reply | ActorGone]
"""An answer to the call with this index: index, queue_ns, service_ns, reply."""


@define
class Envelope:
    """A request on its way: who sent it, when, and where the answer goes."""

    request: Request
    cpu: int
    sent_ns: int
    index: int
    behind: bool
    """Whether others were still to be served when it was sent."""
    answer_to: "trio.MemorySendChannel[Delivery]"


class LiveWorld:
    """A `World` on the wall clock."""

    def __init__(self, observer: Observer, pause: Callable[[], None]) -> None:
        """Make an empty world; `pause` is called every `PAUSE_S` seconds."""
        self.observer = observer
        self._pause = pause
        self._driven = 0
        self._over = trio.Event()
        self._inboxes: dict[Address, trio.MemorySendChannel[Envelope]] = {}
        self._unserved: dict[Address, int] = {}
        self._locks: dict[str, FifoLock] = {}
        self._started = trio.Event()
        self._zero_ns = 0
        self.events = 0
        """Requests served."""

    async def serve(
        self,
        address: Address,
        machine: Machine,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `World.serve`."""
        assert address not in self._inboxes, f"somebody serves at {address!r} already"
        inbox, requests = trio.open_memory_channel[Envelope](INBOX)
        self._inboxes[address] = inbox
        self._unserved[address] = 0
        task_status.started()
        try:
            async for envelope in requests:
                self._serve_one(address, machine, envelope)
        finally:
            del self._inboxes[address]
            _turn_away(address, requests)

    async def drive(
        self,
        cpu: int,
        script: Script,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `World.drive`; scripts begin together, when the world is conducted."""
        self._driven += 1
        task_status.started()
        try:
            await self._started.wait()
            await _Driver(self, Port(cpu, self.observer.completed)).run(script)
        finally:
            self.observer.left(cpu)
            self._driven -= 1
            if not self._driven:
                self._over.set()

    async def conduct(self) -> None:
        """See `World.conduct`: time passes by itself, so this lets the scripts begin and pauses now and then."""
        self._zero_ns = time.perf_counter_ns()
        self._started.set()
        while self._driven:
            with trio.move_on_after(PAUSE_S):
                await self._over.wait()
            self._pause()

    def signal(self) -> Signal:
        """See `World.signal`."""
        return trio.Event()

    @property
    def now_ns(self) -> int:
        """The wall time since the scripts began."""
        return time.perf_counter_ns() - self._zero_ns

    async def send(self, to: Address, envelope: Envelope) -> None:
        """Put a request into an inbox; raises `ActorGone` when there is none, or no more."""
        inbox = self._inboxes.get(to)
        if inbox is None:
            raise ActorGone(to)
        envelope.behind = self._unserved[to] > 0
        self._unserved[to] += 1
        try:
            await inbox.send(envelope)
        except trio.BrokenResourceError:
            raise ActorGone(to) from None

    def _serve_one(self, address: Address, machine: Machine, envelope: Envelope) -> None:
        start_ns = self.now_ns
        try:
            reply, work = machine.handle(envelope.request)
        except Exception as error:
            _answer(envelope, 0, 0, ActorGone(address))
            raise ActorFailed(address, envelope.request, error) from error
        end_ns = self.now_ns
        self.events += 1
        self._unserved[address] -= 1
        if work.attempt and envelope.behind:
            _answer(envelope, 0, 0, Busy())
            return
        # Who was alone did not wait for the lock, but for the scheduler.
        arrival_ns = envelope.sent_ns if envelope.behind else start_ns
        if work.holds:
            self._account(work, envelope.cpu, arrival_ns, start_ns, end_ns)
        _answer(envelope, start_ns - arrival_ns, end_ns - start_ns, reply)

    def _account(self, work: Work, cpu: int, arrival_ns: int, start_ns: int, end_ns: int) -> None:
        """Keep the statistics of the lock that was held from start to end."""
        lock = self._locks.get(work.lock)
        if lock is None:
            lock = self._locks[work.lock] = self.observer.lock(work.lock)
        lock.free_at_ns = start_ns
        as_taken(lock, work.holds, attempt=False).grant(cpu, arrival_ns, end_ns - start_ns)


class _Driver:
    """Interprets the commands of one script."""

    def __init__(self, world: LiveWorld, port: Port) -> None:
        self._world = world
        self._port = port
        self._answer_to, self._answers = trio.open_memory_channel[Delivery](float("inf"))
        self._calls = 0

    async def run(self, script: Script) -> None:
        """Run the script to its end."""
        coroutine = script(self._port)
        resume = partial(coroutine.send, None)
        try:
            while True:
                self._port.now_ns = self._world.now_ns
                try:
                    command = resume()
                except StopIteration:
                    return
                try:
                    resume = partial(coroutine.send, await self._obey(command))
                except (ActorGone, NotACommand) as error:
                    # When everybody is being cancelled, that a server has gone already is no failure.
                    await trio.lowlevel.checkpoint_if_cancelled()
                    self._port.forget()
                    resume = partial(coroutine.throw, error)
        finally:
            coroutine.close()

    async def _obey(self, command: Command) -> Reply | list[Reply] | None:
        match command:
            case tuple():
                return (await self._call_all([command]))[0]
            case list():
                return await self._call_all(command)
            case int():
                await trio.sleep(command / 1e9)
            case trio.Event():
                await command.wait()
            case _:
                raise NotACommand(command)
        return None

    async def _call_all(self, calls: Sequence[Call]) -> list[Reply]:
        first = self._calls
        self._calls += len(calls)
        for index, (to, request) in enumerate(calls, start=first):
            cpu, now_ns = self._port.cpu, self._world.now_ns
            await self._world.send(to, Envelope(request, cpu, now_ns, index, False, self._answer_to))
        replies: dict[int, Reply] = {}
        queue_ns = service_ns = 0
        while len(replies) < len(calls):
            index, queue_ns, service_ns, reply = await self._answers.receive()
            if index < first:
                continue  # to calls that failed with another one's failure
            if isinstance(reply, ActorGone):
                raise reply
            replies[index] = reply
        # The last reply to come is the operation's critical path.
        self._port.queue_ns += queue_ns
        self._port.service_ns += service_ns
        return [replies[index] for index in range(first, self._calls)]


def _answer(envelope: Envelope, queue_ns: int, service_ns: int, reply: Reply | ActorGone) -> None:
    # The client may have been cancelled: its channel takes what nobody will read.
    envelope.answer_to.send_nowait((envelope.index, queue_ns, service_ns, reply))


def _turn_away(address: Address, requests: "trio.MemoryReceiveChannel[Envelope]") -> None:
    """Answer what is left in a closing inbox."""
    while True:
        try:
            envelope = requests.receive_nowait()
        except trio.WouldBlock:
            break
        _answer(envelope, 0, 0, ActorGone(address))
    requests.close()
