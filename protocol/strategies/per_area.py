"""Mainline: pcpu_get_vm_areas() takes and drops the node's lock for each area, since v6.9."""

from collections.abc import Sequence

from protocol.area import VmapArea, ZoneLayout
from protocol.strategies import LockSession, Rounds


def per_area(areas: Sequence[VmapArea], layout: ZoneLayout) -> Rounds:
    """Take the lock once per area, in the order given (mainline since v6.9)."""
    return tuple((LockSession(layout.addr_to_node_id(area.va_start), (area,)),) for area in areas)
