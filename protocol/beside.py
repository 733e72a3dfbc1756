"""What a node knows of areas that are in no tree of its own: references and forwards. No kernel has either.

A *reference* says that an area of another node reaches into this one's zones: a policy that tells nodes of such
areas (`protocol.policies.Telling`) finds them with one question. A *forward* says that an area whose home is here
lives in another node now; lookups follow it. Both live under the node's busy lock, beside its tree.
"""

from collections.abc import Iterable, Iterator

from protocol.area import VmapArea
from protocol.busy_tree import BusyTree


class Beside:
    """References and forwards of one node, by address."""

    def __init__(self) -> None:
        self._areas = BusyTree()
        self._holders: dict[int, int] = {}

    def __iter__(self) -> Iterator[tuple[VmapArea, int | None]]:
        """Iterate in address order over areas and the nodes that they have moved to, None for a reference."""
        return ((area, self._holders.get(area.va_start)) for area in self._areas)

    def find(self, addr: int) -> VmapArea | None:
        """Find the area that contains `addr`; O(log n)."""
        return self._areas.find(addr)

    def holder(self, area: VmapArea) -> int | None:
        """Give the node that `area` has moved to, None if this is a reference to it."""
        return self._holders.get(area.va_start)

    def refer(self, areas: Iterable[VmapArea]) -> None:
        """Note areas of other nodes that reach into this one's zones. Raises `AreaOverlap` and `BadRange`."""
        for area in areas:
            self._areas.insert(area)

    def forward(self, area: VmapArea, holder: int) -> None:
        """Note that `area` lives in node `holder` now. Raises `AreaOverlap` and `BadRange`."""
        self._areas.insert(area)
        self._holders[area.va_start] = holder

    def forget(self, va_start: int) -> VmapArea | None:
        """Drop what is known of the area that starts at `va_start`; give it, None if nothing is."""
        self._holders.pop(va_start, None)
        return self._areas.unlink(va_start)

    def moved_from(self, start: int) -> Iterator[tuple[int, int]]:
        """Iterate in address order over areas that have moved and start at or above `start`: start and node."""
        for area in self._areas.iterate_from(start):
            if (holder := self._holders.get(area.va_start)) is not None:
                yield area.va_start, holder

    @property
    def depth(self) -> int:
        """Nodes on a search path through what is known, as for the tree beside it."""
        return self._areas.depth
