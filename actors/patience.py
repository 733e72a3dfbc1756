"""Patience: how a client asks where messages get lost, the same in every world.

`patient` wraps a script: its calls become numbered requests in a session with each address, and *attempts* at
them, again and again until there is a reply or the deadline is over. What an attempt is, a frame on a socket or two
events of virtual time, is the world's business; that a request is carried out once is that of the session.
"""

from collections.abc import Generator, Sequence
from types import coroutine
from typing import Any, Final

from attrs import frozen

from actors.errors import NoAnswer, NotServed
from actors.world import Address, Attempts, Call, Command, Outcome, Port, Script
from protocol.envelopes import Failed
from protocol.messages import Refused, Reply, SessionOpened
from protocol.sessions import NO_SESSION, OPEN, READING, ClientSession, Numbered

HOPELESS: Final = frozenset({"unknown-kind", "unknown-version", "limit"})
"""Reasons not to serve a request that asking again does not change."""

LONGEST: Final = 16
"""An attempt waits at most this many times as long as the first one."""


@frozen
class Patience:
    """How long a client waits: for one attempt at first (it doubles), and for a call in all."""

    timeout_ns: int
    deadline_ns: int


def patient(script: Script, patience: Patience) -> Script:
    """Give `script` for worlds in which messages get lost.

    Its calls raise `NoAnswer` where there was no reply by the deadline: the request may have been served, and will
    not be from the time on at which its client's next request arrives there.
    """
    return lambda port: _Patient(port, patience).run(script)


class _Patient:
    """Stands between one script and its world."""

    def __init__(self, port: Port, patience: Patience) -> None:
        self._port = port
        self._patience = patience
        self._sessions: dict[Address, ClientSession] = {}

    @coroutine
    def run(self, asked: Script) -> Generator[Command, Any, None]:
        """Run a script to its end, making attempts of its calls; one that is closed before it began never is."""
        script = asked(self._port)
        answer: Any = None
        error: Exception | None = None
        try:
            while True:
                try:
                    command = script.send(answer) if error is None else script.throw(error)
                except StopIteration:
                    return
                error = None
                try:
                    if isinstance(command, tuple):
                        (answer,) = yield from self._call_all((command,))
                    elif isinstance(command, list):
                        answer = yield from self._call_all(command)
                    else:
                        answer = yield command
                except Exception as raised:  # whatever the world raises belongs to the script
                    error = raised
        finally:
            script.close()

    def _call_all(self, calls: Sequence[Call]) -> Generator[Command, Any, list[Reply]]:
        """Ask until all replies are there; requests that are given up count as settled."""
        deadline_ns = self._port.now_ns + self._patience.deadline_ns
        asked = []
        try:
            for to, request in calls:
                if type(request) in READING:
                    asked.append((to, Numbered(NO_SESSION, 0, 0, request)))
                else:
                    session = self._sessions.get(to) or (yield from self._open(to, deadline_ns))
                    asked.append((to, session.ask(request)))
            return (yield from self._insist(asked, deadline_ns))
        finally:
            for to, numbered in asked:
                if numbered.session != NO_SESSION and (mine := self._sessions.get(to)) is not None:
                    mine.settle(numbered)

    def _open(self, to: Address, deadline_ns: int) -> Generator[Command, Any, ClientSession]:
        (reply,) = yield from self._insist([(to, OPEN)], deadline_ns)
        assert isinstance(reply, SessionOpened), f"{to} opened no session: {reply}"
        session = self._sessions[to] = ClientSession(reply.session)
        return session

    def _insist(
        self, asked: Sequence[tuple[Address, Numbered]], deadline_ns: int
    ) -> Generator[Command, Any, list[Reply]]:
        """Make attempts at all, then at those that got no reply, until there is none of these."""
        replies: list[Any] = [None] * len(asked)
        missing: Sequence[int] = range(len(asked))
        timeout_ns, last = self._patience.timeout_ns, ""
        most_ns = timeout_ns * LONGEST
        attempts = 0
        while True:
            left_ns = deadline_ns - self._port.now_ns
            if left_ns <= 0:
                to, numbered = asked[missing[0]]
                raise NoAnswer(to, numbered.request, attempts, self._patience.deadline_ns, last)
            attempts += 1
            wait_ns = min(timeout_ns, left_ns)
            outcomes: list[Outcome] = yield Attempts([asked[index] for index in missing], wait_ns)
            unserved = None
            for index, outcome in zip(missing, outcomes, strict=True):
                if isinstance(outcome, Failed):
                    unserved, last = outcome, _told(asked[index][0], outcome)
                elif outcome is not None:
                    replies[index] = self._accept(asked[index][0], outcome)
            missing = [index for index in missing if replies[index] is None]
            if not missing:
                return replies
            if unserved is not None:
                yield max(1, min(timeout_ns, deadline_ns - self._port.now_ns))
            timeout_ns = min(2 * timeout_ns, most_ns)

    def _accept(self, to: Address, reply: Reply) -> Reply:
        """Take a reply; a session that has ended is left, so that the next call opens another."""
        if isinstance(reply, Refused) and reply.reason == "unknown-session":
            self._sessions.pop(to, None)
            raise NotServed(to, reply.reason, reply.detail)
        return reply


def _told(to: Address, failed: Failed) -> str:
    """Say why a request was not served; raises `NotServed` when it never will be."""
    if failed.reason in HOPELESS:
        raise NotServed(to, failed.reason, failed.detail)
    return f"{failed.reason}: {failed.detail}"
