"""What the tests of actors share: machines that need no areas, both worlds, and a world by hand."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from attrs import define, field, frozen

from actors.live import LiveWorld
from actors.lock import FifoLock
from actors.router import Router
from actors.world import Address, Call, Completed, Observer, Port
from protocol.area import VmapArea, ZoneLayout
from protocol.machine import Machine
from protocol.messages import Find, NotFound, Reply, Request
from protocol.node import NodeMachine
from protocol.policies import load
from protocol.work import Work
from sim.virtual import VirtualWorld

T = TypeVar("T")

ZONE = 0x1000
"""Bytes in a zone of the tests' layouts."""

ASK = Find(0, 0)
"""A request to machines that do not care."""

TICK_NS = 10
"""What each command takes in a `HandWorld`."""


def area(start_zone: float, end_zone: float) -> VmapArea:
    """Make an area from zone borders, or between them: area(0, 1.5)."""
    return VmapArea(int(start_zone * ZONE), int(end_zone * ZONE))


@define
class Seen:
    """What an observer was told."""

    completed: list[Completed] = field(factory=list)
    left: list[int] = field(factory=list)
    locks: dict[str, FifoLock] = field(factory=dict)

    def observer(self) -> Observer:
        return Observer(completed=self.completed.append, left=self.left.append, lock=self._new_lock)

    def _new_lock(self, name: str) -> FifoLock:
        assert name not in self.locks, f"{name} was asked for twice"
        lock = self.locks[name] = FifoLock(name)
        return lock


@frozen
class VisitCosts:
    """A cost model in which a visit takes one nanosecond; `links` are the links of the CPUs, from 0 on."""

    links: tuple[int, ...] = (10,)
    uniform_link_ns: int | None = 10
    fixed: bool = True
    fixed_links: bool = True
    memory: None = None

    def service_ns(self, work: Work) -> int:
        return work.visited

    def link_ns(self, cpu: int, address: Address) -> int:  # noqa: ARG002 (the shape of a cost model)
        return self.links[cpu] if self.uniform_link_ns is None else self.uniform_link_ns


class FixedMachine:
    """Finds nothing, in `service_ns` nanoseconds of `VisitCosts`; breaks when it is asked `breaks_on`."""

    def __init__(self, lock: str, service_ns: int, breaks_on: Request | None = None) -> None:
        self._work = Work(lock, service_ns, 1)
        self._breaks_on = breaks_on
        self.asked: list[Request] = []

    def handle(self, request: Request) -> tuple[Reply, Work]:
        self.asked.append(request)
        if request == self._breaks_on:
            raise ZeroDivisionError("broken by the test")
        return NotFound(), self._work


WORLDS: Mapping[str, Callable[[Seen], VirtualWorld | LiveWorld]] = {
    "virtual": lambda seen: VirtualWorld(VisitCosts(), 8, seen.observer(), lambda: None),
    "live": lambda seen: LiveWorld(seen.observer(), lambda: None),
}
"""Worlds to run the same actors in, by name."""


@define
class HandWorld:
    """Interprets one script's commands on the spot, without tasks; each takes `TICK_NS`."""

    machines: Mapping[Address, Machine]
    rounds: list[list[Call]] = field(factory=list)
    """All calls that were made, those of the same time together."""
    completed: list[Completed] = field(factory=list)
    port: Port = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.port = Port(0, self.completed.append)

    def run(self, script: Awaitable[T]) -> T:
        """Run a script that awaits this world's port, give what it returns."""

        async def whole() -> T:
            return await script

        steps, answer = whole(), None
        while True:
            try:
                command: Any = steps.send(answer)
            except StopIteration as over:
                return cast(T, over.value)
            calls: list[Call] = command if isinstance(command, list) else [command]
            self.rounds.append(calls)
            self.port.now_ns += TICK_NS
            replies: Any = [self.machines[to].handle(request)[0] for to, request in calls]
            answer = replies if isinstance(command, list) else replies[0]


def nodes(nr_nodes: int, areas: Iterable[VmapArea] = ()) -> dict[Address, NodeMachine]:
    """Make one machine per node, `areas` in their home nodes."""
    layout = ZoneLayout(nr_nodes, ZONE)
    machines = [NodeMachine(layout, [node_id], f"busy/{node_id}") for node_id in range(nr_nodes)]
    for one in areas:
        machines[layout.addr_to_node_id(one.va_start)].preload([one])
    return {f"node/{node_id}": machine for node_id, machine in enumerate(machines)}


def router(nr_nodes: int, policy: str = "backward") -> Router:
    """Make a router to `nodes(nr_nodes)`."""
    addresses = [f"node/{node_id}" for node_id in range(nr_nodes)]
    return Router(ZoneLayout(nr_nodes, ZONE), load(policy), addresses)


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The exceptions of nested groups, without the groups."""
    return [
        leaf
        for error in group.exceptions
        for leaf in (leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]
