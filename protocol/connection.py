"""The connection protocol: two state machines, bytes in, events and bytes out. No socket, no clock.

    client                                server
      │ Hello  ──────────────────────────▶  │   what the member is taken to be
      │ ◀──────────────────────  Welcome    │   or Goodbye, with both values
      │ Ask 1, Ask 2, Ask 3  ────────────▶  │   many at once, up to `Welcome.asks`
      │ ◀───────────  Answer 2, Answer 1    │   in any order
      │ Ping ───────────▶    ◀──────  Pong  │   either side, when it has heard nothing
      │ Goodbye ────────▶                   │   the last frame of its sender

A shell feeds what its socket receives to `receive` and acts on the events, sends what `take_output` gives, and
calls `tick` now and then with the time. Everything that is said between two calls of `take_output` leaves as one
piece: frames are small, and there are many.

What a peer sends is of three kinds. Frames that a later version may have meant something by (an unknown kind or
wire version) are answered with `Failed`, and the connection goes on. Frames that nobody means (garbage, an `Ask`
before the hello, an id used twice) raise ProtocolError: the connection is over, its last output says why. All else
is an event. Output is bounded by what is in flight: a server that holds `Limits.output` unsent bytes, or as many
asks as it allows, is not `hungry`, and its shell does not read.
"""

from collections.abc import Callable
from typing import TypeAlias

from attrs import define, evolve, fields_dict, frozen

from protocol.codec import decode_envelope, encode_envelope
from protocol.envelopes import Answer, Ask, Envelope, Failed, Goodbye, Hello, Ping, Pong, Welcome
from protocol.errors import ProtocolError, UnknownKind
from protocol.frames import MAX_FRAME, FrameSplitter
from protocol.messages import LIST_MOST, REPLIES, REQUESTS, Message, Reply
from protocol.sessions import Numbered

PROTOCOL: int = 1
"""The version of what is said here; the frames' own is `frames.VERSION`."""


@frozen
class Limits:
    """What one connection may take up."""

    asks: int = 256
    """Unanswered asks."""
    areas: int = 4096
    """Areas in one request, or in the reply that it asks for: what one hold of a lock should cover."""
    output: int = 1 << 18
    """Unsent bytes at which no more is read."""
    frame: int = MAX_FRAME
    """Bytes of a frame after its length."""
    silence_ns: int = 5_000_000_000
    """How long a peer may say nothing before it is asked whether it is there; thrice that, and it is not."""


# -- events ---------------------------------------------------------------------------------------


@define
class Greeted:
    """The client said hello, and was welcomed."""

    hello: Hello


@define
class Asked:
    """The client asks something; it must be answered, by `answer` or `fail`."""

    id: int
    to: str
    timeout_ns: int
    numbered: Numbered


@define
class Welcomed:
    """The server is who it was taken for; asks are taken from now on."""

    welcome: Welcome


@define
class Ended:
    """The peer said goodbye."""

    reason: str


ServerEvent: TypeAlias = Greeted | Asked | Ended
ClientEvent: TypeAlias = Welcomed | Answer | Failed | Ended


