"""Chunks by the queue that is met: whoever waits long may hold long, whoever waits for nobody takes all he can.

A CPU sees how long a queue is only by its own wait. Small chunks keep others' waits short, and cost a lock each;
where the lock is contended by other batches, and waits are long anyway, they only cost.
"""

from collections.abc import Sequence

from attrs import field, frozen
from attrs.validators import ge

from protocol.area import VmapArea, ZoneLayout
from protocol.strategies import Conversation, LockSession, Rounds, group_by_node, rounds_if


@frozen
class Adaptive:
    """Group by node, in chunks from `chunk` areas on, each for about as long a hold as the last one waited."""

    chunk: int = field(default=8, validator=ge(1))

    def __call__(self, areas: Sequence[VmapArea], layout: ZoneLayout) -> Rounds:
        """Give the rounds for locks that nobody else wants."""
        return rounds_if((), self.adapt(areas, layout))

    def adapt(self, areas: Sequence[VmapArea], layout: ZoneLayout) -> Conversation:
        """Insert node by node: half a chunk after a hold that was longer than its wait, else twice as much."""
        size = self.chunk
        for session in group_by_node(areas, layout):
            first = 0
            while first < len(session.areas):
                met = yield (LockSession(session.node_id, session.areas[first : first + size]),)
                first += size
                size = max(1, size // 2) if 0 < met.waited_ns < met.held_ns else 2 * size
