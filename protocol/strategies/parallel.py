"""What messages allow and a CPU that spins does not: all nodes at once, one session each."""

from collections.abc import Sequence

from protocol.area import VmapArea, ZoneLayout
from protocol.strategies import Rounds, group_by_node


def parallel(areas: Sequence[VmapArea], layout: ZoneLayout) -> Rounds:
    """Group by node and send all sessions at once."""
    sessions = tuple(group_by_node(areas, layout))
    return (sessions,) if sessions else ()
