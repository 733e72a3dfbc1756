"""A directory of spans: nodes know of the areas that reach into their zones, so a lookup asks one node.

What a search pays for each zone between address and start, an insertion pays once, to all of these nodes at once,
and a removal again. (docs/how-to/span-directory.md has the price.)
"""

from attrs import frozen

from protocol.area import VmapArea, ZoneLayout
from protocol.policies import Rounds


@frozen
class SpanDirectory:
    """Ask the home node only; each node has been told of the areas that reach into its zones."""

    def __call__(self, home: int, nr_nodes: int) -> Rounds:  # noqa: ARG002 (the shape of every policy)
        """Give the one round of the home node."""
        return ((home,),)

    def told(self, area: VmapArea, layout: ZoneLayout) -> tuple[int, ...]:
        """Give the nodes, but for the area's own, whose zones it reaches into, in the order of its zones."""
        first, zones = layout.addr_to_node_id(area.va_start), layout.zones_spanned(area)
        return tuple((first + zone) % layout.nr_nodes for zone in range(1, min(zones, layout.nr_nodes)))
