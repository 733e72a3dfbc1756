"""The nodes as servers of queueing theory: service times are drawn and not counted.

With one node, no links and open arrivals a run is an M/M/1 or M/D/1 queue (Kendall's notation: arrivals, service,
servers), whose mean wait is known: the simulator can be held against theory (docs/explanation/validation.md).
"""

from random import Random

from attrs import define, field

from actors.world import Address
from protocol.work import Work
from sim.chance import exponential, stream
from sim.placement import Placement
from sim.scenario.model import Scenario


@define
class Queueing:
    """Servers of queueing theory: service takes `mean_ns` on average, whatever is asked; links by `placement`.

    Every lock draws from a stream of its own: compared runs that serve the same requests at a lock in the same
    order serve them equally long. Times are rounded to whole nanoseconds.
    """

    placement: Placement
    seed: int
    mean_ns: int
    distribution: str
    memory: None = field(default=None, init=False)
    _streams: dict[str, Random] = field(factory=dict)

    def service_ns(self, work: Work) -> int:
        """See `CostModel.service_ns`."""
        if self.distribution == "fixed":
            return self.mean_ns
        random = self._streams.get(work.lock)
        if random is None:
            random = self._streams[work.lock] = stream(self.seed, f"service/{work.lock}")
        return round(self.mean_ns * exponential(random))

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
    def fixed(self) -> bool:
        """See `CostModel.fixed`."""
        return self.distribution == "fixed"


def queueing(scenario: Scenario, placement: Placement) -> Queueing:
    """Servers of queueing theory: service takes `service_ns` on average, whatever is asked, and a link each way."""
    costs = scenario.costs
    return Queueing(placement, scenario.seed, costs.service_ns, costs.distribution)
