"""The server: accepts connections and passes what they ask to the actors of its host.

Two tasks a connection: one reads and hands requests over, one writes whatever answers there are, in one piece.
Neither waits for another connection's; an actor never waits for any. A connection that does not read its answers,
or has as many requests in flight as it may, is not read from until that changes.
"""

import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio

from actors.cluster.endpoint import Stream, reason_of
from actors.cluster.host import Delivery, Host, Log
from protocol.connection import Asked, Ended, Greeted, Limits, ServerConnection
from protocol.envelopes import Welcome
from protocol.errors import ProtocolError
from protocol.messages import Reply

READ: Final = 1 << 16
"""Most bytes taken from a socket at once."""

CONNECTIONS: Final = 64
"""Most connections at once, unless told otherwise."""

PARTING_S: Final = 1.0
"""How long a last word may take."""

BROKEN: Final = (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError, OSError)
"""What a peer can do to a stream."""


class Server:
    """Serves a host's actors to whoever connects."""

    def __init__(
        self, host: Host, welcome: Welcome, log: Log, limits: Limits | None = None, connections: int = CONNECTIONS
    ) -> None:
        """Serve what `welcome` says this member is; `connections` at once."""
        self._host = host
        self._welcome = welcome
        self._log = log
        self._limits = limits or Limits()
        self._most = connections
        self._open: set[Peer] = set()

    async def run(self, listeners: Sequence[trio.abc.Listener[Stream]]) -> None:
        """Accept connections until cancelled; those that are open then are told goodbye."""
        await trio.serve_listeners(self._serve, list(listeners))

    def statistics(self) -> dict[str, int]:
        """Give what is open and under way now."""
        return {
            "connections": len(self._open),
            "in_flight": sum(peer.connection.in_flight for peer in self._open),
            "unsent": sum(peer.connection.unsent for peer in self._open),
        }

    async def _serve(self, stream: Stream) -> None:
        connection = ServerConnection(self._welcome, self._limits)
        peer = Peer(stream, connection, self._host)
        if len(self._open) >= self._most:
            connection.say_goodbye(f"{self._most} connections already")
            self._log("connection refused", open=len(self._open))
            await peer.part()
            return
        self._open.add(peer)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.write)
                nursery.start_soon(peer.watch, nursery.cancel_scope)
                try:
                    await peer.read()
                except ProtocolError as error:
                    self._log("protocol error", error=str(error), frames=connection.frames_received)
                except BROKEN as error:
                    self._log("connection broken", error=reason_of(error))
                except trio.Cancelled:
                    connection.say_goodbye("shutting down" if peer.there else "silence")
                    raise
                nursery.cancel_scope.cancel()
        finally:
            self._open.discard(peer)
            await peer.part()


class Peer:
    """Whoever is at the other end of one connection: who asks, to the host's actors."""

    def __init__(self, stream: Stream, connection: ServerConnection, host: Host) -> None:
        self.connection = connection
        self.there = True
        self._sending = False
        self._reading = False
        self._output_set = False
        self._stream = stream
        self._host = host
        self._output = trio.Event()
        self._drained = trio.Event()

    # -- what actors call -----------------------------------------------------------------------

    def answer(self, ask_id: int, queue_ns: int, service_ns: int, lock: str, reply: Reply) -> None:
        """See `Asker.answer`."""
        self.connection.answer(ask_id, queue_ns, service_ns, lock, reply)
        self._wake_writer()

    def fail(self, ask_id: int, reason: str, detail: str) -> None:
        """See `Asker.fail`."""
        self.connection.fail(ask_id, reason, detail)
        self._wake_writer()

    def _wake_writer(self) -> None:
        if not self._output_set and not self._reading:
            self._output_set = True
            self._output.set()

    # -- its tasks ------------------------------------------------------------------------------

    async def read(self) -> None:
        """Take in requests until the client ends it. Raises ProtocolError, and what streams raise."""
        while True:
            while not self.connection.hungry:
                self._drained = trio.Event()
                await self._drained.wait()
            data = await self._stream.receive_some(READ)
            if not data:
                return
            events = self.connection.receive(data)
            now_ns = time.perf_counter_ns()
            self._reading = True
            try:
                for event in events:
                    if self.connection.unsent >= self.connection.limits.output:
                        await self._drain()  # who does not read is not served either
                    if isinstance(event, Asked):
                        await self._hand_over(event, now_ns)
                    elif isinstance(event, Ended):
                        return
                    else:
                        assert isinstance(event, Greeted), "an event that nobody handles"
            finally:
                self._reading = False
            if self.connection.unsent and not self._sending:
                await self._flush()  # what was answered at once; else the writer does it

    async def write(self) -> None:
        """Send what there is to send, as soon as there is something."""
        try:
            while True:
                await self._output.wait()
                self._output = trio.Event()
                self._output_set = False
                if not self._sending:
                    await self._flush()
                self._drained.set()
        except BROKEN:
            return  # the reader notices, too

    async def _flush(self) -> None:
        """Send all output there is; the other task leaves it to this one meanwhile."""
        self._sending = True
        while data := self.connection.take_output():
            await self._stream.send_all(data)
        self._sending = False
        self._drained.set()

    async def _drain(self) -> None:
        """Wait until all output is sent, by this task or the writer."""
        self._reading = False
        while self.connection.unsent:
            if self._sending:
                self._drained = trio.Event()
                await self._drained.wait()
            else:
                await self._flush()
        self._reading = True

    async def watch(self, scope: trio.CancelScope) -> None:
        """End the connection when its client is silent for too long."""
        while self.connection.tick(time.perf_counter_ns()):
            if self.connection.unsent:
                self._wake_writer()
            await trio.sleep(self.connection.limits.silence_ns / 2e9)
        self.there = False
        scope.cancel()

    async def part(self) -> None:
        """Send the last words, for as long as `PARTING_S` at most, and close; not after half a frame."""
        with trio.move_on_after(PARTING_S, shield=True):
            data = self.connection.take_output()
            if data and not self._sending:
                with suppress(*BROKEN):
                    await self._stream.send_all(data)
            await self._stream.aclose()

    async def _hand_over(self, asked: Asked, now_ns: int) -> None:
        actor = self._host.actors.get(asked.to)
        if actor is None:
            here = " ".join(self._host.actors)
            self.fail(asked.id, "no-actor", f"{asked.to} is not here; {here} are")
            return
        if not actor.has_room:
            self._reading = False  # what was answered so far need not wait
            self._wake_writer()
            await actor.wait_room()
            self._reading = True
        actor.deliver(Delivery(asked.id, asked.numbered, now_ns, asked.timeout_ns, self))
