"""The mix, with areas that move: a share of the operations moves one of the CPU's own areas to another node first.

What each CPU does else is drawn as for `mix`, with the same random numbers: runs with and without migrations have
the same operations. An area moves once, from its home to any other node, each as likely.
"""

from functools import partial
from pathlib import Path
from random import Random

from attrs import define, field

from actors.client import Client
from protocol.area import VmapArea
from sim.chance import stream
from sim.scenario.model import Scenario
from sim.workloads import ClientScript, Plan
from sim.workloads.mix import FAILURES, Operation, Operations, give_up, owner_of, plan_own_areas, started


def migrate(scenario: Scenario, beside: Path) -> Plan:  # noqa: ARG001 (the shape of every workload)
    """As `mix`, while areas move to other nodes: `[workload.migrate]` gives the share."""
    share = scenario.workload.migrate.share if scenario.space.nodes > 1 else 0.0
    staying = [Staying(stream(scenario.seed, f"migrate/{cpu}")) for cpu in range(scenario.machine.cpus)]

    def script(cpu: int, operations: Operations) -> ClientScript:
        return partial(_run, operations=operations, staying=staying[cpu], share=share)

    plan = plan_own_areas(scenario, script)
    for area in plan.preload:
        staying[owner_of(scenario, area)].add(area)
    return plan


@define
class Staying:
    """The areas of a CPU that are in the trees, and have not moved."""

    random: Random
    _areas: list[VmapArea] = field(factory=list)
    _places: dict[int, int] = field(factory=dict)
    """Where in the list an area is, by its start."""

    def add(self, area: VmapArea) -> None:
        """Take an area in."""
        self._places[area.va_start] = len(self._areas)
        self._areas.append(area)

    def discard(self, va_start: int) -> None:
        """Let go of the area that starts there, if it is here."""
        place = self._places.pop(va_start, None)
        if place is not None:
            last = self._areas.pop()
            if last.va_start != va_start:
                self._areas[place] = last
                self._places[last.va_start] = place

    def draw(self) -> VmapArea | None:
        """Draw an area and let it go; None if there is none."""
        if not self._areas:
            return None
        area = self._areas[int(self.random.random() * len(self._areas))]
        self.discard(area.va_start)
        return area


async def _run(client: Client, *, operations: Operations, staying: Staying, share: float) -> None:
    """Carry out what has been drawn, and move areas in between."""
    layout = client.router.layout
    for drawn in operations:
        for operation in drawn:
            if staying.random.random() < share and (area := staying.draw()) is not None:
                others = layout.nr_nodes - 1
                step = 1 + int(staying.random.random() * others)
                await client.migrate(area, (layout.addr_to_node_id(area.va_start) + step) % layout.nr_nodes)
            _note(operation, staying)
            begin_ns = client.port.now_ns
            try:
                await started(client, operation)
            except FAILURES as error:
                give_up(client, operation, begin_ns, error)
            for inserted in operation[2]:
                staying.add(inserted)


def _note(operation: Operation, staying: Staying) -> None:
    name, addr, _areas = operation
    if name == "unlink":
        staying.discard(addr)
