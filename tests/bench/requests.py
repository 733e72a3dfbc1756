"""The virtual world's bare request and reply: no areas, no router, no record, one server and 16 clients.

The floor is what its parts cost without it: one heap, a coroutine per client, a call of the server.
"""

import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from heapq import heappop, heapreplace
from types import coroutine
from typing import Any

import trio

from actors.lock import FifoLock
from actors.system import Driver, Server, run_system
from actors.world import Observer, Port, World
from protocol.messages import Find, NotFound
from protocol.work import Work
from sim.costs.message_passing import MessagePassing
from sim.placement import Placement
from sim.scenario.model import Scenario
from sim.topologies import topology
from sim.virtual import VirtualWorld
from tests.bench.suite import ROOT, Bench, Case, Measured, Options

CLIENTS = 16
REQUESTS = 300_000


class Nobody:
    """A machine that has nothing."""

    def __init__(self) -> None:
        self._served = NotFound(), Work("busy/0", 10, 1)

    def handle(self, _request: object) -> tuple[NotFound, Work]:
        return self._served


def observer() -> Observer:
    """Make one that looks away."""
    return Observer(completed=lambda _completed: None, left=lambda _cpu: None, lock=FifoLock)


def ask(world: World, requests: int, conduct: Callable[[], Awaitable[None]] | None = None) -> float:
    """Have clients ask a server; give the CPU seconds from the first actor's start to the last one's end."""

    async def script(port: Port) -> None:
        for _ in range(requests // CLIENTS):
            await port.call("node/0", Find(0, 0))

    began = time.process_time()
    drivers = [Driver(cpu, script) for cpu in range(CLIENTS)]
    trio.run(run_system, world, [Server("node/0", Nobody())], drivers, conduct)
    return time.process_time() - began


def run_virtual(options: Options) -> Measured:
    """Ask in the virtual world."""
    scenario, requests = Scenario(), int(REQUESTS * options.scale)
    costs = MessagePassing(Placement(topology(scenario, ROOT), [0], 0))
    return {"items": requests, "seconds": ask(VirtualWorld(costs, CLIENTS, observer(), lambda: None), requests)}


def run_floor(options: Options) -> Measured:
    """Ask around a heap of one's own."""
    requests = int(REQUESTS * options.scale)
    began = time.process_time()
    floor(Nobody(), requests)
    return {"items": requests, "seconds": time.process_time() - began}


@coroutine
def call(request: object) -> Generator[object, Any, Any]:
    return (yield request)


def floor(machine: Nobody, requests: int) -> None:
    """Step coroutines by a heap; a lock is the time at which it is free."""

    async def client() -> None:
        for _ in range(requests // CLIENTS):
            await call(Find(0, 0))

    clients: list[Coroutine[object, Any, None]] = [client() for _ in range(CLIENTS)]
    heap: list[tuple[int, int, Any, Any]] = [(0, cpu, one.send, None) for cpu, one in enumerate(clients)]
    sequence, free_at = CLIENTS, 0
    while heap:
        now, _sequence, send, reply = heap[0]
        try:
            request = send(reply)
        except StopIteration:
            heappop(heap)
            continue
        reply, _work = machine.handle(request)
        free_at = max(free_at, now + 60) + 100
        sequence += 1
        heapreplace(heap, (free_at + 60, sequence, send, reply))


def cases(_options: Options) -> Mapping[str, Case]:
    """The world, and the floor below it."""
    return {"a heap and coroutines": run_floor, "the virtual world": run_virtual}


BENCH = Bench(
    title="A request and its reply in virtual time",
    about="16 clients ask one server that does nothing: what the world itself costs.",
    items="requests",
    cases=cases,
)
