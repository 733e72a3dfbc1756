"""The supervised nursery: who is started when, who ends when, and whose failure ends it all.

Servers (node actors, the free space) start first, one after the other in the order given, then clients in the
order given; when all scripts are over the servers are cancelled one after the other, the last to start first.
Any actor's failure cancels the rest and leaves as an exception: `ActorFailed` for a machine's. A crash is no
failure: it is a fault that was asked for, and the actor serves again afterwards.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio
from attrs import frozen

from actors.errors import ActorCrashed
from actors.world import Address, Driving, Script, World
from protocol.machine import Machine


@frozen
class Server:
    """An actor that serves a machine."""

    address: Address
    machine: Machine


@frozen
class Driver:
    """An actor that runs a client's script on a CPU."""

    cpu: int
    script: Script


async def run_system(
    world: World,
    servers: Sequence[Server],
    drivers: Sequence[Driver],
    conduct: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Run all actors in `world` until every script is over.

    Actors are started one at a time, so that the order of what they do first is theirs and not the
    scheduler's. `conduct` stands in for the world's own, around which it may measure. Raises an
    `ExceptionGroup` with what the failing actors raised.
    """
    async with trio.open_nursery() as serving:
        running = [await serving.start(_serve, world, server) for server in servers]
        await run_drivers(world, drivers, conduct)
        for scope, has_left in reversed(running):
            scope.cancel()
            await has_left.wait()


async def run_drivers(
    world: Driving, drivers: Sequence[Driver], conduct: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Run all clients in `world`, whose servers are there already, until every script is over."""
    async with trio.open_nursery() as driving:
        for driver in drivers:
            await driving.start(partial(world.drive, driver.cpu, driver.script))
        driving.start_soon(conduct or world.conduct)


async def _serve(
    world: World, server: Server, task_status: trio.TaskStatus[tuple[trio.CancelScope, trio.Event]]
) -> None:
    """Run a server in a scope of its own; gives the scope, and an event for when it has left."""
    has_left = trio.Event()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(_serve_through_crashes, world, server)
            task_status.started((scope, has_left))
    has_left.set()


async def _serve_through_crashes(
    world: World, server: Server, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve again after each crash, when its time is over; the machine is what it was: its state is durable."""
    while True:
        try:
            await world.serve(server.address, server.machine, task_status)
        except ActorCrashed as crash:
            await world.pass_time(crash.down_ns)
            task_status = trio.TASK_STATUS_IGNORED
