"""The reviewer's question: "should we stop after one iteration?" (Lorenzo Stoakes, 16 January 2024).

It can miss areas that are there, and the check of lookups' answers counts how often it does.
"""

from attrs import field, frozen
from attrs.validators import ge

from protocol.policies import Rounds


@frozen
class Bounded:
    """Ask the home node and `extra` nodes behind it, then give up: fast, and wrong for long areas."""

    extra: int = field(default=1, validator=ge(0))

    def __call__(self, home: int, nr_nodes: int) -> Rounds:
        """Give at most `extra + 1` rounds of one node each, downwards around the ring."""
        return tuple(((home - step) % nr_nodes,) for step in range(min(self.extra + 1, nr_nodes)))
