"""The live world: the same actors over trio memory channels, on the wall clock.

Each server has a bounded channel of requests and each client a channel of replies: a full inbox makes its
senders wait (backpressure). Time is `time.perf_counter_ns()`. A machine serves one request at a time, so its lock
is held exactly while it does. A request waits for the lock, from its sending until the machine takes it up, if
another was still to be served when it was sent; the rest of its latency but for the machine's call is transfer.

Nothing here is deterministic but the outcome of workloads whose clients own their areas.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias

import trio
from attrs import define

from actors.driving import Gathering, run_script
from actors.errors import ActorCrashed, ActorFailed, ActorGone
from actors.faults import Carrier, Faults
from actors.lock import FifoLock, as_taken
from actors.wall_clock import WallClock
from actors.world import Address, Attempts, Call, Observer, Outcome, Port, Script, Signal
from protocol.machine import Machine
from protocol.messages import Busy, Reply, Request
from protocol.sessions import Numbered
from protocol.work import Work

INBOX = 64
"""Requests that wait at a server before its senders do."""

Delivery: TypeAlias = tuple[int, int, int, Reply | ActorGone]
"""An answer to the call with this index: index, queue_ns, service_ns, reply."""


@define
class Sent:
    """A request on its way: who sent it, when, and where the answer goes."""

    request: Request | Numbered
    cpu: int
    sent_ns: int
    index: int
    behind: bool
    """Whether others were still to be served when it was sent."""
    answer_to: "trio.MemorySendChannel[Delivery]"


class LiveWorld:
    """A `World` on the wall clock."""

    def __init__(self, observer: Observer, pause: Callable[[], None], faults: Faults | None = None) -> None:
        """Make an empty world; `pause` is called every `PAUSE_S` seconds, `faults` are those of attempts."""
        self.observer = observer
        self.carrier = Carrier(faults, lambda: self.now_ns)
        self._clock = WallClock(observer, pause)
        self._faults = faults
        self._inboxes: dict[Address, trio.MemorySendChannel[Sent]] = {}
        self._unserved: dict[Address, int] = {}
        self._crashing: dict[Address, Callable[[int], None]] = {}
        self._locks: dict[str, FifoLock] = {}
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
        inbox, requests = trio.open_memory_channel[Sent](INBOX)
        self._inboxes[address] = inbox
        self._unserved[address] = 0
        down_ns: int | None = None
        with trio.CancelScope() as scope:

            def crash(for_ns: int) -> None:
                nonlocal down_ns
                down_ns = for_ns
                scope.cancel()

            self._crashing[address] = crash
            task_status.started()
            try:
                async for sent in requests:
                    self._serve_one(address, machine, sent)
                    with suppress(trio.WouldBlock):  # one turn of the scheduler serves all that wait
                        while True:
                            await trio.lowlevel.checkpoint_if_cancelled()
                            self._serve_one(address, machine, requests.receive_nowait())
            finally:
                del self._inboxes[address], self._crashing[address]
                _turn_away(address, requests)
        if down_ns is not None:
            raise ActorCrashed(address, down_ns)

    async def pass_time(self, ns: int) -> None:
        """See `World.pass_time`."""
        await trio.sleep(ns / 1e9)

    async def drive(
        self,
        cpu: int,
        script: Script,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `World.drive`; scripts begin together, when the world is conducted."""
        await self._clock.drive(cpu, lambda port: _Driver(self, port).run(script), task_status)

    async def conduct(self) -> None:
        """See `World.conduct`: time passes by itself."""
        await self._clock.conduct(self.carrier.run, self._crash)

    async def _crash(self, task_status: trio.TaskStatus[None]) -> None:
        """Let actors crash when it is time."""
        task_status.started()
        await self._clock.begun.wait()
        for crash in self._faults.crashes() if self._faults else ():
            await trio.sleep((crash.at_ns - self.now_ns) / 1e9 if crash.at_ns > self.now_ns else 0)
            if self._faults is not None and crash.address in self._crashing:
                self._faults.crashed(crash.address)
                self._crashing[crash.address](crash.down_ns)

    def signal(self) -> Signal:
        """See `World.signal`."""
        return trio.Event()

    @property
    def now_ns(self) -> int:
        """The wall time since the scripts began."""
        return self._clock.now_ns

    async def send(self, to: Address, sent: Sent) -> None:
        """Put a request into an inbox; raises `ActorGone` when there is none, or no more."""
        inbox = self._inboxes.get(to)
        if inbox is None:
            raise ActorGone(to)
        sent.behind = self._unserved[to] > 0
        self._unserved[to] += 1
        try:
            try:
                inbox.send_nowait(sent)  # no turn of the scheduler: the caller waits for the answer anyway
            except trio.WouldBlock:
                await inbox.send(sent)
        except trio.BrokenResourceError:
            raise ActorGone(to) from None

    def send_or_lose(self, to: Address, sent: Sent) -> None:
        """Put a request into an inbox; where there is none, or no room, it is lost."""
        inbox = self._inboxes.get(to)
        if inbox is not None:
            sent.behind = self._unserved[to] > 0
            with suppress(trio.WouldBlock, trio.BrokenResourceError):
                inbox.send_nowait(sent)
                self._unserved[to] += 1

    def _serve_one(self, address: Address, machine: Machine, sent: Sent) -> None:
        start_ns = self.now_ns
        try:
            reply, work = machine.handle(sent.request)
        except Exception as error:
            _answer(sent, 0, 0, ActorGone(address))
            raise ActorFailed(address, sent.request, error) from error
        end_ns = self.now_ns
        self.events += 1
        self._unserved[address] -= 1
        if work.attempt and sent.behind:
            self._reply(address, sent, 0, 0, Busy())
            return
        # Who was alone did not wait for the lock, but for the scheduler.
        arrival_ns = sent.sent_ns if sent.behind else start_ns
        if work.holds:
            self._account(work, sent.cpu, arrival_ns, start_ns, end_ns)
        self._reply(address, sent, start_ns - arrival_ns, end_ns - start_ns, reply)

    def _reply(self, address: Address, sent: Sent, queue_ns: int, service_ns: int, reply: Reply) -> None:
        """Send a reply on its way, which may be one on which messages get lost."""
        answer = partial(_answer, sent, queue_ns, service_ns, reply)
        if self.carrier.is_perfect:
            answer()
        else:
            slowed_ns = self.carrier.slowed(address, service_ns)
            self.carrier.carry(address, f"cpu/{sent.cpu}", answer, slowed_ns)

    def _account(self, work: Work, cpu: int, arrival_ns: int, start_ns: int, end_ns: int) -> None:
        """Keep the statistics of the lock that was held from start to end."""
        lock = self._locks.get(work.lock)
        if lock is None:
            lock = self._locks[work.lock] = self.observer.lock(work.lock)
        lock.free_at_ns = start_ns
        as_taken(lock, work.holds, attempt=False).grant(cpu, arrival_ns, end_ns - start_ns)


