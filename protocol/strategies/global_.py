"""One lock over all nodes, taken once per batch: the locking of v6.8 (`vmap_area_lock`) with the trees of v6.9.

It shows what one lock does and nothing else: trees stay apart, and lookups still go from one to the next. For v6.8
as it was, one tree too, choose `space.kernel = "6.8"`.
"""

from collections.abc import Sequence
from typing import ClassVar

from attrs import frozen

from protocol.area import VmapArea, ZoneLayout
from protocol.strategies import LockSession, Rounds


@frozen
class Global:
    """Take one lock over all nodes once for the whole batch; lookups wait for it too."""

    one_lock: ClassVar[bool] = True

    def __call__(self, areas: Sequence[VmapArea], layout: ZoneLayout) -> Rounds:
        """Give one session with all areas, addressed to the home of the first."""
        if not areas:
            return ()
        return ((LockSession(layout.addr_to_node_id(areas[0].va_start), tuple(areas)),),)
