"""Everybody is equally far from everybody."""

from pathlib import Path

from attrs import frozen

from sim.scenario.model import Scenario


@frozen
class Flat:
    """Every message and every line takes `uniform_ns`."""

    uniform_ns: int
    fixed: bool = True
    shares_memory: bool = True

    def transfer_ns(self, cpu: int, other: int) -> float:
        """See `Topology.transfer_ns`."""
        return 0.0 if cpu == other else float(self.uniform_ns)

    def link_ns(self, cpu: int, other: int) -> int:  # noqa: ARG002 (the shape of `Topology`)
        """See `Topology.link_ns`: an actor is no CPU's neighbour, not even that of the one it runs on."""
        return self.uniform_ns


def flat(scenario: Scenario, beside: Path) -> Flat:  # noqa: ARG001 (the shape of every topology)
    """Every message and every line between two CPUs takes `costs.link_ns`."""
    return Flat(scenario.costs.link_ns)
