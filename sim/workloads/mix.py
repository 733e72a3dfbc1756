"""The mix: closed-loop CPUs that find, insert and unlink areas of their own, by given shares.

Each CPU has a region of the vmalloc space for itself and inserts at growing addresses in it, one area after
the other, so that its answers do not depend on what others do. Nothing comes from the free space: this
workload is about the busy trees.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeAlias

from attrs import define, field

from actors.client import Client
from actors.errors import NoAnswer, NotServed, RequestRefused
from actors.world import Driving
from protocol.area import VMALLOC_END, VMALLOC_START, VmapArea
from protocol.errors import VmapsimError
from sim.chance import stream
from sim.errors import BadInput
from sim.scenario.model import Scenario
from sim.workloads import ClientScript, Plan, share_of

AHEAD = 2_048
"""Operations that each CPU draws at a time: neither a run's memory nor its start grows with its length."""

TRIES = 32
"""Draws for an area that spans several zones before all own areas are searched for one."""


def mix(scenario: Scenario, beside: Path) -> Plan:  # noqa: ARG001 (the shape of every workload)
    """CPUs that work on their own areas: `[workload.mix]` gives the shares."""
    think_ns = scenario.workload.think_ns
    return plan_own_areas(
        scenario, lambda _cpu, operations: partial(_run, think_ns=think_ns, operations=operations)
    )


def plan_own_areas(scenario: Scenario, script: Callable[[int, "Operations"], ClientScript]) -> Plan:
    """Plan CPUs that work on areas of their own; `script` makes each CPU's of the operations drawn for it.

    Raises `BadInput` when the areas do not fit the CPUs' regions.
    """
    cpus = scenario.machine.cpus
    region = _region_size(scenario)
    shares = [share_of(scenario.workload.preload_areas, cpus, cpu) for cpu in range(cpus)]
    holdings = [
        Holding(VMALLOC_START + cpu * region, scenario, stream(scenario.seed, f"mix/{cpu}")) for cpu in range(cpus)
    ]
    for holding, areas in zip(holdings, shares, strict=True):
        holding.grow(areas)

    preload = [area for holding in holdings for area in holding.areas]
    operations = [
        Operations(scenario, own, share_of(scenario.workload.operations, cpus, cpu))
        for cpu, own in enumerate(holdings)
    ]

    def scripts(_world: Driving) -> Mapping[int, ClientScript]:
        return {cpu: script(cpu, operations[cpu]) for cpu in range(cpus)}

    return Plan(
        cpus=list(range(cpus)),
        preload=preload,
        operations=scenario.workload.operations,
        uses_free_space=False,
        scripts=scripts,
    )


def owner_of(scenario: Scenario, area: VmapArea) -> int:
    """Give the CPU in whose region `area` is."""
    return (area.va_start - VMALLOC_START) // _region_size(scenario)


def _region_size(scenario: Scenario) -> int:
    """Give each CPU an equal part of the vmalloc space, in whole pages."""
    cpus, workload = scenario.machine.cpus, scenario.workload
    page_size = scenario.space.page_size
    region = (VMALLOC_END + 1 - VMALLOC_START) // cpus // page_size * page_size
    at_once = scenario.batch.areas if workload.mix.insert_batch else 1
    areas = workload.preload_areas // cpus + 1 + (workload.operations // cpus + 1) * at_once
    if areas * (workload.pages[1] + 1) * page_size > region:
        raise BadInput(
            "workload.pages",
            f"{areas} areas of up to {workload.pages[1]} pages per CPU",
            f"at most {region // page_size} pages per CPU",
        )
    return region