class _Connection:
    """What both ends do: frames, output, silence."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._splitter = FrameSplitter(limits.frame)
        self._output: list[bytes] = []
        self.unsent = 0
        """Bytes of output that have not been taken."""
        self.frames_received = 0
        self.frames_sent = 0
        self._heard = True
        self._heard_at_ns: int | None = None
        self._pinged = False

    def take_output(self) -> bytes:
        """Give all that is to be sent, in one piece; empty if there is nothing."""
        output = b"".join(self._output)
        self._output.clear()
        self.unsent = 0
        return output

    def tick(self, now_ns: int) -> bool:
        """Tell the time; gives whether the peer is still there.

        A peer that has been silent for `Limits.silence_ns` is pinged, one that stays so for twice that again is not
        there any more.
        """
        if self._heard or self._heard_at_ns is None:
            self._heard, self._heard_at_ns, self._pinged = False, now_ns, False
            return True
        silent_ns = now_ns - self._heard_at_ns
        if silent_ns >= self.limits.silence_ns and not self._pinged:
            self._pinged = True
            self._send(Ping(self.frames_sent))
        return silent_ns < 3 * self.limits.silence_ns

    def say_goodbye(self, reason: str) -> None:
        """Let `reason` be the last frame."""
        self._send(Goodbye(reason))

    def _send(self, envelope: Envelope) -> None:
        frame = encode_envelope(envelope)
        self._output.append(frame)
        self.unsent += len(frame)
        self.frames_sent += 1

    def _take(self, data: bytes | bytearray, take: Callable[[Envelope], None]) -> None:
        """Read frames and hand each to `take`; what is unknown is answered, what is senseless raises."""
        self._heard = True
        try:
            self._splitter.feed(data)
            for payload in self._splitter.payloads():
                self.frames_received += 1
                try:
                    take(decode_envelope(payload))
                except UnknownKind as unknown:
                    reason = "unknown-version" if "version" in str(unknown) else "unknown-kind"
                    self._send(Failed(unknown.ask_id, reason, str(unknown)))
        except ProtocolError as error:
            self.say_goodbye(f"protocol error: {error}")
            raise


class ServerConnection(_Connection):
    """The server's end of one connection."""

    def __init__(self, welcome: Welcome, limits: Limits) -> None:
        """Make the end of a member that is what `welcome` says."""
        super().__init__(limits)
        self._welcome = evolve(welcome, asks=limits.asks, areas=limits.areas)
        self._greeted = False
        self._events: list[ServerEvent] = []
        self._unanswered: set[int] = set()

    @property
    def in_flight(self) -> int:
        """Asks that have not been answered."""
        return len(self._unanswered)

    @property
    def hungry(self) -> bool:
        """Whether there is room for what the client may send next."""
        return len(self._unanswered) < self.limits.asks and self.unsent < self.limits.output

    def receive(self, data: bytes | bytearray) -> list[ServerEvent]:
        """Take what came from the client and give what that means.

        Raises ProtocolError when the client makes no sense; events before that are lost with the connection.
        """
        self._events = []
        self._take(data, self._on)
        return self._events

    def answer(self, ask_id: int, queue_ns: int, service_ns: int, lock: str, reply: Reply) -> None:
        """Send the reply to an ask; it must be awaiting one."""
        self._unanswered.remove(ask_id)
        self._send(Answer(ask_id, queue_ns, service_ns, lock, reply))

    def fail(self, ask_id: int, reason: str, detail: str) -> None:
        """Say that an ask is not served; it must be awaiting an answer."""
        self._unanswered.remove(ask_id)
        self._send(Failed(ask_id, reason, detail))

    def _on(self, envelope: Envelope) -> None:
        match envelope:
            case Ask() if self._greeted:
                self._on_ask(envelope)
            case Ping():
                self._send(Pong(envelope.number))
            case Pong():
                pass
            case Hello() if not self._greeted:
                self._on_hello(envelope)
            case Goodbye():
                self._events.append(Ended(envelope.reason))
            case _:
                when = "after" if self._greeted else "before"
                raise ProtocolError(f"{type(envelope).__name__} {when} the hello")

    def _on_hello(self, hello: Hello) -> None:
        for name in ("version", "nr_nodes", "zone_size", "one_lock"):
            asked, mine = getattr(hello, name), getattr(self._welcome, name)
            if asked != mine:
                raise ProtocolError(f"{name} is {mine} here, {asked} was asked for")
        if hello.rules not in ("", self._welcome.rules):
            raise ProtocolError(f"rules are {self._welcome.rules} here, {hello.rules} was asked for")
        here = self._welcome.actors.split()
        missing = [actor for actor in hello.actors.split() if actor not in here]
        if missing:
            raise ProtocolError(f"actors here are {self._welcome.actors}, {' '.join(missing)} was asked for")
        self._greeted = True
        self._send(self._welcome)
        self._events.append(Greeted(hello))

    def _on_ask(self, ask: Ask) -> None:
        if ask.id in self._unanswered or ask.id == 0:
            raise ProtocolError(f"ask id {ask.id} is in use")
        if len(self._unanswered) >= self.limits.asks:
            raise ProtocolError(f"more than {self.limits.asks} asks at once, the welcome's limit")
        self._unanswered.add(ask.id)
        areas = areas_of(ask.request)
        if areas > self.limits.areas:
            self.fail(ask.id, "limit", f"{areas} areas in a request, at most {self.limits.areas}")
            return
        request = ask.request
        if not isinstance(request, REQUESTS):
            raise ProtocolError(f"{type(request).__name__} is not a request")
        numbered = Numbered(ask.session, ask.sequence, ask.answered_below, request)
        self._events.append(Asked(ask.id, ask.to, ask.timeout_ns, numbered))


