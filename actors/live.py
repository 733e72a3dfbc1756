"""The live world: the same actors over trio memory channels, on the wall clock.

Each server has a bounded channel of requests and each client a channel of replies: a full inbox makes its
senders wait (backpressure). Time is `time.perf_counter_ns()`; a request queues from its sending until the
machine takes it up, service is the machine's call, and the rest of its latency is transfer. A machine
serves one request at a time, so its lock is held exactly while it does.

Nothing here is deterministic but the outcome of workloads whose clients own their areas.
"""

import time
from collections.abc import Sequence
from typing import TypeAlias

import trio
from attrs import define

from actors.errors import ActorFailed, ActorGone
from actors.world import Address, Answer, Observer, Script, Signal
from protocol.machine import Machine
from protocol.messages import Reply, Request

INBOX = 64
"""Requests that wait at a server before its senders do."""

Delivery: TypeAlias = tuple[int, int, int, Reply | ActorGone]
"""An answer to the call with this index: index, queue_ns, service_ns, reply."""


@define
class Envelope:
    """A request on its way: who sent it, when, and where the answer goes."""

    request: Request
    cpu: int
    sent_ns: int
    index: int
    answer_to: "trio.MemorySendChannel[Delivery]"


class LiveWorld:
    """A `World` on the wall clock."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self._inboxes: dict[Address, trio.MemorySendChannel[Envelope]] = {}
        self._locks: dict[str, int] = {}
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
        task_status.started()
        await self._started.wait()
        try:
            await script(LivePort(self, cpu))
        finally:
            self.observer.left(cpu)

    async def conduct(self) -> None:
        """See `World.conduct`: time passes by itself, so this only lets the scripts begin."""
        await trio.lowlevel.checkpoint()
        self._zero_ns = time.perf_counter_ns()
        self._started.set()

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
        number = self._locks.get(work.lock)
        if number is None:
            number = self._locks[work.lock] = self.observer.lock_number(work.lock)
        self.observer.visited((number, envelope.cpu, envelope.sent_ns, start_ns, end_ns))
        _answer(envelope, start_ns - envelope.sent_ns, end_ns - start_ns, reply)


class LivePort:
    """A client's script's view of the live world."""

    def __init__(self, world: LiveWorld, cpu: int) -> None:
        self._world = world
        self._answer_to, self._answers = trio.open_memory_channel[Delivery](float("inf"))
        self.cpu = cpu
        self.probes = self.queue_ns = self.service_ns = 0

    @property
    def now_ns(self) -> int:
        """See `Port.now_ns`."""
        return self._world.now_ns

    async def call(self, to: Address, request: Request) -> Reply:
        """See `Port.call`."""
        await self._send(to, request, 0)
        _index, queue_ns, service_ns, reply = await self._answers.receive()
        if isinstance(reply, ActorGone):
            raise reply
        self.queue_ns += queue_ns
        self.service_ns += service_ns
        return reply

    async def call_all(self, calls: Sequence[tuple[Address, Request]]) -> list[Reply]:
        """See `Port.call_all`; the last reply to come is the critical path."""
        for index, (to, request) in enumerate(calls):
            await self._send(to, request, index)
        replies: dict[int, Reply] = {}
        queue_ns = service_ns = 0
        for _ in calls:
            index, queue_ns, service_ns, reply = await self._answers.receive()
            if isinstance(reply, ActorGone):
                raise reply
            replies[index] = reply
        self.queue_ns += queue_ns
        self.service_ns += service_ns
        return [replies[index] for index in range(len(calls))]

    async def sleep(self, ns: int) -> None:
        """See `Port.sleep`."""
        if ns > 0:
            await trio.sleep(ns / 1e9)

    async def wait(self, signal: Signal) -> None:
        """See `Port.wait`."""
        assert isinstance(signal, trio.Event), "a signal of another world"
        await signal.wait()

    def complete(self, operation: str, begin_ns: int, addr: int, answer: Answer) -> None:
        """See `Port.complete`."""
        end_ns = self._world.now_ns
        accounts = (self.probes, self.queue_ns, self.service_ns)
        self._world.observer.completed((operation, self.cpu, begin_ns, end_ns, *accounts, addr, answer))
        self.probes = self.queue_ns = self.service_ns = 0

    async def _send(self, to: Address, request: Request, index: int) -> None:
        envelope = Envelope(request, self.cpu, self._world.now_ns, index, self._answer_to)
        await self._world.send(to, envelope)


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
