"""What `serve` does: the actors of one process, until it is told to stop."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import structlog
import trio
from attrs import frozen

from actors.addresses import FREE_SPACE, LAZY_PAGES, node_actors
from actors.cluster.endpoint import Certificates, Endpoint, address_of, listen
from actors.cluster.host import Host, Log, Plan
from actors.cluster.server import Server
from protocol.area import PAGE_SIZE, ZoneLayout
from protocol.connection import PROTOCOL, Limits
from protocol.envelopes import Welcome
from protocol.free_machine import FreeSpaceMachine
from protocol.freed import rules_of
from protocol.kernel import KERNELS, Kernel
from protocol.lazy_pages import LazyPagesMachine
from protocol.node import NodeMachine
from sim.errors import BadInput
from sim.scenario.model import DEFAULT_KERNEL


@frozen
class Hosting:
    """What one process hosts."""

    layout: ZoneLayout
    node_ids: tuple[int, ...]
    one_lock: bool
    """Whether one actor owns all nodes, as the strategy `global` needs."""
    free: bool
    """Whether what belongs to no node is hosted, too: the free space, the counter of lazily freed pages."""
    kernel: Kernel = KERNELS[DEFAULT_KERNEL]
    """What nodes do with freed areas."""
    page_size: int = PAGE_SIZE

    def plans(self) -> list[Plan]:
        """Plan the actors."""
        identity = {
            "nr_nodes": str(self.layout.nr_nodes),
            "zone_size": str(self.layout.zone_size),
            "one_lock": str(self.one_lock).lower(),
            "rules": self.rules,
        }
        plans = []
        for actor in node_actors(self.node_ids, one_lock=self.one_lock):
            make = partial(NodeMachine, self.layout, actor.node_ids, actor.lock, self.kernel, self.page_size)
            plans.append(Plan(actor.address, make, {"actor": actor.address, **identity}))
        if self.free:
            free_space = partial(FreeSpaceMachine, page_size=self.page_size)
            plans.append(Plan(FREE_SPACE, free_space, {"actor": FREE_SPACE, "page_size": str(self.page_size)}))
            plans.append(Plan(LAZY_PAGES, LazyPagesMachine, {"actor": LAZY_PAGES}))
        return plans

    @property
    def rules(self) -> str:
        """What the nodes do with freed areas, in words."""
        return rules_of(self.kernel, self.page_size)

    def welcome(self) -> Welcome:
        """Say what this member is."""
        actors = " ".join(plan.address for plan in self.plans())
        layout = self.layout
        return Welcome(
            PROTOCOL, layout.nr_nodes, layout.zone_size, self.one_lock, self.rules, actors, asks=0, areas=0
        )


def parse_nodes(text: str, where: str) -> tuple[tuple[int, ...], int]:
    """Read "0-3/8" or "0,2,5-7/8": the node ids, ascending, and how many nodes there are in all.

    Raises `BadInput`.
    """
    ids, _, total = text.partition("/")
    try:
        nr_nodes = int(total)
        found: set[int] = set()
        for part in ids.split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    except ValueError:
        raise BadInput(where, repr(text[:80]), 'node ids and their number in all, like "0-3/8"') from None
    if not found or not 0 <= min(found) <= max(found) < nr_nodes <= 1024:
        raise BadInput(where, repr(text[:80]), "ids from 0 to one less than their number in all, at most 1024")
    return tuple(sorted(found)), nr_nodes


def new_log() -> Log:
    """Make the log of a server: a JSON object per line on stderr, with the time."""
    return structlog.wrap_logger(  # type: ignore[no-any-return]
        structlog.WriteLogger(sys.stderr),
        processors=[
            structlog.processors.TimeStamper(fmt="iso", key="time"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.BoundLogger,
    ).msg


async def serve(
    hosting: Hosting,
    endpoint: Endpoint,
    state: Path | None,
    certificates: Certificates | None,
    *,
    limits: Limits,
    connections: int,
    until_eof: bool,
    log: Log,
) -> None:
    """Host actors and serve them at `endpoint` until SIGTERM or SIGINT, or the end of stdin if `until_eof`.

    Raises `BadEndpoint`, `StateRefused`, `StorageFailed` and `BadInput` where it cannot begin.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        if state is not None:
            _prepare(state)
        host = Host(hosting.plans(), state, log)
        listeners = await listen(endpoint, certificates)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_stop_on_signals, signals, nursery.cancel_scope)
                if until_eof:
                    nursery.start_soon(_stop_at_eof, nursery.cancel_scope)
                await nursery.start(host.run)
                server = Server(host, hosting.welcome(), log, limits, connections)
                where = [address_of(listener, endpoint) for listener in listeners]
                log(
                    "listening",
                    addresses=where,
                    actors=list(host.actors),
                    state=None if state is None else str(state),
                )
                await server.run(listeners)
        finally:
            if endpoint.path:
                Path(endpoint.path).unlink(missing_ok=True)
            log("stopped", commits=_commits(host))


def _commits(host: Host) -> dict[str, float]:
    """Add up what group commit did."""
    each = [actor.commits for actor in host.actors.values()]
    return {
        "commits": sum(one.commits for one in each),
        "requests": sum(one.requests for one in each),
        "largest": max((one.largest for one in each), default=0),
        "seconds": round(sum(one.seconds for one in each), 6),
    }


def _prepare(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--state {state}", (error.strerror or str(error)).lower(), "a folder for state") from None


async def _stop_on_signals(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _number in signals:
        scope.cancel()


async def _stop_at_eof(scope: trio.CancelScope) -> None:
    """Stop when whoever started us is gone: our stdin is a pipe of theirs."""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stream:
        while await stream.receive_some(4096):
            pass
    scope.cancel()


def deal(node_ids: Sequence[int], processes: int) -> list[tuple[int, ...]]:
    """Deal nodes out to processes: in runs of ids, as equal as can be."""
    each, rest = divmod(len(node_ids), processes)
    dealt, begin = [], 0
    for index in range(processes):
        end = begin + each + (index < rest)
        dealt.append(tuple(node_ids[begin:end]))
        begin = end
    return dealt