class _Driver:
    """Carries out the calls of one script."""

    def __init__(self, world: LiveWorld, port: Port) -> None:
        self._world = world
        self._port = port
        self._answer_to, self._answers = trio.open_memory_channel[Delivery](float("inf"))
        self._calls = 0

    async def run(self, script: Script) -> None:
        """Run the script to its end."""
        await run_script(script, self._port, lambda: self._world.now_ns, self._call_all, self._attempt)

    async def _call_all(self, calls: Sequence[Call]) -> list[Reply]:
        first = self._calls
        self._calls += len(calls)
        for index, (to, request) in enumerate(calls, start=first):
            cpu, now_ns = self._port.cpu, self._world.now_ns
            await self._world.send(to, Sent(request, cpu, now_ns, index, False, self._answer_to))
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

    async def _attempt(self, attempts: Attempts) -> list[Outcome]:
        """Send requests over ways on which messages get lost, and wait for the replies as long as they may take."""
        world, cpu = self._world, self._port.cpu
        first = self._calls
        self._calls += len(attempts.asked)
        for index, (to, numbered) in enumerate(attempts.asked, start=first):
            sent = Sent(numbered, cpu, world.now_ns, index, False, self._answer_to)
            world.carrier.carry(f"cpu/{cpu}", to, partial(world.send_or_lose, to, sent))
        gathering = Gathering(len(attempts.asked), lambda _gathering: None)
        with trio.move_on_after(attempts.timeout_ns / 1e9):
            while not gathering.is_whole:
                index, queue_ns, service_ns, reply = await self._answers.receive()
                if index >= first and not isinstance(reply, ActorGone):
                    gathering.settle(index - first, reply, queue_ns, service_ns)
        self._port.queue_ns += gathering.queue_ns
        self._port.service_ns += gathering.service_ns
        return gathering.outcomes


def _answer(sent: Sent, queue_ns: int, service_ns: int, reply: Reply | ActorGone) -> None:
    # The client may have been cancelled: its channel takes what nobody will read.
    sent.answer_to.send_nowait((sent.index, queue_ns, service_ns, reply))


def _turn_away(address: Address, requests: "trio.MemoryReceiveChannel[Sent]") -> None:
    """Answer what is left in a closing inbox."""
    while True:
        try:
            sent = requests.receive_nowait()
        except trio.WouldBlock:
            break
        _answer(sent, 0, 0, ActorGone(address))
    requests.close()
