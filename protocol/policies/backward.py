"""The search since v6.16: an area starts at or below the address, so its owner is behind.

`i = (i + nr_vmap_nodes - 1) % nr_vmap_nodes` in find_vmap_area(); Baoquan He, April 2025.
"""

from protocol.policies import Rounds


def backward(home: int, nr_nodes: int) -> Rounds:
    """Ask the home node, then downwards around the ring (since v6.16).

    An area that starts k zones before the address is found after `k mod n + 1` nodes.
    """
    return tuple(((home - step) % nr_nodes,) for step in range(nr_nodes))
