"""The port to a world: how actors tell time, ask each other, serve and are driven.

The same actors live in several worlds. In the virtual one (`sim.virtual`) time is an integer that a
conductor moves; in the live one (`actors.live`) requests pass through trio memory channels on the wall
clock. A `World` is what an actor's task parks in, a `Port` is what one client's script sees of it.

A script is a coroutine that awaits nothing but its port, and what reaches its world are *commands*: ask
somebody, ask several at once, let time pass, wait for a signal. A world is an interpreter of commands; that
is what lets the virtual one step scripts in place, and the live one run the very same scripts.
"""

from collections.abc import Callable, Coroutine, Generator, Sequence
from types import coroutine
from typing import Any, Protocol, TypeAlias

import trio
from attrs import define, frozen

from actors.lock import FifoLock
from protocol.area import VmapArea
from protocol.envelopes import Failed
from protocol.errors import VmapsimError
from protocol.machine import Machine
from protocol.messages import Reply, Request
from protocol.sessions import Numbered

Address: TypeAlias = str
"""Where an actor serves: "node/3", "free"."""

Call: TypeAlias = tuple[Address, Request]
"""A request and where it goes."""

Answer: TypeAlias = VmapArea | tuple[VmapArea, ...] | None
"""What an operation was about: the area found, inserted or taken out, all areas of a batch, or nothing."""

Completed: TypeAlias = tuple[str, int, int, int, int, int, int, int, Answer]
"""An operation that is over: name, cpu, begin_ns, end_ns, probes, queue_ns, service_ns, addr, answer."""


@frozen
class Failure:
    """An operation that failed: what it may have done nevertheless, and why it failed."""

    operation: str
    cpu: int
    begin_ns: int
    end_ns: int
    addr: int
    areas: tuple[VmapArea, ...]
    """What it was to insert."""
    refused: bool
    """Whether a machine refused it; otherwise nobody knows what became of it."""
    reason: str


@define(eq=False)
class Attempts:
    """Send requests once each, over ways on which messages get lost, and wait `timeout_ns` for the replies."""

    asked: Sequence[tuple[Address, Numbered]]
    timeout_ns: int


Outcome: TypeAlias = Reply | Failed | None
"""What becomes of an attempt: the reply, word that it was not served, nothing in time."""


class Signal(Protocol):
    """Something that happens once, and that scripts can wait for with `Port.wait`."""

    def set(self) -> None:
        """Let it happen; everybody who waits goes on. Doing it again changes nothing."""
        ...

    def is_set(self) -> bool:
        """Tell whether it has happened."""
        ...


Command: TypeAlias = Call | list[Call] | int | Signal | Attempts
"""What a script yields to its world: a call (answered by the reply), several at once (by the list of
replies), nanoseconds to pass, a signal to wait for (by nothing), attempts at once (by the list of outcomes)."""


class Part(tuple[str, int, int, int, int, int, int, int, Answer]):
    """A completed operation that was part of one that goes on: `Port.complete_part` marks it."""

    __slots__ = ()