@define
class Holding:
    """The areas of one CPU, and where its next one begins."""

    next_start: int
    _scenario: Scenario
    random: Random
    areas: list[VmapArea] = field(factory=list)

    def next_area(self) -> VmapArea:
        """Make the next area: a uniform number of pages, the guard page included if there is one."""
        workload = self._scenario.workload
        fewest, most = workload.pages
        pages = fewest + int(self.random.random() * (most - fewest + 1)) + workload.guard
        start = self.next_start
        self.next_start = end = start + pages * self._scenario.space.page_size
        return VmapArea(start, end)

    def grow(self, count: int) -> tuple[VmapArea, ...]:
        """Make the next `count` areas and take them into the holding: they can be drawn from now on."""
        areas = tuple([self.next_area() for _ in range(count)])
        self.areas += areas
        return areas

    def draw(self) -> VmapArea:
        """Draw one of the areas, each as likely as the others."""
        return self.areas[int(self.random.random() * len(self.areas))]

    def take(self) -> VmapArea:
        """Draw one of the areas and let it go."""
        areas = self.areas
        index = int(self.random.random() * len(areas))
        area = areas[index]
        areas[index] = areas[-1]
        areas.pop()
        return area

    def draw_find(self, interior: float, miss: float) -> "Operation":
        """Draw an address to find; there must be areas."""
        which = self.random.random()
        if which < interior:
            addr = self.draw_interior()
            if addr is not None:
                return "find_interior", addr, ()
        elif which < interior + miss:
            return "find", self.next_start, ()
        return "find", self.draw().va_start, ()

    def draw_interior(self) -> int | None:
        """Draw a page, not the first, of an area that spans several zones; None if there is no such."""
        space = self._scenario.space
        zone_size, page_size = space.zone_size, space.page_size
        for _ in range(TRIES):
            area = self.draw()
            if _spans_zones(area, zone_size):
                break
        else:
            spanning = [area for area in self.areas if _spans_zones(area, zone_size)]
            if not spanning:
                return None
            area = spanning[int(self.random.random() * len(spanning))]
        pages = (area.va_end - area.va_start) // page_size
        return area.va_start + page_size * (1 + int(self.random.random() * (pages - 1)))


def _spans_zones(area: VmapArea, zone_size: int) -> bool:
    return area.va_start // zone_size != (area.va_end - 1) // zone_size


async def _run(client: Client, *, think_ns: int, operations: "Operations") -> None:
    """Carry out what has been drawn."""
    port = client.port
    for drawn in operations:
        for operation in drawn:
            if think_ns:
                await client.sleep(think_ns)
            begin_ns = port.now_ns
            try:
                await started(client, operation)
            except FAILURES as error:
                give_up(client, operation, begin_ns, error)


FAILURES = (NoAnswer, NotServed, RequestRefused)
"""What an operation that nobody answers or serves raises."""


def started(client: Client, operation: "Operation") -> Awaitable[object]:
    """Start an operation that has been drawn; a function, so that no coroutine stands between it and its script."""
    name, addr, areas = operation
    if not areas:
        return client.unlink(addr) if name == "unlink" else client.find(addr, name)
    return client.insert(areas[0]) if name == "insert" else client.insert_batch(areas)


def give_up(client: Client, operation: "Operation", begin_ns: int, error: VmapsimError) -> None:
    """Give up on one of the `FAILURES`, where the client can go on after it."""
    name, addr, areas = operation
    client.give_up(name, begin_ns, areas[0].va_start if areas else addr, areas, error)


Operation: TypeAlias = tuple[str, int, tuple[VmapArea, ...]]
"""Name, address, areas to insert."""


class Operations:
    """The operations of one CPU, drawn `AHEAD` at a time, the first of them before the clock starts."""

    def __init__(self, scenario: Scenario, own: "Holding", count: int) -> None:
        self._scenario = scenario
        self._own = own
        self._left = count
        self._drawn = self._draw_ahead()

    def __iter__(self) -> Iterator[list[Operation]]:
        while self._drawn:
            yield self._drawn
            self._drawn = self._draw_ahead()

    def _draw_ahead(self) -> list[Operation]:
        """Draw the next operations; with nothing left to find or to unlink, insert."""
        drawn: list[Operation] = []
        count = min(self._left, AHEAD)
        self._left -= count
        own = self._own
        shares = self._scenario.workload.mix
        until_insert = shares.find + shares.insert
        until_unlink = until_insert + shares.unlink
        draw = own.random.random
        for _ in range(count):
            what = draw()
            if what < shares.find and own.areas:
                operation = own.draw_find(shares.interior, shares.miss)
            elif until_insert <= what < until_unlink and own.areas:
                operation = ("unlink", own.take().va_start, ())
            elif what >= until_unlink and shares.insert_batch:
                operation = ("insert_batch", 0, own.grow(self._scenario.batch.areas))
            else:
                operation = ("insert", 0, own.grow(1))
            drawn.append(operation)
        return drawn
