"""Grouped, but no hold longer than a few areas, so that others get their turn in between."""

from collections.abc import Sequence

from attrs import field, frozen
from attrs.validators import ge

from protocol.area import VmapArea, ZoneLayout
from protocol.strategies import LockSession, Rounds, group_by_node


@frozen
class Chunked:
    """Group by node, at most `chunk` areas under one hold of the lock."""

    chunk: int = field(default=8, validator=ge(1))

    def __call__(self, areas: Sequence[VmapArea], layout: ZoneLayout) -> Rounds:
        """Give one round per chunk, nodes ascending."""
        return tuple(
            (LockSession(session.node_id, session.areas[first : first + self.chunk]),)
            for session in group_by_node(areas, layout)
            for first in range(0, len(session.areas), self.chunk)
        )
