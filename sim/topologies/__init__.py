"""Topologies: how far CPUs are from each other.

Each is one function in a file of its own, named in `machine.topology`. It makes a `Topology` of a scenario.
Everything in a run lives at some CPU's place (`sim.placement`), so distances between CPUs are all there is to know.
`sim/contracts/topologies.py` has the contract.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from protocol import registry

if TYPE_CHECKING:
    from sim.scenario.model import Scenario


class Topology(Protocol):
    """The shape of a topology. CPUs are numbered from 0; distances are not negative, and the same both ways."""

    @property
    def uniform_ns(self) -> int | None:
        """What every message takes, between any two CPUs and within one; None if that depends."""
        ...

    @property
    def fixed(self) -> bool:
        """Whether a message between the same two CPUs always takes the same time."""
        ...

    @property
    def shares_memory(self) -> bool:
        """Whether all CPUs are in one machine, so that cache lines can move between them."""
        ...

    def transfer_ns(self, cpu: int, other: int) -> float:
        """Give what a cache line, or a message on average, takes from `cpu` to `other`; none moves within one."""
        ...

    def link_ns(self, cpu: int, other: int) -> int:
        """Give what this message takes between `cpu` and `other`: drawn where links vary."""
        ...


class MakesTopology(Protocol):
    """The shape of a file's function."""

    def __call__(self, scenario: "Scenario", beside: Path) -> Topology:
        """Make the topology of `scenario`; files are looked up in the folder `beside`. Raises `BadInput`."""
        ...


SHAPE = MakesTopology
"""What the files of this folder offer (see `protocol.registry`)."""


def topology(scenario: "Scenario", beside: Path) -> Topology:
    """Make the topology that `scenario` names. Raises `BadInput`."""
    folder, name = sys.modules[__name__], scenario.machine.topology
    make: MakesTopology = registry.load(folder, name, {})
    made = make(scenario, beside)
    registry.insist(folder, name, made, Topology)
    return made
