"""The connection protocol, two ends joined by hand: what is said, what is refused, what is bounded."""

from typing import Any

import pytest
from attrs import evolve

from protocol.area import VmapArea
from protocol.codec import encode, encode_envelope
from protocol.connection import (
    PROTOCOL,
    Asked,
    ClientConnection,
    Ended,
    Greeted,
    Limits,
    ServerConnection,
    Welcomed,
)
from protocol.envelopes import Answer, Ask, Failed, Goodbye, Hello, Ping, Welcome
from protocol.errors import ProtocolError
from protocol.frames import HEADER_SIZE, VERSION
from protocol.messages import Find, InsertBatch, ListAreas, NotFound
from protocol.sessions import Numbered

HELLO = Hello(PROTOCOL, 8, 65536, one_lock=False, rules="", actors="node/0 node/1")
WELCOME = Welcome(
    PROTOCOL, 8, 65536, one_lock=False, rules="pools=true", actors="node/0 node/1 free", asks=0, areas=0
)
FIND = Numbered(0, 0, 0, Find(0, 4096))
LIMITS = Limits(asks=4, areas=8, output=200, silence_ns=100)


def ends(limits: Limits = LIMITS) -> tuple[ClientConnection, ServerConnection]:
    """Make both ends, after the hello."""
    client, server = ClientConnection(HELLO, limits), ServerConnection(WELCOME, limits)
    assert server.receive(client.take_output()) == [Greeted(HELLO)]
    assert client.receive(server.take_output()) == [Welcomed(evolve(WELCOME, asks=limits.asks, areas=limits.areas))]
    return client, server


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(HEADER_SIZE, "big") + payload


def test_many_asks_are_answered_in_any_order() -> None:
    """What is asked before output is taken leaves in one piece, and each answer comes with its id."""
    client, server = ends()
    ids = [client.ask("node/1", FIND, 10 * n) for n in range(1, 4)]
    asked = server.receive(client.take_output())
    assert asked == [Asked(ask_id, "node/1", 10 * n, FIND) for n, ask_id in enumerate(ids, start=1)]
    for ask_id in reversed(ids):
        server.answer(ask_id, 1, 2, "busy/1", NotFound())
    assert client.receive(server.take_output()) == [
        Answer(ask_id, 1, 2, "busy/1", NotFound()) for ask_id in reversed(ids)
    ]
    assert (client.in_flight, server.in_flight) == (0, 0)


def test_bytes_may_be_cut_anywhere() -> None:
    """One byte at a time gives the same events."""
    client, server = ends()
    client.ask("node/0", FIND, 5)
    events = [event for byte in client.take_output() for event in server.receive(bytes([byte]))]
    assert events == [Asked(1, "node/0", 5, FIND)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"nr_nodes": 4}, "nr_nodes is 8 here, 4 was asked for"),
        ({"zone_size": 4096}, "zone_size is 65536 here, 4096 was asked for"),
        ({"version": 2}, "version is 1 here, 2 was asked for"),
        ({"rules": "pools=false"}, "rules are pools=true here, pools=false was asked for"),
        ({"one_lock": True}, "one_lock is False here, True was asked for"),
        ({"actors": "node/1 node/7"}, "actors here are node/0 node/1 free, node/7 was asked for"),
    ],
)
def test_a_hello_to_somebody_else_is_refused_with_both_values(change: dict[str, Any], told: str) -> None:
    """The server ends the connection, and the client is told why."""
    client, server = ClientConnection(evolve(HELLO, **change), LIMITS), ServerConnection(WELCOME, LIMITS)
    with pytest.raises(ProtocolError, match=told):
        server.receive(client.take_output())
    assert client.receive(server.take_output()) == [Ended(f"protocol error: {told}")]


def test_an_unknown_kind_gets_an_error_and_the_connection_goes_on() -> None:
    """Both an unknown envelope and an unknown request within an ask; the latter with its id."""
    client, server = ends()
    unknown_request = bytearray(encode_envelope(Ask(9, "node/0", 1, 0, 0, 0, Find(1, 2))))
    unknown_request[unknown_request.index(b"\x93\x01\x01\x02") + 1] = 50
    nonsense = framed(bytes([VERSION]) + b"\x92\x6f\x01")
    assert server.receive(nonsense + bytes(unknown_request)) == []
    client._unanswered.add(9)  # as if it had asked
    assert client.receive(server.take_output()) == [
        Failed(0, "unknown-kind", "unknown kind 111"),
        Failed(9, "unknown-kind", "unknown kind 50"),
    ]
    client.ask("node/0", FIND, 1)
    assert len(server.receive(client.take_output())) == 1


