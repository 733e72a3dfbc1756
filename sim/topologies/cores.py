"""One machine: siblings of a core, cores of a core complex, complexes of a socket, sockets."""

from pathlib import Path
from typing import NamedTuple

from attrs import frozen

from sim.errors import BadInput
from sim.scenario.machine import Cores as Counts
from sim.scenario.model import Scenario


class Place(NamedTuple):
    """Where a CPU is; core and complex are numbered within the whole machine."""

    core: int
    complex: int
    socket: int


@frozen
class Distances:
    """The transfers between places, by how much of them is the same."""

    counts: Counts
    places: list[Place]
    uniform_ns: None = None
    fixed: bool = True
    shares_memory: bool = True

    def transfer_ns(self, cpu: int, other: int) -> float:
        """See `Topology.transfer_ns`."""
        if cpu == other:
            return 0.0
        here, there = self.places[cpu], self.places[other]
        if here.core == there.core:
            return self.counts.smt_ns
        if here.complex == there.complex:
            return self.counts.complex_ns
        return self.counts.socket_ns if here.socket == there.socket else self.counts.remote_ns

    def link_ns(self, cpu: int, other: int) -> int:
        """See `Topology.link_ns`."""
        return round(self.transfer_ns(cpu, other))


def cores(scenario: Scenario, beside: Path) -> Distances:  # noqa: ARG001 (the shape of every topology)
    """One machine by counts: threads of a core, cores of a complex, complexes of a socket (`[machine.cores]`)."""
    counts, cpus = scenario.machine.cores, scenario.machine.cpus
    if cpus > counts.cpus:
        found = f"{cpus}, for cores of {counts.cpus} CPUs in all"
        raise BadInput("machine.cpus", found, "at most smt * complex_cores * complexes * sockets of machine.cores")
    return Distances(counts, [place(counts, cpu) for cpu in range(cpus)])


def place(counts: Counts, cpu: int) -> Place:
    """Say where a CPU is, by `machine.cores.order`."""
    complexes = counts.complexes * counts.sockets
    number = cpu % (counts.complex_cores * complexes)
    if counts.order == "spread":
        turn, of_complex = divmod(number, complexes)
        # Complexes are taken from the sockets in turn.
        complex_ = of_complex % counts.sockets * counts.complexes + of_complex // counts.sockets
        core = complex_ * counts.complex_cores + turn
    else:
        core = number
        complex_ = core // counts.complex_cores
    return Place(core, complex_, complex_ // counts.complexes)
