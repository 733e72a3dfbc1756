"""The search of v6.9 to v6.15: on to the next node, `i = (i + 1) % nr_vmap_nodes`, around the ring."""

from protocol.policies import Rounds


def forward(home: int, nr_nodes: int) -> Rounds:
    """Ask the home node, then upwards around the ring (v6.9 to v6.15).

    An area that starts k zones before the address is found after `(-k) mod n + 1` nodes.
    """
    return tuple(((home + step) % nr_nodes,) for step in range(nr_nodes))
