"""Messages between places: what the cost models of actors on a network have in common."""

from attrs import frozen

from actors.world import Address
from sim.placement import Placement


@frozen
class BetweenPlaces:
    """The links of a cost model in which messages go from a CPU's place to an actor's, by `placement`."""

    placement: Placement

    def link_ns(self, cpu: int, address: Address) -> int:
        """See `CostModel.link_ns`."""
        return self.placement.link_ns(cpu, address)

    @property
    def uniform_link_ns(self) -> int | None:
        """See `CostModel.uniform_link_ns`."""
        return self.placement.topology.uniform_ns

    @property
    def fixed_links(self) -> bool:
        """See `CostModel.fixed_links`."""
        return self.placement.topology.fixed

    @property
    def memory(self) -> None:
        """See `CostModel.memory`: nothing is shared."""
        return None