class ClientConnection(_Connection):
    """The client's end of one connection."""

    def __init__(self, hello: Hello, limits: Limits) -> None:
        """Begin a connection by saying hello."""
        super().__init__(limits)
        self.welcome: Welcome | None = None
        self._events: list[ClientEvent] = []
        self._last_id = 0
        self._unanswered: set[int] = set()
        self._send(hello)

    @property
    def in_flight(self) -> int:
        """Asks that have not been answered."""
        return len(self._unanswered)

    @property
    def has_room(self) -> bool:
        """Whether an ask may be made now: there was a welcome, and fewer are unanswered than it allows."""
        return self.welcome is not None and len(self._unanswered) < self.welcome.asks

    def ask(self, to: str, numbered: Numbered, timeout_ns: int) -> int:
        """Ask an actor; gives the id that the answer will have. There must be room.

        Raises ProtocolError when the request cannot go over the wire.
        """
        assert self.has_room, "asked before the welcome, or too many at once"
        ask_id = self._last_id + 1
        sequence, below = numbered.sequence, numbered.answered_below
        self._send(Ask(ask_id, to, timeout_ns, numbered.session, sequence, below, numbered.request))
        self._last_id = ask_id
        self._unanswered.add(ask_id)
        return ask_id

    def receive(self, data: bytes | bytearray) -> list[ClientEvent]:
        """Take what came from the server and give what that means.

        Raises ProtocolError when the server makes no sense; events before that are lost with the connection.
        """
        self._events = []
        self._take(data, self._on)
        return self._events

    def _on(self, envelope: Envelope) -> None:
        match envelope:
            case Answer() | Failed() if self.welcome is not None:
                if envelope.id in self._unanswered:
                    self._unanswered.remove(envelope.id)
                elif envelope.id != 0 or isinstance(envelope, Answer):
                    raise ProtocolError(f"an answer to {envelope.id}, which was not asked")
                if isinstance(envelope, Answer) and not isinstance(envelope.reply, REPLIES):
                    raise ProtocolError(f"{type(envelope.reply).__name__} is not a reply")
                self._events.append(envelope)
            case Ping():
                self._send(Pong(envelope.number))
            case Pong():
                pass
            case Welcome() if self.welcome is None:
                self.welcome = envelope
                self._events.append(Welcomed(envelope))
            case Failed() if self.welcome is None:
                self._events.append(Ended(f"{envelope.reason}: {envelope.detail}"))
            case Goodbye():
                self._events.append(Ended(envelope.reason))
            case _:
                raise ProtocolError(f"{type(envelope).__name__} from a server")


def areas_of(request: Message) -> int:
    """Count the areas that a request holds, or may get for an answer."""
    for several in ("areas", "offsets"):
        areas = getattr(request, several, None)
        if isinstance(areas, tuple):
            return len(areas)
    if "limit" in fields_dict(type(request)):
        return min(int(getattr(request, "limit")), LIST_MOST)  # noqa: B009 (some kinds have one)
    return 1
