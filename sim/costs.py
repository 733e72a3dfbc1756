"""Cost models: how many nanoseconds the counted work and the messages take.

`message-passing` sees the nodes as actors on a network. (A machine reports *what* it did; this is the
only place that knows how long that takes.)
"""

from typing import Protocol

from attrs import frozen

from actors.world import Address
from protocol.work import Work


class CostModel(Protocol):
    """The shape of a cost model."""

    def service_ns(self, work: Work) -> int:
        """Give the time for which the lock is held to do `work`."""
        ...

    def link_ns(self, cpu: int, address: Address) -> int:
        """Give the time a message takes between a CPU and an actor, each way."""
        ...

    @property
    def uniform_link_ns(self) -> int | None:
        """What `link_ns` always gives, None if that depends on who sends to whom."""
        ...


@frozen
class MessagePassing:
    """Actors on a network: `lock_ns * holds + visit_ns * visited + insert_ns * (moved - 1)`, `link_ns` each way.

    `visited` is `n.bit_length()` for a tree of n areas at the start of service. The defaults stand for a
    2020s server within one socket: a free lock is taken and dropped in 15.4 ns and a line comes from
    another core in 47.5 to 101.9 ns (Xeon Platinum 8176; perfbook, cpu/overheads.tex); no figure per
    visited tree node is published, 8 ns lies between a hit in L2 and one in L3. `insert_ns` is a guess:
    a further area of a batch finds the lock held and the top of the tree in the cache.
    """

    lock_ns: int = 20
    visit_ns: int = 8
    insert_ns: int = 40
    link_ns_each_way: int = 60

    def service_ns(self, work: Work) -> int:
        """See `CostModel.service_ns`."""
        service_ns = self.lock_ns * work.holds + self.visit_ns * work.visited
        if work.moved > 1:
            service_ns += self.insert_ns * (work.moved - 1)
        return service_ns

    def link_ns(self, cpu: int, address: Address) -> int:  # noqa: ARG002 (the flat topology)
        """See `CostModel.link_ns`: the same between any CPU and any actor."""
        return self.link_ns_each_way

    @property
    def uniform_link_ns(self) -> int:
        """See `CostModel.uniform_link_ns`."""
        return self.link_ns_each_way


MODELS = {"message-passing": MessagePassing}
"""Cost models by the name that scenarios give them."""
