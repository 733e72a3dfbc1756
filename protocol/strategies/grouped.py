"""One session per node, node after node: the fewest acquisitions that separate locks allow."""

from collections.abc import Sequence

from protocol.area import VmapArea, ZoneLayout
from protocol.strategies import Rounds, group_by_node


def grouped(areas: Sequence[VmapArea], layout: ZoneLayout) -> Rounds:
    """Sort by node and take each node's lock once, one after the other."""
    return tuple((session,) for session in group_by_node(areas, layout))
