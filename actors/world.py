"""The port to a world: how actors tell time, ask each other, serve and are driven.

The same actors live in several worlds. In the virtual one (`sim.virtual`) time is an integer that a
conductor moves; in the live one (`actors.live`) requests pass through trio memory channels on the wall
clock. A `World` is what an actor's task parks in, a `Port` is what one client's script sees of it.

A script awaits nothing but its port: that is what lets a world step it in place.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias

import trio
from attrs import frozen

from protocol.area import VmapArea
from protocol.machine import Machine
from protocol.messages import Reply, Request

Address: TypeAlias = str
"""Where an actor serves: "node/3", "free"."""

Answer: TypeAlias = VmapArea | tuple[VmapArea, ...] | None
"""What an operation was about: the area found, inserted or taken out, all areas of a batch, or nothing."""

Completed: TypeAlias = tuple[str, int, int, int, int, int, int, int, Answer]
"""An operation that is over: name, cpu, begin_ns, end_ns, probes, queue_ns, service_ns, addr, answer."""

Visit: TypeAlias = tuple[int, int, int, int, int]
"""A hold of a lock: lock number, cpu, arrival_ns, start_ns, end_ns."""


class Signal(Protocol):
    """Something that happens once, and that scripts can wait for with `Port.wait`."""

    def set(self) -> None:
        """Let it happen; everybody who waits goes on. Doing it again changes nothing."""
        ...


class Port(Protocol):
    """What the script of one client, on one CPU, sees of its world."""

    cpu: int
    probes: int
    """Nodes asked since the last completed operation; whoever asks them counts here."""

    @property
    def now_ns(self) -> int:
        """The time, in nanoseconds since the world's own zero; it does not go back."""
        ...

    def call(self, to: Address, request: Request) -> Awaitable[Reply]:
        """Send `request` and wait for the reply.

        Raises `ActorGone` when nobody serves at `to`.
        """
        ...

    def call_all(self, calls: Sequence[tuple[Address, Request]]) -> Awaitable[list[Reply]]:
        """Send several requests at once and wait for all replies, given in the order of `calls`.

        Raises `ActorGone` when nobody serves at one of the addresses.
        """
        ...

    def sleep(self, ns: int) -> Awaitable[None]:
        """Let `ns` nanoseconds pass; 0 or less returns at once."""
        ...

    def wait(self, signal: Signal) -> Awaitable[None]:
        """Wait until `signal` is set; returns at once if it is."""
        ...

    def complete(self, operation: str, begin_ns: int, addr: int, answer: Answer) -> None:
        """Record that an operation begun at `begin_ns` is over now, and start accounts for the next."""
        ...


Script: TypeAlias = Callable[[Port], Coroutine[Any, Any, None]]


class World(Protocol):
    """Where actors live. Every actor is a trio task that parks in one of these calls."""

    async def serve(
        self,
        address: Address,
        machine: Machine,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve `machine` at `address` until cancelled; requests are taken up once it has started.

        Raises `ActorFailed` when the machine raises. Requests that arrive later get `ActorGone`.
        """
        ...

    async def drive(
        self,
        cpu: int,
        script: Script,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run a client's script on CPU `cpu` to its end; what it raises is raised here."""
        ...

    async def conduct(self) -> None:
        """Let time pass until all scripts are over, those that still start included."""
        ...

    def signal(self) -> Signal:
        """Make a signal that scripts of this world can wait for."""
        ...


@frozen
class Observer:
    """Who is told what happens in a world, in the order in which it happens."""

    completed: Callable[[Completed], None]
    """An operation is over."""
    visited: Callable[[Visit], None]
    """A request came for a lock, got it and gave it back."""
    left: Callable[[int], None]
    """The script of this CPU is over: no operation of it is under way."""
    lock_number: Callable[[str], int]
    """Asked once per lock: the number that its visits carry."""
