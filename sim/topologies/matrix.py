"""A machine as measured: what it takes between any two CPUs."""

from pathlib import Path

from attrs import frozen

from sim.errors import BadInput
from sim.scenario.model import Scenario


@frozen
class Measured:
    """`ns[a][b]` between CPU a and CPU b."""

    ns: list[list[int]]
    uniform_ns: None = None
    fixed: bool = True
    shares_memory: bool = True

    def transfer_ns(self, cpu: int, other: int) -> float:
        """See `Topology.transfer_ns`."""
        return 0.0 if cpu == other else float(self.ns[cpu][other])

    def link_ns(self, cpu: int, other: int) -> int:
        """See `Topology.link_ns`: from CPU to actor and back it is the same."""
        return self.ns[cpu][other]


def matrix(scenario: Scenario, beside: Path) -> Measured:  # noqa: ARG001 (the shape of every topology)
    """Between any two CPUs as `machine.matrix.ns` has it, a row for each."""
    rows, cpus = scenario.machine.matrix.ns, scenario.machine.cpus
    if len(rows) < cpus:
        raise BadInput("machine.matrix.ns", f"{len(rows)} rows", f"{cpus}, one for each of machine.cpus")
    for cpu, row in enumerate(rows):
        for other in range(cpu):
            if row[other] != rows[other][cpu]:
                found = f"{row[other]} from {cpu} to {other} and {rows[other][cpu]} back"
                raise BadInput("machine.matrix.ns", found, "the same both ways")
    return Measured(rows)
