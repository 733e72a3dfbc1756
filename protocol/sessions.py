"""Sessions: a request is carried out once, however often it arrives.

A client opens a session with each actor that it asks, and numbers its requests in it. It sends a request again,
with the same number, when no reply came in time; the actor's half of the session keeps the replies to changing
requests and gives them again instead of serving twice (as RIFL does: Lee et al., SOSP 2015).

What bounds it: with each request the client says below which number it waits for nothing any more, so
replies to those are forgotten, and what arrives with such a number, late, is refused. At most `WINDOW` requests of
a session are unanswered at once. An actor keeps `SESSIONS` sessions; opening one more ends the one that has been
unused for longest, and requests in a session that is not there are refused. Session numbers are given once: a
request can be refused, but never served a second time.

Lookups change nothing: they are served whenever they arrive, their replies are not kept.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, cast

from attrs import define, field

from protocol.envelopes import Entry, Journaled, Kept, Rebuilt
from protocol.machine import Machine, Rebuildable
from protocol.messages import (
    CountPools,
    Find,
    FindExceed,
    FindRange,
    GetFreeStatistics,
    GetStatistics,
    ListAreas,
    ListFree,
    ListLazy,
    ListMoved,
    ListPools,
    OpenSession,
    ReadLazyPages,
    Refused,
    Reply,
    Request,
    SessionOpened,
    TryFind,
)
from protocol.work import Work

READING: Final = frozenset(
    {
        Find,
        FindExceed,
        FindRange,
        TryFind,
        ListAreas,
        GetStatistics,
        CountPools,
        ListLazy,
        ListMoved,
        ListPools,
        GetFreeStatistics,
        ListFree,
        ReadLazyPages,
    }
)
"""Requests that change nothing; a kind that is not named here is taken to change something."""

WINDOW: Final = 256
"""Most requests of a session that its client waits for at once."""

SESSIONS: Final = 1024
"""Most sessions that an actor keeps."""

NO_SESSION: Final = 0
"""Where requests belong that are part of no session: `OpenSession` and lookups."""


@define
class Numbered:
    """A request as the one it is: number `sequence` of `session`.

    The client waits for no reply below `answered_below` any more.
    """

    session: int
    sequence: int
    answered_below: int
    request: Request


OPEN: Final = Numbered(NO_SESSION, 0, 0, OpenSession())
"""Asks for a session. One that is opened twice by mistake is never used."""


class ClientSession:
    """The client's half of a session."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._next = 1
        self._awaited: dict[int, None] = {}

    def ask(self, request: Request) -> Numbered:
        """Give `request` its number; it is awaited until `settle`."""
        assert len(self._awaited) < WINDOW, "more requests at once than a session's window"
        sequence = self._next
        self._next += 1
        self._awaited[sequence] = None
        return Numbered(self.number, sequence, next(iter(self._awaited)), request)

    def settle(self, numbered: Numbered) -> None:
        """Wait for `numbered` no more: its reply is there, or it is given up and will not be served from now on."""
        self._awaited.pop(numbered.sequence, None)


@define(eq=False)
class _Session:
    """The actor's half: replies that the client may not have yet, by sequence."""

    answered_below: int = 0
    kept: dict[int, Reply] = field(factory=dict)

    def forget_below(self, sequence: int) -> None:
        if sequence > self.answered_below:
            self.answered_below = sequence
            for number in [number for number in self.kept if number < sequence]:
                del self.kept[number]


