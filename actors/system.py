"""The supervised nursery: who is started when, who ends when, and whose failure ends it all.

Servers (node actors, the free space) start first, one after the other in the order given, and end last;
clients start in the order given, and when all their scripts are over the servers are cancelled. Any
actor's failure cancels the rest and leaves as an exception: `ActorFailed` for a machine's.
"""

from collections.abc import Sequence
from functools import partial

import trio
from attrs import frozen

from actors.world import Address, Script, World
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


async def run_system(world: World, servers: Sequence[Server], drivers: Sequence[Driver]) -> None:
    """Run all actors in `world` until every script is over.

    Actors are started one at a time, so that the order of what they do first is theirs and not the
    scheduler's. Raises an `ExceptionGroup` with what the failing actors raised.
    """
    async with trio.open_nursery() as serving:
        for server in servers:
            await serving.start(partial(world.serve, server.address, server.machine))
        async with trio.open_nursery() as driving:
            for driver in drivers:
                await driving.start(partial(world.drive, driver.cpu, driver.script))
            driving.start_soon(world.conduct)
        serving.cancel_scope.cancel()