class Port:
    """What the script of one client, on one CPU, sees of its world; the world keeps its numbers.

    The sums are those of the calls on the present operation's critical path, so that queue, service and
    transfer (the rest) add up to its latency.
    """

    __slots__ = ("_completed", "_failed", "backlog_ns", "cpu", "now_ns", "probes", "queue_ns", "service_ns")

    def __init__(
        self,
        cpu: int,
        completed: Callable[[Completed], None],
        failed: Callable[[Failure], None] = lambda _failure: None,
    ) -> None:
        self.cpu = cpu
        self.now_ns = 0
        """When the script was last resumed, in nanoseconds since the world's own zero."""
        self.probes = 0
        """Nodes asked since the last completed operation; whoever asks them counts here."""
        self.queue_ns = 0
        self.service_ns = 0
        self.backlog_ns = 0
        """How long the present operation had waited for its CPU when its script took it up; set by scripts."""
        self._completed = completed
        self._failed = failed

    @coroutine
    def call(self, to: Address, request: Request) -> Generator[Command, Reply, Reply]:
        """Send `request` and wait for the reply.

        Raises `ActorGone` when nobody serves at `to`.
        """
        return (yield (to, request))

    @coroutine
    def call_all(self, calls: Sequence[Call]) -> Generator[Command, list[Reply], list[Reply]]:
        """Send several requests at once and wait for all replies, given in the order of `calls`.

        Raises `ActorGone` when nobody serves at one of the addresses.
        """
        return (yield list(calls)) if calls else []

    @coroutine
    def sleep(self, ns: int) -> Generator[Command, None, None]:
        """Let `ns` nanoseconds pass; 0 or less returns at once."""
        if ns > 0:
            yield ns

    @coroutine
    def wait(self, signal: Signal) -> Generator[Command, None, None]:
        """Wait until `signal` is set; returns at once if it is."""
        yield signal

    def complete(self, operation: str, begin_ns: int, addr: int, answer: Answer) -> None:
        """Record that an operation begun at `begin_ns` is over now, and start accounts for the next.

        One that had waited for its CPU is recorded as begun when it came, and its wait as queueing.
        """
        begin_ns -= self.backlog_ns
        queue_ns, service_ns = self.queue_ns + self.backlog_ns, self.service_ns
        self._completed(
            (operation, self.cpu, begin_ns, self.now_ns, self.probes, queue_ns, service_ns, addr, answer)
        )
        self.probes = self.queue_ns = self.service_ns = self.backlog_ns = 0

    def give_up(
        self,
        operation: str,
        begin_ns: int,
        addr: int,
        areas: tuple[VmapArea, ...],
        *,
        refused: bool,
        error: VmapsimError,
    ) -> None:
        """Record that an operation begun at `begin_ns` has failed now, and start accounts for the next."""
        self._failed(Failure(operation, self.cpu, begin_ns, self.now_ns, addr, areas, refused, str(error)))
        self.forget()

    @property
    def accounts(self) -> tuple[int, int, int, int]:
        """Now, and the sums of the present operation so far: probes, queue_ns, service_ns."""
        return self.now_ns, self.probes, self.queue_ns, self.service_ns

    def complete_part(self, operation: str, since: tuple[int, int, int, int], addr: int, answer: Answer) -> None:
        """Record what was done as a part of the present operation `since` its `accounts` were those; it keeps them.

        If the part inserted or removed anything (`answer`), the operation around it must not have done so yet:
        whoever judges answers takes all that a CPU did until then for known.
        """
        begin_ns, probes, queue_ns, service_ns = since
        probes, queue_ns = self.probes - probes, self.queue_ns - queue_ns
        service_ns = self.service_ns - service_ns
        row = (operation, self.cpu, begin_ns, self.now_ns, probes, queue_ns, service_ns, addr, answer)
        self._completed(Part(row))

    def forget(self) -> None:
        """Start new accounts without a record: the present operation failed."""
        self.probes = self.queue_ns = self.service_ns = self.backlog_ns = 0


Script: TypeAlias = Callable[[Port], Coroutine[Command, Any, None]]


class Driving(Protocol):
    """Where clients live. Every actor is a trio task that parks in one of these calls."""

    async def drive(
        self,
        cpu: int,
        script: Script,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run a client's script on CPU `cpu` to its end; what it raises is raised here."""
        ...

    async def conduct(self) -> None:
        """Let time pass until all scripts are over that have started by then."""
        ...

    def signal(self) -> Signal:
        """Make a signal that scripts of this world can wait for."""
        ...


@frozen
class Observer:
    """Who is told what happens in a world, in the order in which it happens."""

    completed: Callable[[Completed], None]
    """An operation is over."""
    left: Callable[[int], None]
    """The script of this CPU is over: no operation of it is under way."""
    lock: Callable[[str], FifoLock]
    """Asked once per lock: the statistics to keep for it."""
    failed: Callable[[Failure], None] = lambda _failure: None
    """An operation has failed, and its client goes on."""


class World(Driving, Protocol):
    """Where all actors live, servers too."""

    async def serve(
        self,
        address: Address,
        machine: Machine,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve `machine` at `address` until cancelled; requests are taken up once it has started.

        Raises `ActorFailed` when the machine raises, `ActorCrashed` when a fault ends it. Requests that are sent
        later get `ActorGone`, attempts no answer; of those under way then, a world says what becomes of them.
        """
        ...

    async def pass_time(self, ns: int) -> None:
        """Let `ns` nanoseconds of this world's time pass for an actor that is not a script."""
        ...
