"""Links: the client's end of the connection to one member, made again whenever it breaks.

What is under way when a connection breaks is settled without an outcome: nobody knows whether it was served, and
whoever asked asks again. While there is no connection, who asks waits for one.
"""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from actors.cluster.endpoint import Certificates, Endpoint, connect, is_refusal, reason_of, refused
from actors.cluster.server import BROKEN, PARTING_S, READ
from actors.supervision import Backoff, supervise
from actors.world import Address
from protocol.connection import ClientConnection, Ended, Limits, Welcomed
from protocol.envelopes import Answer, Failed, Hello
from protocol.errors import ProtocolError, VmapsimError
from protocol.sessions import Numbered

RECONNECT = Backoff(first_ns=10_000_000, longest_ns=500_000_000)
"""How soon a broken connection is tried again."""


class Posted(Protocol):
    """A request on its way over a link."""

    to: Address
    numbered: Numbered
    timeout_ns: int

    def is_wanted(self) -> bool:
        """Tell whether anybody still waits for the reply."""
        ...

    def settle(self, answer: Answer | Failed | None) -> None:
        """Take what became of it: the answer, word that there is none, nothing."""
        ...


class MemberRefused(VmapsimError):
    """A member is not what it was taken for, or will not have us."""

    def __init__(self, endpoint: Endpoint, reason: str) -> None:
        super().__init__(f"{endpoint}: {reason}")


class _Broken(Exception):
    """The connection is over, and another one may work."""


@asynccontextmanager
async def _in_order(stream: trio.abc.Stream) -> AsyncIterator[None]:
    """Close a stream with TLS's goodbye, also when cancelled: the server takes silence for a broken connection."""
    try:
        yield
    finally:
        with trio.move_on_after(PARTING_S, shield=True):
            await stream.aclose()


class Link:
    """The way to one member."""

    def __init__(
        self, endpoint: Endpoint, hello: Hello, certificates: Certificates | None, limits: Limits | None = None
    ) -> None:
        self.endpoint = endpoint
        self.breaks = 0
        """How often a connection was lost, or could not be made."""
        self.last_break = ""
        self.areas = 0
        """Most areas in one request, as the member has said."""
        self._hello = hello
        self._certificates = certificates
        self._limits = limits or Limits()
        self._connection: ClientConnection | None = None
        self._latest: ClientConnection | None = None
        self._stream: trio.abc.Stream | None = None
        self._asked: dict[int, Posted] = {}
        self._waiting: deque[Posted] = deque()
        self._output = trio.Event()
        self._output_set = False

    async def run(self, ready: Callable[[], None]) -> None:
        """Keep a connection until cancelled; `ready` is called when there is the first one.

        Raises `MemberRefused` when the member says that it is another one, `BadEndpoint` when the certificates
        will not do. A member that closes on ours, and does not say why, is one whose connection broke:
        `last_break` says at which point.
        """

        async def attempt() -> None:
            await self._run_once(ready)
            raise _Broken(self._closed())

        def failed(error: Exception, _pause_ns: int) -> None:
            if not isinstance(error, (_Broken, *BROKEN, ProtocolError)) or isinstance(error, VmapsimError):
                raise error
            self.breaks += 1
            self.last_break = reason_of(error)

        await supervise(attempt, RECONNECT, time.perf_counter_ns, lambda ns: trio.sleep(ns / 1e9), failed)

    def post(self, posted: Posted) -> None:
        """Send a request now, or as soon as there is a connection with room for it, if it is still wanted then."""
        if self._connection is not None and self._connection.has_room and not self._waiting:
            self._send(self._connection, posted)
        else:
            self._waiting.append(posted)

    def _send(self, connection: ClientConnection, posted: Posted) -> None:
        self._asked[connection.ask(posted.to, posted.numbered, posted.timeout_ns)] = posted
        if not self._output_set:
            self._output_set = True
            self._output.set()

    def _send_waiting(self, connection: ClientConnection) -> None:
        while self._waiting and connection.has_room:
            posted = self._waiting.popleft()
            if posted.is_wanted():
                self._send(connection, posted)

    # -- one connection -------------------------------------------------------------------------

    async def _run_once(self, ready: Callable[[], None]) -> None:
        stream = await connect(self.endpoint, self._certificates)
        connection = self._latest = ClientConnection(self._hello, self._limits)
        self._output = trio.Event()
        self._output.set()  # there is a hello to send
        self._output_set = True
        try:
            async with _in_order(stream), trio.open_nursery() as nursery:
                nursery.start_soon(self._write, stream, connection)
                nursery.start_soon(self._watch, connection, nursery.cancel_scope)
                await self._read(stream, connection, ready)
                nursery.cancel_scope.cancel()
        finally:
            self._connection = None
            asked, self._asked = self._asked, {}
            for posted in asked.values():
                posted.settle(None)

    def _closed(self) -> str:
        """Say what a connection that was made and is over tells."""
        if self._certificates is None or (self._latest is not None and self._latest.welcome is not None):
            return "connection closed"
        return "closed after the handshake, before a welcome: it may have refused this side's certificate"

    async def _read(self, stream: trio.abc.Stream, connection: ClientConnection, ready: Callable[[], None]) -> None:
        while True:
            try:
                data = await stream.receive_some(READ)
                events = connection.receive(data) if data else [Ended("connection closed")]
            except (*BROKEN, ProtocolError) as error:
                if connection.welcome is None and is_refusal(error):
                    raise refused(self.endpoint, error) from None
                return
            for event in events:
                if isinstance(event, Answer | Failed):
                    posted = self._asked.pop(event.id, None)
                    if posted is not None:
                        posted.settle(event)
                elif isinstance(event, Welcomed):
                    self._connection = connection
                    self.areas = event.welcome.areas
                    ready()
                elif connection.welcome is None and data:
                    raise MemberRefused(self.endpoint, event.reason)
                else:
                    return
            self._send_waiting(connection)
            if connection.unsent:
                self._output.set()

    async def _write(self, stream: trio.abc.Stream, connection: ClientConnection) -> None:
        try:
            while True:
                await self._output.wait()
                # Answers that come in within this turn of the loop cause asks that go with it.
                await trio.lowlevel.checkpoint()
                self._output = trio.Event()
                self._output_set = False
                while data := connection.take_output():
                    await stream.send_all(data)
        except BROKEN:
            return  # the reader notices, too

    async def _watch(self, connection: ClientConnection, scope: trio.CancelScope) -> None:
        while connection.tick(time.perf_counter_ns()):
            if connection.unsent:
                self._output.set()
            await trio.sleep(connection.limits.silence_ns / 2e9)
        scope.cancel()
