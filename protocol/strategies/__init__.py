"""Batch strategies: how a CPU that has many areas to insert turns them into holds of locks.

A strategy maps areas to *rounds* of lock sessions: a session is one message, one acquisition of one
node's lock and one or more areas under it; the sessions of a round are under way at once, and a round
starts when the one before has been acknowledged. It is pure, inserts every area exactly once and each
in its home node (`sim/contracts/strategies.py` has all of it).
"""

import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Protocol, TypeAlias

from attrs import define

from protocol import registry
from protocol.area import VmapArea, ZoneLayout
from protocol.errors import VmapsimError


@define
class LockSession:
    """Areas to insert under one hold of one lock: that of node `node_id`, where all of them live.

    With a strategy that needs one lock for all nodes the areas may live in any node.
    """

    node_id: int
    areas: tuple[VmapArea, ...]


Rounds: TypeAlias = tuple[tuple[LockSession, ...], ...]


class Strategy(Protocol):
    """The shape of a batch strategy."""

    def __call__(self, areas: Sequence[VmapArea], layout: ZoneLayout) -> Rounds:
        """Give the rounds of lock sessions that insert `areas`."""
        ...


@define
class Met:
    """What a round met: nanoseconds that it waited for locks, and for which it held them.

    Of sessions that were under way at once, those of the one that was acknowledged last.
    """

    waited_ns: int
    held_ns: int


Conversation: TypeAlias = Generator[tuple[LockSession, ...], Met, None]
"""Yields one round after the other, and is told of each what it met."""


class Adaptive(Strategy, Protocol):
    """The shape of a strategy that makes each round when it has seen how the one before went.

    Its plain rounds, `__call__`, are those for locks that nobody else wants.
    """

    def adapt(self, areas: Sequence[VmapArea], layout: ZoneLayout) -> Conversation:
        """Insert `areas`, round by round."""
        ...


SHAPE = Strategy
"""What the files of this folder offer (see `protocol.registry`)."""


class StrategyBroken(VmapsimError):
    """A strategy gave rounds that break its contract; the text says how."""

    def __init__(self, strategy: Strategy, breach: str) -> None:
        super().__init__(f"the strategy {getattr(strategy, '__name__', repr(strategy))} {breach}")


def breach(rounds: object) -> str:
    """Say how `rounds` are none of lock sessions, in words that go on after a strategy's name; "" if they are."""
    if not isinstance(rounds, tuple) or not all(isinstance(sessions, tuple) for sessions in rounds):
        return "gives no tuple of rounds, each a tuple of lock sessions"
    if not all(rounds):
        return "gives an empty round"
    for session in chain(*rounds):
        if not isinstance(session, LockSession) or not (
            isinstance(session.node_id, int) and isinstance(session.areas, tuple)
        ):
            return f"gives {session!r} for a lock session"
        if not session.areas:
            return "gives a session without areas"
    return ""


def load(name: str, *, chunk: int = 8, parameters: Mapping[str, object] | None = None) -> Strategy:
    """Give the strategy called `name`; `chunk` is the largest session of `chunked`, in areas.

    With `parameters` its fields of these names have these values.
    Raises `registry.UnknownName` and `registry.BrokenFile`.
    """
    strategy: Strategy = registry.load(sys.modules[__name__], name, {"chunk": chunk, **(parameters or {})})
    return strategy


def needs_one_lock(strategy: Strategy) -> bool:
    """Tell whether `strategy` only makes sense where one actor, with one lock, owns all the trees."""
    return bool(getattr(strategy, "one_lock", False))


def adaptation(strategy: Strategy) -> Callable[[Sequence[VmapArea], ZoneLayout], Conversation] | None:
    """Give the `adapt` of an adaptive strategy, None of all others."""
    return getattr(strategy, "adapt", None)


NOBODY = Met(0, 1)
"""What a round meets where nobody else is."""


def rounds_if(met: Iterable[Met], conversation: Conversation) -> Rounds:
    """Give the rounds that a conversation makes if they meet that, and nobody where it ends."""
    rounds = list(islice(conversation, 1))
    for each in chain(met, repeat(NOBODY)):
        try:
            rounds.append(conversation.send(each))
        except StopIteration:
            break
    return tuple(rounds)


def group_by_node(areas: Sequence[VmapArea], layout: ZoneLayout) -> list[LockSession]:
    """Group `areas` by home node: node ids ascending, areas of a node in the order given."""
    by_node: dict[int, list[VmapArea]] = {}
    for area in areas:
        by_node.setdefault(layout.addr_to_node_id(area.va_start), []).append(area)
    return [LockSession(node_id, tuple(by_node[node_id])) for node_id in sorted(by_node)]
