"""What the tests of the cluster share: a server in this process, and desks to ask it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from attrs import define, evolve, field

from actors.cluster.endpoint import Certificates, Endpoint, address_of, listen, parse_endpoint
from actors.cluster.host import Host, Plan
from actors.cluster.link import Link
from actors.cluster.server import Server
from actors.patience import Patience
from actors.supervision import Backoff
from protocol.area import ZoneLayout
from protocol.connection import PROTOCOL, Limits
from protocol.envelopes import Hello
from sim.cluster.desk import Desk
from sim.cluster.driving import keep
from sim.cluster.hosting import Hosting

LAYOUT = ZoneLayout(2, 0x10000)
HOSTING = Hosting(LAYOUT, (0, 1), one_lock=False, free=True)
ACTORS = "node/0 node/1 free"
PATIENCE = Patience(timeout_ns=2 * 10**9, deadline_ns=20 * 10**9)


@define
class Logged:
    """What a server logged."""

    lines: list[tuple[str, dict[str, object]]] = field(factory=list)

    def __call__(self, event: str, **facts: object) -> None:
        self.lines.append((event, facts))

    def events(self) -> list[str]:
        return [event for event, _facts in self.lines]


@define
class Running:
    """A server in this process."""

    endpoint: Endpoint
    server: Server
    host: Host
    log: Logged


@asynccontextmanager
async def serving(
    where: str,
    *,
    state: Path | None = None,
    limits: Limits | None = None,
    connections: int = 64,
    certificates: Certificates | None = None,
    plans: Sequence[Plan] | None = None,
    backoff: Backoff | None = None,
) -> AsyncIterator[Running]:
    """Run a server while the body does; its actors are those of `HOSTING`, or `plans`."""
    log = Logged()
    host = Host(HOSTING.plans() if plans is None else plans, state, log, backoff)
    endpoint = parse_endpoint(where, "test")
    listeners = await listen(endpoint, certificates)
    server = Server(host, HOSTING.welcome(), log, limits, connections)
    async with trio.open_nursery() as nursery:
        await nursery.start(host.run)
        nursery.start_soon(server.run, listeners)
        real = parse_endpoint(address_of(listeners[0], endpoint), "test")
        yield Running(evolve(real, host="localhost" if certificates else real.host), server, host, log)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def desk_at(
    endpoint: Endpoint,
    certificates: Certificates | None = None,
    patience: Patience = PATIENCE,
    change: Callable[[Hello], Hello] = lambda hello: hello,
) -> AsyncIterator[Desk]:
    """Have a desk, over a link of its own."""
    hello = change(Hello(PROTOCOL, LAYOUT.nr_nodes, LAYOUT.zone_size, one_lock=False, rules="", actors=ACTORS))
    link = Link(endpoint, hello, certificates)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(keep, link))
        async with Desk.open(dict.fromkeys(ACTORS.split(), link), patience) as desk:
            yield desk
        nursery.cancel_scope.cancel()