class SessionMachine:
    """A machine behind sessions: takes `Numbered` requests, serves each changing one once.

    `once=False` serves everything that arrives: what a protocol without request ids would do.
    """

    def __init__(self, machine: Machine, name: str, *, once: bool = True, most: int = SESSIONS) -> None:
        self.machine = machine
        self.journal: Callable[[Journaled], None] | None = None
        """Told of every request that may have changed something, with its reply."""
        self._once = once
        self._most = most
        self._sessions: dict[int, _Session] = {}  # the longest unused first
        self._opened = 0
        self._work = Work(f"sessions/{name}", 0, 1)

    def handle(self, numbered: Numbered) -> tuple[Reply, Work]:
        """Serve one request, or give the reply that it was given before."""
        request = numbered.request
        if type(request) in READING:
            return self.machine.handle(request)
        if isinstance(request, OpenSession):
            return self._open(numbered), self._work
        if not self._once:
            return self.machine.handle(request)
        session = self._sessions.pop(numbered.session, None)
        if session is None:
            return Refused("unknown-session", f"{numbered.session} was never opened, or ended"), self._work
        self._sessions[numbered.session] = session
        session.forget_below(numbered.answered_below)
        kept = session.kept.get(numbered.sequence)
        if kept is not None:
            return kept, self._work
        if refused := _out_of_window(session, numbered.sequence):
            return refused, self._work
        reply, work = self.machine.handle(request)
        session.kept[numbered.sequence] = reply
        self._note(numbered, reply)
        return reply, work

    def _open(self, numbered: Numbered) -> Reply:
        reply = SessionOpened(self._opened + 1)
        self._add(reply.session)
        self._note(numbered, reply)
        return reply

    def _add(self, number: int) -> _Session:
        self._opened = max(self._opened, number)
        session = self._sessions[number] = _Session()
        if len(self._sessions) > self._most:
            del self._sessions[next(iter(self._sessions))]
        return session

    def _note(self, numbered: Numbered, reply: Reply) -> None:
        if self.journal is not None:
            self.journal(
                Journaled(numbered.session, numbered.sequence, numbered.answered_below, numbered.request, reply)
            )

    # -- made again from a journal --------------------------------------------------------------

    def replay(self, entries: Iterable[Entry]) -> None:
        """Take over what a machine like this has journaled, from its beginning or its last `rebuild` on.

        Asserts that requests are answered as they were: machines are functions of what they were asked.
        """
        for entry in entries:
            if isinstance(entry, Kept):
                self._keep(entry)
            elif isinstance(entry, Rebuilt):
                made, _work = self.machine.handle(entry.request)
                assert not isinstance(made, Refused), f"{entry.request} of a rebuild was refused: {made}"
            elif isinstance(entry.request, OpenSession):
                assert isinstance(entry.reply, SessionOpened), "a session was opened with another reply"
                self._add(entry.reply.session)
            else:
                reply, _work = self.machine.handle(entry.request)
                assert reply == entry.reply, f"{entry.request} was answered {entry.reply}, and now {reply}"
                self._replayed(entry, reply)

    def rebuild(self) -> Iterator[Entry] | None:
        """Give what replays to this machine's state, shorter than its journal; None if there is no shorter way."""
        requests = self.machine.rebuild() if isinstance(self.machine, Rebuildable) else None
        return None if requests is None else self._rebuild(requests)

    def _rebuild(self, requests: Iterable[Request]) -> Iterator[Entry]:
        yield Kept(NO_SESSION, 0, 0, SessionOpened(self._opened))
        for number, session in self._sessions.items():
            yield Kept(number, 0, session.answered_below, SessionOpened(number))
            for sequence, reply in session.kept.items():
                yield Kept(number, sequence, session.answered_below, reply)
        for request in requests:
            yield Rebuilt(request)

    def _keep(self, kept: Kept) -> None:
        if kept.session == NO_SESSION:
            assert isinstance(kept.reply, SessionOpened), "not the number of the last session"
            self._opened = kept.reply.session
        elif kept.sequence == 0:
            self._add(kept.session).answered_below = kept.answered_below
        else:
            self._sessions[kept.session].kept[kept.sequence] = cast(Reply, kept.reply)

    def _replayed(self, entry: Journaled, reply: Reply) -> None:
        session = self._sessions.pop(entry.session, None)
        if session is not None:
            self._sessions[entry.session] = session
            session.forget_below(entry.answered_below)
            session.kept[entry.sequence] = reply


def _out_of_window(session: _Session, sequence: int) -> Refused | None:
    if sequence < session.answered_below:
        return Refused("late", f"{sequence} came after {session.answered_below} was the first awaited")
    if sequence >= session.answered_below + WINDOW:
        return Refused("window", f"{sequence} is {WINDOW} or more above {session.answered_below}")
    return None