def test_an_unknown_version_gets_an_error_and_the_connection_goes_on() -> None:
    """The frame's length is still to be trusted, so the next frame is where it should be."""
    client, server = ends()
    assert server.receive(framed(b"\x07\x93\x01\x02\x03")) == []
    told = "unknown wire version 7, known is 1"
    assert client.receive(server.take_output()) == [Failed(0, "unknown-version", told)]
    client.ask("node/0", FIND, 1)
    assert len(server.receive(client.take_output())) == 1


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "oversized frame"),
        (b"\0\0\0\0", "empty frame"),
        (framed(bytes([VERSION]) + b"\xc0"), "expected an array"),
        (encode(Find(1, 2)), ""),
        (encode_envelope(HELLO), "Hello after the hello"),
        (encode_envelope(Answer(1, 1, 1, "", NotFound())), "Answer after the hello"),
        (encode_envelope(Ask(0, "node/0", 1, 0, 0, 0, Find(1, 2))), "ask id 0 is in use"),
        (encode_envelope(Ask(1, "node/0", 1, 0, 0, 0, NotFound())), "NotFound is not a request"),
        (encode_envelope(Ask(1, "node/0", 1, 0, 0, 0, Find(1, 2))) * 2, "ask id 1 is in use"),
        (b"".join(encode_envelope(Ask(n, "a", 1, 0, 0, 0, Find(1, 2))) for n in range(1, 6)), "more than 4 asks"),
    ],
)
def test_garbage_ends_the_connection_with_a_last_word(data: bytes, told: str) -> None:
    """A stream, a frame or an ask that nobody means raises, and leaves a goodbye; a bare message is no envelope."""
    client, server = ends()
    if not told:
        assert server.receive(data) == []
        assert client.receive(server.take_output()) == [Failed(0, "unknown-kind", "unknown kind 1")]
        return
    with pytest.raises(ProtocolError, match=told):
        server.receive(data)
    client._unanswered.update(range(1, 6))
    assert isinstance(client.receive(server.take_output())[-1], Ended)


def test_nothing_is_asked_before_the_hello() -> None:
    """An ask as the first frame ends the connection."""
    server = ServerConnection(WELCOME, LIMITS)
    with pytest.raises(ProtocolError, match="Ask before the hello"):
        server.receive(encode_envelope(Ask(1, "node/0", 1, 0, 0, 0, Find(1, 2))))


@pytest.mark.parametrize("request_", [InsertBatch(tuple(VmapArea(n, n + 1) for n in range(9))), ListAreas(0, 0, 9)])
def test_requests_for_too_many_areas_are_not_served(request_: InsertBatch | ListAreas) -> None:
    """Nine are more than the eight that this server allows, held or asked for; the connection goes on."""
    client, server = ends()
    ask_id = client.ask("node/0", Numbered(0, 0, 0, request_), 1)
    assert server.receive(client.take_output()) == []
    (failed,) = client.receive(server.take_output())
    assert failed == Failed(ask_id, "limit", "9 areas in a request, at most 8")


def test_a_server_is_not_hungry_while_too_much_is_in_flight() -> None:
    """At its limit of asks it wants no more; answers that nobody takes are as good as unanswered."""
    client, server = ends()
    for _ in range(4):
        client.ask("node/0", FIND, 1)
    assert not client.has_room
    asked = [event for event in server.receive(client.take_output()) if isinstance(event, Asked)]
    assert not server.hungry
    for event in asked:
        server.answer(event.id, 1, 1, "busy/0" * 10, NotFound())
    assert server.in_flight == 0
    assert not server.hungry
    server.take_output()
    assert server.hungry


def test_a_silent_peer_is_pinged_and_given_up() -> None:
    """After its silence it is asked, after thrice that it is gone; anything it says starts over."""
    client, server = ends()
    assert server.tick(0)
    assert server.tick(99)
    assert server.take_output() == b""
    assert server.tick(100)
    ping = server.take_output()
    assert ping
    assert server.tick(250)
    assert server.take_output() == b""
    assert not server.tick(300)
    client.receive(ping)
    server.receive(client.take_output())
    assert server.tick(301)
    assert server.tick(400)


def test_goodbye_is_an_event_and_pings_are_answered() -> None:
    """A client that says goodbye has ended; a ping is answered without anybody being told."""
    client, server = ends()
    assert server.receive(encode_envelope(Ping(7))) == []
    assert client.receive(server.take_output()) == []
    assert server.receive(encode_envelope(Goodbye("done"))) == [Ended("done")]
