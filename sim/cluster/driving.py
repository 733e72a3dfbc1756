"""What `drive` does: a scenario's clients against members, and the checks on what those hold at the end.

The members must be empty: what is in the trees before the first operation is inserted by the driver, and the checks
compare all that is there in the end with what clients were told.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from actors.addresses import FREE_SPACE, LAZY_PAGES, address_of_node
from actors.cluster.link import Link
from actors.cluster.world import ClusterWorld
from actors.patience import Patience
from actors.system import run_drivers
from actors.world import Address
from protocol.area import VmapArea
from protocol.connection import PROTOCOL
from protocol.envelopes import Hello
from protocol.errors import VmapsimError
from protocol.frames import Oversized
from protocol.freed import rules_of
from protocol.messages import (
    LIST_MOST,
    Allocate,
    Allocated,
    FreeStatistics,
    GetFreeStatistics,
    GetStatistics,
    InsertBatch,
    Inserted,
    LazyPages,
    ListAreas,
    ListFree,
    ListLazy,
    ListPools,
    NodeStatistics,
    ReadLazyPages,
    Refer,
    Request,
)
from sim.cluster.desk import Desk
from sim.cluster.members import Members
from sim.errors import BadInput, first_of
from sim.faults import patience_of
from sim.garbage import rare_collections
from sim.outcome import Clocks, NodeAreas, Outcome, Progress, Remains
from sim.scenario import Scenario
from sim.simulation import System
from sim.workloads import plan

LISTED = 2048
"""Areas in one listing, and in one batch of the preload: below the limit of every server."""

LATE_S = 1.0
"""After how long a member that is not there is spoken of."""

CONNECT_S = 30.0
"""How long members may take to be there."""

STEADY = Patience(timeout_ns=10**9, deadline_ns=60 * 10**9)
"""How patient the run itself is, whatever its clients are."""

Crash = Callable[[Address, int], None]
"""Lets the process that hosts an actor crash, for so many nanoseconds."""


class Unreachable(VmapsimError):
    """A member did not become reachable in time."""


def drive(
    scenario: Scenario,
    beside: Path,
    members: Callable[[bool], Members],
    *,
    progress: Progress = lambda _done, _total: None,
    crash: Crash | None = None,
    around: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]] | None = None,
    waiting: Callable[[str], None] = lambda _text: None,
) -> Outcome:
    """Run a scenario's clients against members; `members` is told whether the workload needs the free space.

    `around` runs what it is given, with whatever that needs around it; `waiting` is told of members that keep the
    run waiting. Raises `BadInput`, `MemberRefused`,
    `Unreachable`, and an `ExceptionGroup` when a client fails.
    """
    if scenario.faults.crashes and crash is None:
        raise BadInput("faults.crashes", "crashes of members that others started", "none; `cluster` has them")
    workload = plan(scenario, beside)
    system = System(scenario, workload, "cluster")
    run = _Run(system, members(workload.uses_free_space), progress, crash, waiting)

    async def whole() -> None:
        await (run.run() if around is None else around(run.run))

    with rare_collections():
        cpu_s = time.process_time()
        try:
            trio.run(whole)
        except ExceptionGroup as errors:
            if not isinstance(first := first_of(errors), Oversized):
                raise
            found = f"{scenario.batch.areas}, and {first}"
            raise BadInput("batch.areas", found, "batches each session of which fits a message") from None
        system.recorder.finish(run.clocks.world_ns)
        verdicts = system.judge(run.remains)
        run.clocks.cpu_s = time.process_time() - cpu_s
    progress(system.recorder.operations, workload.operations)
    return system.outcome(run.remains, verdicts, run.clocks, run.answers, run.nodes, run.facts())


class _Run:
    """One drive: what it needs, and what it found."""

    def __init__(
        self,
        system: System,
        members: Members,
        progress: Progress,
        crash: Crash | None,
        waiting: Callable[[str], None],
    ) -> None:
        self._system = system
        self._members = members
        self._progress = progress
        self._crash = crash
        self._waiting = waiting
        self._patience = patience_of(system.scenario.faults, "cluster")
        self._uses_vmalloc = system.workload.window is not None
        page_size = system.scenario.space.page_size
        self._rules = rules_of(system.kernel, page_size) if self._uses_vmalloc else ""
        self._links: list[Link] = []
        self.remains = Remains([], None)
        self.nodes: list[NodeStatistics] = []
        self.clocks = Clocks()
        self.answers = 0

    def facts(self) -> dict[str, Any]:
        """Say what only a cluster has: the connections, and how often they broke."""
        return {"connections": len(self._links), "breaks": sum(link.breaks for link in self._links)}

    async def run(self) -> None:
        """Connect, preload, run the clients, and list what the nodes hold."""
        system = self._system
        async with self._connected() as links, Desk.open(links, STEADY) as desk:
            before = await self._prepare(desk)
            observer = system.recorder.observer()
            world = ClusterWorld(links, self._patience, observer, self._pause, system.faults)

            async def conduct() -> None:
                began_s = time.perf_counter()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._let_crash, world)
                    await world.conduct()
                    nursery.cancel_scope.cancel()
                self.clocks.wall_s, self.clocks.world_ns = time.perf_counter() - began_s, world.now_ns

            await run_drivers(world, system.drivers(world), conduct)
            self.answers = world.events
            await self._collect(desk, before)

    def _pause(self) -> None:
        self._system.recorder.fold_if_due()
        self._progress(self._system.recorder.operations, self._system.workload.operations)

    async def _let_crash(self, world: ClusterWorld) -> None:
        faults = self._system.faults
        if faults is not None and self._crash is not None:
            for crash in faults.crashes():
                await trio.sleep(max(0, crash.at_ns - world.now_ns) / 1e9)
                self._crash(crash.address, crash.down_ns)
                faults.crashed(crash.address)

    # -- before and after the clients -----------------------------------------------------------

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Mapping[Address, Link]]:
        """Connect to all members; while the body runs, connections that break are made again."""
        scenario, layout = self._system.scenario, self._system.layout
        links: dict[Address, Link] = {}
        async with trio.open_nursery() as nursery:
            for member in self._members.hosted:
                addresses = member.addresses(self._system.one_lock)
                actors, nr_nodes, zone_size = " ".join(addresses), layout.nr_nodes, layout.zone_size
                hello = Hello(PROTOCOL, nr_nodes, zone_size, self._system.one_lock, self._rules, actors)
                link = Link(member.endpoint, hello, self._members.certificates)
                links.update(dict.fromkeys(addresses, link))
                self._links.append(link)
                async with trio.open_nursery() as telling:
                    telling.start_soon(self._tell_late, link)
                    with trio.move_on_after(CONNECT_S) as limit:
                        await nursery.start(keep, link)
                    telling.cancel_scope.cancel()
                if limit.cancelled_caught:
                    raise Unreachable(f"{member.endpoint}: no member there in {CONNECT_S:g} s ({link.last_break})")
                if self._uses_vmalloc and link.areas < LIST_MOST:
                    needed = f"{LIST_MOST}, for workload.kind {scenario.workload.kind}"
                    raise BadInput(f"{member.endpoint}: --areas", str(link.areas), needed)
            yield links
            nursery.cancel_scope.cancel()

    async def _tell_late(self, link: Link) -> None:
        await trio.sleep(LATE_S)
        self._waiting(f"waiting for the member at {link.endpoint}, up to {CONNECT_S:g} s ({link.last_break})")

    async def _prepare(self, desk: Desk) -> list[NodeStatistics]:
        """Find the members empty, and preload; gives the statistics after that."""
        system = self._system
        for statistics in await self._statistics(desk):
            if statistics.areas:
                raise BadInput(
                    address_of_node(statistics.node_id), f"{statistics.areas} areas", "members without areas"
                )
        if system.workload.uses_free_space:
            free = await desk.ask(FREE_SPACE, GetFreeStatistics(), FreeStatistics)
            if free.ranges != 1:
                raise BadInput(FREE_SPACE, f"{free.ranges} free ranges", "a member whose space is free")
            for area in system.workload.preload:
                there = Allocate(area.size, 1, area.va_start, area.va_end)
                await desk.ask(FREE_SPACE, there, Allocated)
        if self._uses_vmalloc and (lazy := await self._lazy_pages(desk)):
            raise BadInput(LAZY_PAGES, f"{lazy} pages", "a member that counts none")
        by_address: dict[Address, list[VmapArea]] = {}
        for area in system.workload.preload:
            address = system.router.addresses[system.layout.addr_to_node_id(area.va_start)]
            by_address.setdefault(address, []).append(area)
        for address, areas in by_address.items():
            for begin in range(0, len(areas), LISTED):
                await desk.ask(address, InsertBatch(tuple(areas[begin : begin + LISTED])), Inserted)
        if system.router.told is not None:
            for area in system.workload.preload:
                for node_id in system.router.told(area, system.layout):
                    await desk.ask(system.router.addresses[node_id], Refer(node_id, (area,)), Inserted)
        return await self._statistics(desk)

    async def _collect(self, desk: Desk, before: Sequence[NodeStatistics]) -> None:
        """List what the nodes hold and what they forward, and count the requests of the run."""
        after = await self._statistics(desk)
        self.nodes = [
            NodeStatistics(now.node_id, now.areas, now.bytes_busy, max(0, now.requests - then.requests - 1))
            for then, now in zip(before, after, strict=True)
        ]
        nodes, free = [], None
        for node_id, address in enumerate(self._system.router.addresses):
            busy = await desk.list_areas(address, partial(_listing, node_id))
            lazy, pooled = list[VmapArea](), list[VmapArea]()
            if self._uses_vmalloc:
                lazy = await desk.list_areas(address, partial(ListLazy, node_id))
                pooled = await desk.list_areas(address, partial(ListPools, node_id))
            moved = await desk.list_moved(address, node_id, LISTED)
            nodes.append(NodeAreas(node_id, busy, lazy, pooled, moved=moved))
        if self._system.workload.uses_free_space:
            free = await desk.list_areas(FREE_SPACE, lambda start: ListFree(start, LISTED))
        self.remains = Remains(nodes, free, await self._lazy_pages(desk) if self._uses_vmalloc else 0)

    async def _lazy_pages(self, desk: Desk) -> int:
        return (await desk.ask(LAZY_PAGES, ReadLazyPages(), LazyPages)).pages

    async def _statistics(self, desk: Desk) -> list[NodeStatistics]:
        return [
            await desk.ask(address, GetStatistics(node_id), NodeStatistics)
            for node_id, address in enumerate(self._system.router.addresses)
        ]


async def keep(link: Link, task_status: trio.TaskStatus[None]) -> None:
    """Keep a link connected until cancelled; started when it is for the first time."""
    connected = False

    def ready() -> None:
        nonlocal connected
        if not connected:
            connected = True
            task_status.started()

    await link.run(ready)


def _listing(node_id: int, start: int) -> Request:
    return ListAreas(node_id, start, LISTED)
