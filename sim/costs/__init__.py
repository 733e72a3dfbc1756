"""Cost models: how many nanoseconds the counted work and the messages take.

A machine reports *what* it did; this is the only place that knows how long that takes. Each model is one function
in a file of its own, named in `costs.model`: it makes a `CostModel` of a scenario and of where everything is.
`message-passing` sees the nodes as actors on a network, `shared-memory` as what they are in the kernel, data that
CPUs come and change, and `queueing` as servers of queueing theory, whose formulas a run can be held against.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from actors.world import Address
from protocol import registry
from protocol.messages import Reply, Request
from protocol.work import Work
from sim.chance import spread, stream
from sim.topologies import topology

if TYPE_CHECKING:
    from sim.placement import Placement
    from sim.scenario.model import Scenario


class Memory(Protocol):
    """How long holds take whose length depends on who held the lock before: it remembers who was where."""

    def hold_ns(self, cpu: int, work: Work, request: Request, reply: Reply) -> int:
        """Give the length of a hold of `cpu` that begins now; asked once per hold, by their beginnings.

        Works without a lock are asked about, too.
        """
        ...

    def next_holder(self, cpu: int, waiting: Sequence[int]) -> int:
        """Say which of the `waiting` CPUs, in the order of their arrival, gets a lock from `cpu`: its index."""
        ...


class CostModel(Protocol):
    """The shape of a cost model."""

    def service_ns(self, work: Work) -> int:
        """Give the time for which the lock is held to do `work`; not asked where there is a `memory`."""
        ...

    def link_ns(self, cpu: int, address: Address) -> int:
        """Give the time a message takes between a CPU and an actor, each way; drawn where links vary."""
        ...

    @property
    def uniform_link_ns(self) -> int | None:
        """What `link_ns` always gives, None if that depends on who sends to whom."""
        ...

    @property
    def fixed_links(self) -> bool:
        """Whether a message between the same two always takes the same time."""
        ...

    @property
    def fixed(self) -> bool:
        """Whether equal work always takes the same time."""
        ...

    @property
    def memory(self) -> Memory | None:
        """What prices holds by who held the lock before; None where that does not matter."""
        ...


class MakesCostModel(Protocol):
    """The shape of a file's function."""

    def __call__(self, scenario: "Scenario", placement: "Placement") -> CostModel:
        """Make the cost model of `scenario`, for actors and CPUs where `placement` has them. Raises `BadInput`."""
        ...


SHAPE = MakesCostModel
"""What the files of this folder offer (see `protocol.registry`)."""


def cost_model(scenario: "Scenario", beside: Path) -> CostModel:
    """Make the cost model that `scenario` names; files are looked up in the folder `beside`. Raises `BadInput`."""
    from sim.placement import place

    folder, name = sys.modules[__name__], scenario.costs.model
    make: MakesCostModel = registry.load(folder, name, {})
    made = make(scenario, place(scenario, topology(scenario, beside)))
    registry.insist(folder, name, made, CostModel)
    return made


def flushes(scenario: "Scenario") -> Callable[[], int]:
    """Give what says how long the next flush of all TLBs takes while no CPU is idle: drawn, flush by flush."""
    costs = scenario.costs
    return partial(
        spread,
        stream(scenario.seed, "tlb_flush"),
        costs.flush_ns(scenario.machine.cpus),
        costs.tlb_flush_jitter,
    )
