"""Where actors live: every address at some CPU's place, by `[machine]`."""

from attrs import frozen

from actors.addresses import ALL_NODES
from actors.world import Address
from sim.errors import BadInput
from sim.scenario.model import Scenario
from sim.topologies import Topology


@frozen
class Placement:
    """The CPUs at whose places nodes live, ascending by node; all else lives at `globals_at`."""

    topology: Topology
    nodes: list[int]
    globals_at: int

    def cpu_of(self, address: Address) -> int:
        """Give the CPU at whose place an actor lives."""
        kind, _slash, number = address.partition("/")
        if kind == "node":
            return self.nodes[int(number)]
        return self.nodes[0] if kind == ALL_NODES else self.globals_at

    def link_ns(self, cpu: int, address: Address) -> int:
        """Give what a message takes between a CPU and an actor."""
        return self.topology.link_ns(cpu, self.cpu_of(address))


def place(scenario: Scenario, topology: Topology) -> Placement:
    """Deal out the nodes of `scenario`. Raises `BadInput` for CPUs that are not there."""
    machine, nodes = scenario.machine, scenario.space.nodes
    if machine.globals_at >= machine.cpus:
        raise BadInput("machine.globals_at", str(machine.globals_at), f"a CPU, from 0 to {machine.cpus - 1}")
    match machine.placement:
        case "list":
            if not machine.nodes_at or max(machine.nodes_at) >= machine.cpus:
                allowed = f"CPUs, from 0 to {machine.cpus - 1}"
                raise BadInput("machine.nodes_at", str(machine.nodes_at), allowed)
            cpus = [machine.nodes_at[node_id % len(machine.nodes_at)] for node_id in range(nodes)]
        case "packed":
            cpus = [node_id % machine.cpus for node_id in range(nodes)]
        case _:
            apart = max(1, machine.cpus // nodes)
            cpus = [node_id * apart % machine.cpus for node_id in range(nodes)]
    return Placement(topology, cpus, machine.globals_at)
