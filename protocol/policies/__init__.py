"""Search policies: which nodes a lookup asks, in which order, until one has the area.

A policy maps the home node of the address and the number of nodes to *rounds*: the nodes of one round
are asked at once, and the next round only if nobody of this one had the area. It is pure, asks no node
twice, and begins with the home node (`tests/property/test_policies.py` holds every file to that).
"""

import sys
from typing import Protocol, TypeAlias

from protocol import registry

Rounds: TypeAlias = tuple[tuple[int, ...], ...]


class Policy(Protocol):
    """The shape of a search policy."""

    def __call__(self, home: int, nr_nodes: int) -> Rounds:
        """Give the rounds of node ids to ask for an address whose home is node `home` of `nr_nodes`."""
        ...


def load(name: str, *, extra: int = 1) -> Policy:
    """Give the policy called `name`; `extra` is the number of further nodes that `bounded` asks.

    Raises `registry.UnknownName`.
    """
    policy: Policy = registry.load(sys.modules[__name__], name, {"extra": extra})
    return policy
