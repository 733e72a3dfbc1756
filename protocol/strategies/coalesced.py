"""The reviewer's sketch: keep the lock while the node stays the same ("to minimise the lock twiddling").

His loop unlocks `last_node` on its first round, when it is still NULL; here that is guarded. It was not adopted:
not a hot path, and the areas are prefetched (Uladzislau Rezki's answer).
"""

from collections.abc import Sequence
from itertools import groupby

from protocol.area import VmapArea, ZoneLayout
from protocol.strategies import LockSession, Rounds


def coalesced(areas: Sequence[VmapArea], layout: ZoneLayout) -> Rounds:
    """Keep the lock while the next area has the same node (Lorenzo Stoakes' sketch, guarded)."""
    runs = groupby(areas, key=lambda area: layout.addr_to_node_id(area.va_start))
    return tuple((LockSession(node_id, tuple(run)),) for node_id, run in runs)
