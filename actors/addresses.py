"""Where actors serve, in every world, and which nodes are whose."""

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from actors.world import Address

FREE_SPACE: Final[Address] = "free"
"""Where the free space is served."""

LAZY_PAGES: Final[Address] = "lazy-pages"
"""Where the pages that are lazily freed are counted."""

ALL_NODES: Final[Address] = "nodes"
"""Where all nodes are served, if one actor owns them: as the strategy `global` needs."""


@frozen
class NodeActor:
    """An actor with nodes: where it serves, which ones, and the name of the lock over their busy trees."""

    address: Address
    node_ids: Sequence[int]
    lock: str


def address_of_node(node_id: int) -> Address:
    """Give where a node is served that has an actor of its own."""
    return f"node/{node_id}"


def node_actors(node_ids: Iterable[int], *, one_lock: bool) -> list[NodeActor]:
    """Give the actors for nodes, ascending: one for each, or with `one_lock` one for all, if there are any."""
    owned = tuple(node_ids)
    if one_lock:
        return [NodeActor(ALL_NODES, owned, "busy/all")] if owned else []
    return [NodeActor(address_of_node(node_id), (node_id,), f"busy/{node_id}") for node_id in owned]
