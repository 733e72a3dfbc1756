"""`[faults]`: what goes wrong in a run, as tables of a scenario. Without any of them nothing does.

Actors are named by patterns: "node/3", "node/*", "cpu/*", "free", "*".
"""

import importlib
from fnmatch import fnmatchcase

from attrs import field, frozen

from protocol import registry
from sim.scenario.values import NS, SHARE, Allowed, allowed, between

NEVER_NS = 2**62
"""When nothing ends: some 146 years."""

_PATTERN = allowed(lambda value: value != "", 'an actor or a pattern of actors, like "node/3", "node/*", "cpu/*"')
_PATTERNS = allowed(
    lambda value: len(value) > 0 and all(value), 'a list of actors or patterns, like ["node/0", "cpu/*"]'
)
_RANGE_NS = allowed(
    lambda value: len(value) == 2 and 0 <= value[0] <= value[1] <= 10**12,
    "[fewest, most] with 0 <= fewest <= most <= 1000000000000",
)


@frozen
class Messages:
    """`[[faults.messages]]`: messages from `source` to `target`, requests and replies alike.

    A `loss` share of them never arrives, a `duplication` share arrives twice, a `delay` share takes longer, by
    between the two `delay_ns`, a `reordering` share is held back for `reorder_ns`: what is sent meanwhile
    overtakes it. Where several tables fit a message, all apply.
    """

    source: str = field(default="*", validator=_PATTERN)
    target: str = field(default="*", validator=_PATTERN)
    loss: float = field(default=0.0, validator=SHARE)
    duplication: float = field(default=0.0, validator=SHARE)
    delay: float = field(default=0.0, validator=SHARE)
    delay_ns: list[int] = field(factory=lambda: [0, 1000], validator=_RANGE_NS)
    reordering: float = field(default=0.0, validator=SHARE)
    reorder_ns: int = field(default=1000, validator=NS)


@frozen
class Crashes:
    """`[[faults.crashes]]`: each server that fits `actor` crashes, and starts again after `down_ns`.

    Once, at `at_ns`, or, with `every_ns` above 0, again and again from there on, exponentially distributed with
    that mean. What is on its way to it or from it is lost; what it has acknowledged is not.
    """

    actor: str = field(default="node/*", validator=_PATTERN)
    at_ns: int = field(default=0, validator=NS)
    every_ns: int = field(default=0, validator=NS)
    down_ns: int = field(default=10_000, validator=between(1, 10**12))


@frozen
class Partitions:
    """`[[faults.partitions]]`: the host with these `actors` is cut off from all others, in a time.

    A host is what its actors say: messages between one of them and any other actor are lost.
    """

    actors: list[str] = field(factory=lambda: ["node/0"], validator=_PATTERNS)
    from_ns: int = field(default=0, validator=NS)
    until_ns: int = field(default=NEVER_NS, validator=between(0, NEVER_NS))


@frozen
class Slow:
    """`[[faults.slow]]`: servers that fit `actor` take `factor` times as long, in a time."""

    actor: str = field(default="node/0", validator=_PATTERN)
    factor: int = field(default=10, validator=between(1, 10**6))
    from_ns: int = field(default=0, validator=NS)
    until_ns: int = field(default=NEVER_NS, validator=between(0, NEVER_NS))


TABLES = ("partitions", "messages", "slow", "crashes")
"""The kinds of faults that have tables, in the order in which they happen to a message."""


def _others() -> list[str]:
    """List the faults without tables; they know scenarios, and so cannot be imported by what these are made of."""
    return [name for name in registry.names(importlib.import_module("sim.faults")) if name not in TABLES]


def _others_in_words() -> str:
    return f"names of faults that have no tables: {', '.join(_others()) or 'there are none but extensions'}"


_OTHERS = Allowed(lambda names: set(names) <= set(_others()), _others_in_words)


@frozen
class Faults:
    """`[faults]`: what goes wrong, and how patient clients are then.

    A client asks again when an attempt has had no reply for `timeout_ns` (then twice, four times as long, up to 16
    times), and gives up after `deadline_ns`: the operation has failed. 0 is 5 µs and 10 ms of virtual time, and 1 s
    and 30 s in the live engine and the cluster, where all times here are wall time. With `once = false` requests
    that arrive twice are served twice, to see what request ids are for. `also` names faults without tables:
    extensions.
    """

    timeout_ns: int = field(default=0, validator=between(0, 10**12))
    deadline_ns: int = field(default=0, validator=between(0, 10**13))
    once: bool = True
    messages: list[Messages] = field(factory=list)
    crashes: list[Crashes] = field(factory=list)
    partitions: list[Partitions] = field(factory=list)
    slow: list[Slow] = field(factory=list)
    also: list[str] = field(factory=list, validator=_OTHERS)

    @property
    def any(self) -> bool:
        """Whether anything can go wrong."""
        return bool(self.messages or self.crashes or self.partitions or self.slow or self.also)


def patterns(faults: Faults) -> list[tuple[str, str]]:
    """Give every pattern of actors with the key that holds it."""
    found = []
    for index, messages in enumerate(faults.messages):
        found += [(f"messages.{index}.source", messages.source), (f"messages.{index}.target", messages.target)]
    for index, crashes in enumerate(faults.crashes):
        found.append((f"crashes.{index}.actor", crashes.actor))
    for index, partition in enumerate(faults.partitions):
        found += [(f"partitions.{index}.actors", pattern) for pattern in partition.actors]
    found += [(f"slow.{index}.actor", slow.actor) for index, slow in enumerate(faults.slow)]
    return found


def fits(pattern: str, actor: str) -> bool:
    """Tell whether `actor` is one of those that `pattern` means."""
    return fnmatchcase(actor, pattern)
