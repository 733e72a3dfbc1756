"""Before the series: one lock over everything, taken once per batch (`vmap_area_lock`, up to v6.8)."""

from collections.abc import Sequence
from typing import ClassVar

from attrs import frozen

from protocol.area import VmapArea, ZoneLayout
from protocol.strategies import LockSession, Rounds


@frozen
class Global:
    """Take one lock over all nodes once for the whole batch (up to v6.8); lookups wait for it too."""

    one_lock: ClassVar[bool] = True

    def __call__(self, areas: Sequence[VmapArea], layout: ZoneLayout) -> Rounds:
        """Give one session with all areas, addressed to the home of the first."""
        if not areas:
            return ()
        return ((LockSession(layout.addr_to_node_id(areas[0].va_start), tuple(areas)),),)
