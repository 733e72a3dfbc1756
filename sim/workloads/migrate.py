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
from sim.workloads._drawing import Draws
from sim.workloads.mix import FAILURES, Operation, Operations, give_up, owner_of, plan_own_areas, started


def migrate(scenario: Scenario, beside: Path) -> Plan:  # noqa: ARG001 (the shape of every workload)
    """As `mix`, while areas move to other nodes: `[workload.migrate]` gives the share."""
    share = scenario.workload.migrate.share if scenario.space.nodes > 1 else 0.0
    staying = [Staying(stream(scenario.seed, f"migrate/{cpu}"), share) for cpu in range(scenario.machine.cpus)]

    def script(cpu: int, operations: Operations) -> ClientScript:
        return partial(_run, operations=operations, staying=staying[cpu])

    plan = plan_own_areas(scenario, script)
    for area in plan.preload:
        staying[owner_of(scenario, area)].areas.add(area)
    return plan


@define
class Staying:
    """The areas of a CPU that are in the trees, and have not moved; and when one of them does."""

    random: Random
    share: float
    areas: Draws = field(factory=Draws)

    def leaving(self) -> VmapArea | None:
        """Draw whether an area moves before the next operation, and which: it is let go of. None if none does."""
        if self.random.random() >= self.share or not self.areas:
            return None
        area = self.areas.draw(self.random)
        self.areas.discard(area.va_start)
        return area


async def _run(client: Client, *, operations: Operations, staying: Staying) -> None:
    """Carry out what has been drawn, and move areas in between."""
    layout = client.router.layout
    for drawn in operations:
        for operation in drawn:
            if (area := staying.leaving()) is not None:
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
                staying.areas.add(inserted)


def _note(operation: Operation, staying: Staying) -> None:
    name, addr, _areas = operation
    if name == "unlink":
        staying.areas.discard(addr)
