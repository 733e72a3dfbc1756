"""One node only, as vmalloc_dump_obj() does since v6.9: interior addresses in other zones are missed."""

from protocol.policies import Rounds


def home(home: int, nr_nodes: int) -> Rounds:  # noqa: ARG001 (the shape of every policy)
    """Ask the home node and nobody else (`vmalloc_dump_obj`, v6.9 on)."""
    return ((home,),)
