"""Search policies: which nodes a lookup asks, in which order, until one has the area.

A policy maps the home node of the address and the number of nodes to *rounds*: the nodes of one round
are asked at once, and the next round only if nobody of this one had the area. It is pure, asks no node
twice, and begins with the home node (`sim/contracts/policies.py` has all of it).
"""

import sys
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from protocol import registry
from protocol.area import VmapArea, ZoneLayout
from protocol.errors import VmapsimError

Rounds: TypeAlias = tuple[tuple[int, ...], ...]


class Policy(Protocol):
    """The shape of a search policy."""

    def __call__(self, home: int, nr_nodes: int) -> Rounds:
        """Give the rounds of node ids to ask for an address whose home is node `home` of `nr_nodes`."""
        ...


class Telling(Policy, Protocol):
    """The shape of a policy that has other nodes know of an area than the one it lives in.

    An insertion tells them when the area is in its tree, and a removal when it is out of it: they keep references
    (`protocol.beside`), by which they answer lookups that would else find nothing there.
    """

    def told(self, area: VmapArea, layout: ZoneLayout) -> tuple[int, ...]:
        """Give the nodes to tell of `area`: each once, and not its home."""
        ...


Told: TypeAlias = Callable[[VmapArea, ZoneLayout], tuple[int, ...]]

SHAPE = Policy
"""What the files of this folder offer (see `protocol.registry`)."""


class PolicyBroken(VmapsimError):
    """A policy gave rounds that break its contract; the text says which, and where."""

    def __init__(self, policy: Policy, home: int, nr_nodes: int, breach: str) -> None:
        name = getattr(policy, "__name__", repr(policy))
        super().__init__(f"the policy {name} {breach}, from home node {home} of {nr_nodes}")


def breach(rounds: object, home: int, nr_nodes: int) -> str:
    """Say how `rounds` break the contract of a policy, in words that go on after its name; "" if they hold."""
    if not isinstance(rounds, tuple) or not all(isinstance(nodes, tuple) for nodes in rounds):
        return "gives no tuple of rounds, each a tuple of node ids"
    if not rounds or not all(rounds):
        return "gives an empty round" if rounds else "gives no round"
    asked: set[int] = set()
    for node_id in (node_id for nodes in rounds for node_id in nodes):
        if not isinstance(node_id, int) or not 0 <= node_id < nr_nodes:
            return f"asks node {node_id!r}, which does not exist"
        if not asked and node_id != home:
            return f"begins with node {node_id}, not with the home node"
        if node_id in asked:
            return f"asks node {node_id} twice"
        asked.add(node_id)
    return ""


def told_by(policy: Policy) -> Told | None:
    """Give the `told` of a policy that tells nodes of areas, None of all others."""
    return getattr(policy, "told", None)


def load(name: str, *, extra: int = 1, parameters: Mapping[str, object] | None = None) -> Policy:
    """Give the policy called `name`; `extra` is the number of further nodes that `bounded` asks.

    With `parameters` its fields of these names have these values.
    Raises `registry.UnknownName` and `registry.BrokenFile`.
    """
    policy: Policy = registry.load(sys.modules[__name__], name, {"extra": extra, **(parameters or {})})
    return policy
