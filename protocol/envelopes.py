"""Envelopes: what two ends of a connection say to each other around the messages.

A connection begins with `Hello` and `Welcome`; after that the client sends `Ask`s, as many at once as the
welcome allows, and each is answered by one `Answer` or `Failed` with its id, in any order. Both sides may `Ping`
at any time and must `Pong`. `Goodbye` is the last frame of whoever sends it.

`Journaled`, `Kept` and `Rebuilt` are never sent: they are what an actor's journal on disk holds, in the same
format.
"""

from typing import TypeAlias

from attrs import define

from protocol.messages import Message


@define
class Hello:
    """The client's first frame: what it takes the member to be."""

    version: int
    nr_nodes: int
    zone_size: int
    one_lock: bool
    """Whether one actor owns all nodes, behind one lock."""
    rules: str
    """What its nodes do with freed areas (`protocol.freed.rules_of`); empty if that does not matter."""
    actors: str
    """Whom the client wants to ask there, separated by spaces: "node/0 node/1 free"."""


@define
class Welcome:
    """The server's first frame: what it is and what it allows; `Goodbye` says that it is something else."""

    version: int
    nr_nodes: int
    zone_size: int
    one_lock: bool
    rules: str
    actors: str
    asks: int
    """Most unanswered asks on this connection."""
    areas: int
    """Most areas in one request, and in the reply it asks for."""


@define
class Ask:
    """A request to the actor `to`, worth answering within `timeout_ns` of its arrival.

    `session`, `sequence` and `answered_below` make it the one it is: see `protocol.sessions.Numbered`.
    """

    id: int
    to: str
    timeout_ns: int
    session: int
    sequence: int
    answered_below: int
    request: Message


@define
class Answer:
    """The reply to ask `id`, with what it took: nanoseconds in the queue and under `lock`."""

    id: int
    queue_ns: int
    service_ns: int
    lock: str
    reply: Message


@define
class Failed:
    """There is no reply to ask `id` (0: to a frame that could not be read), and the connection goes on.

    `reason` is "unknown-kind" or "unknown-version" (not served; asking again is no use), "no-actor", "limit"
    (too many areas), "deadline" (not served in time), "restarting" or "storage" (not served now). None of them was
    served, but for "storage" nothing of it remains.
    """

    id: int
    reason: str
    detail: str


@define
class Ping:
    """Ask for a `Pong` with the same number, to hear that somebody is there."""

    number: int


@define
class Pong:
    """Answer a `Ping`."""

    number: int


@define
class Goodbye:
    """The last frame of its sender; `reason` is for people."""

    reason: str


@define
class Journaled:
    """A changing request that was carried out for a session, and the reply it got."""

    session: int
    sequence: int
    answered_below: int
    request: Message
    reply: Message


@define
class Kept:
    """A reply that its client may not have yet; of a session without one, sequence 0 with a `SessionOpened`."""

    session: int
    sequence: int
    answered_below: int
    reply: Message


@define
class Rebuilt:
    """A request of `Rebuildable.rebuild`: it makes a part of a machine's state again."""

    request: Message


Entry: TypeAlias = Journaled | Kept | Rebuilt
"""What a journal holds."""

Envelope: TypeAlias = Hello | Welcome | Ask | Answer | Failed | Ping | Pong | Goodbye | Entry
