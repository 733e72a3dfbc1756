"""The nodes as actors on a network."""

from attrs import field, frozen

from protocol.work import Work
from sim.costs._places import BetweenPlaces
from sim.placement import Placement
from sim.scenario.model import Scenario


@frozen
class MessagePassing(BetweenPlaces):
    """Actors on a network: `lock_ns * holds + visit_ns * visited + insert_ns * (moved - 1)`, and links.

    Areas that become free together take `release_ns` each besides.

    `visited` is `n.bit_length()` for a tree of n areas at the start of service. The defaults stand for a
    2020s server within one socket: a free lock is taken and dropped in 15.4 ns and a line comes from
    another core in 47.5 to 101.9 ns (Xeon Platinum 8176; perfbook, cpu/overheads.tex); no figure per
    visited tree node is published, 8 ns lies between a hit in L2 and one in L3. `insert_ns` is a guess:
    a further area of a batch finds the lock held and the top of the tree in the cache.
    """

    lock_ns: int = 20
    visit_ns: int = 8
    insert_ns: int = 40
    release_ns: int = 0
    fixed: bool = field(default=True, init=False)

    def service_ns(self, work: Work) -> int:
        """See `CostModel.service_ns`."""
        service_ns = self.lock_ns * work.holds + self.visit_ns * work.visited
        if work.moved > 1:
            service_ns += self.insert_ns * (work.moved - 1) + self.release_ns * work.released
        return service_ns


def message_passing(scenario: Scenario, placement: Placement) -> MessagePassing:
    """Actors on a network: `lock_ns * holds + visit_ns * visited + insert_ns * (moved - 1)`, a link each way."""
    costs = scenario.costs
    return MessagePassing(placement, costs.lock_ns, costs.visit_ns, costs.insert_ns, costs.release_ns)
