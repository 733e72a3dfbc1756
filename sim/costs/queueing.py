"""The nodes as servers of queueing theory: service times are drawn and not counted.

With one node, no links and open arrivals a run is an M/M/1 or M/D/1 queue (Kendall's notation: arrivals, service,
servers), whose mean wait is known: the simulator can be held against theory (docs/explanation/validation.md).
"""

from random import Random

from attrs import field, frozen

from protocol.work import Work
from sim.chance import exponential, stream
from sim.costs._places import BetweenPlaces
from sim.placement import Placement
from sim.scenario.model import Scenario


@frozen
class Queueing(BetweenPlaces):
    """Servers of queueing theory: service takes `mean_ns` on average, whatever is asked; links by `placement`.

    Every lock draws from a stream of its own: compared runs that serve the same requests at a lock in the same
    order serve them equally long. Times are rounded to whole nanoseconds.
    """

    seed: int
    mean_ns: int
    distribution: str
    _streams: dict[str, Random] = field(factory=dict)

    def service_ns(self, work: Work) -> int:
        """See `CostModel.service_ns`."""
        if self.distribution == "fixed":
            return self.mean_ns
        random = self._streams.get(work.lock)
        if random is None:
            random = self._streams[work.lock] = stream(self.seed, f"service/{work.lock}")
        return round(self.mean_ns * exponential(random))

    @property
    def fixed(self) -> bool:
        """See `CostModel.fixed`."""
        return self.distribution == "fixed"


def queueing(scenario: Scenario, placement: Placement) -> Queueing:
    """Servers of queueing theory: service takes `service_ns` on average, whatever is asked, and a link each way."""
    costs = scenario.costs
    return Queueing(placement, scenario.seed, costs.service_ns, costs.distribution)
