"""The nodes as actors on a network."""

from collections.abc import Mapping
from random import Random

from attrs import evolve, field, frozen

from protocol.work import Work
from sim.chance import spread, stream
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


@frozen
class UnequalHolds(BetweenPlaces):
    """Actors on a network whose holds differ: by the kind of their lock, and with `jitter` each from the next.

    The kind of "busy/3" is "busy". Every lock draws from a stream of its own, as in `Queueing` and for its reason,
    but only for work for one area under at most one hold: what is a sum of several varies less, and takes its mean.
    """

    kinds: Mapping[str, MessagePassing]
    """What work takes at locks of a kind."""
    others: MessagePassing
    """What it takes at all others."""
    seed: int
    jitter: float
    _streams: dict[str, Random] = field(factory=dict)

    def service_ns(self, work: Work) -> int:
        """See `CostModel.service_ns`."""
        mean_ns = self.kinds.get(work.lock.partition("/")[0], self.others).service_ns(work)
        if not self.jitter or work.moved != 1 or work.holds > 1:
            return mean_ns
        random = self._streams.get(work.lock)
        if random is None:
            random = self._streams[work.lock] = stream(self.seed, f"hold/{work.lock}")
        return spread(random, mean_ns, self.jitter)

    @property
    def fixed(self) -> bool:
        """See `CostModel.fixed`."""
        return not self.jitter


def message_passing(scenario: Scenario, placement: Placement) -> MessagePassing | UnequalHolds:
    """Actors on a network: `lock_ns * holds + visit_ns * visited + insert_ns * (moved - 1)`, a link each way."""
    costs = scenario.costs
    others = MessagePassing(placement, costs.lock_ns, costs.visit_ns, costs.insert_ns, costs.release_ns)
    holds_ns = {
        "busy": costs.busy_hold_ns,
        "lazy": costs.lazy_hold_ns,
        "pool": costs.pool_hold_ns,
        "free": costs.free_hold_ns,
    }
    kinds = {kind: evolve(others, lock_ns=hold_ns) for kind, hold_ns in holds_ns.items() if hold_ns}
    if not kinds and not costs.hold_jitter:
        return others
    return UnequalHolds(placement, kinds, others, scenario.seed, costs.hold_jitter)
