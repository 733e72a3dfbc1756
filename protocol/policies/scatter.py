"""What a distributed index would do: ask everybody at once and pay in messages instead of latency."""

from protocol.policies import Rounds


def scatter(home: int, nr_nodes: int) -> Rounds:
    """Ask all nodes at once: one round trip to the slowest of them, n messages for each lookup."""
    return (tuple((home + step) % nr_nodes for step in range(nr_nodes)),)
