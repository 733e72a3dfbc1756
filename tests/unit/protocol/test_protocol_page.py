"""docs/reference/protocol.md is true: its examples are what they say, and what the code would send."""

import re
from pathlib import Path

import pytest

from protocol import area, envelopes, messages
from protocol.codec import ENVELOPES, decode_envelope, encode_envelope
from protocol.connection import PROTOCOL, Asked, ServerConnection
from protocol.connection import Limits as ConnectionLimits
from protocol.envelopes import Goodbye, Hello, Welcome
from protocol.frames import HEADER_SIZE

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "protocol.md"
EXAMPLES = re.findall(r"```hex\n(.*)\n((?:[0-9a-f]+\n)+)```", PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("shown", "digits"), EXAMPLES, ids=[shown.partition("(")[0] for shown, _ in EXAMPLES])
def test_an_example_is_what_it_says(shown: str, digits: str) -> None:
    """The hex is decoded to the envelope that is written above it, and encoded to the same bytes."""
    frame = bytes.fromhex(digits)
    envelope = decode_envelope(frame[HEADER_SIZE:])
    assert int.from_bytes(frame[:HEADER_SIZE], "big") == len(frame) - HEADER_SIZE
    assert repr(envelope) == shown
    assert encode_envelope(envelope) == frame


def test_the_examples_show_every_envelope_of_a_connection() -> None:
    """All but those that are only in journals."""
    shown = {shown.partition("(")[0] for shown, _ in EXAMPLES}
    assert shown == {kind.__name__ for kind in ENVELOPES.values()} - {"Journaled", "Kept", "Rebuilt"}


def test_the_examples_are_a_conversation() -> None:
    """A server takes the client's part of it, in this order."""
    client = [bytes.fromhex(digits) for shown, digits in EXAMPLES if shown.startswith(("Hello", "Ask"))]
    actors = "node/0 node/1 free"
    server = ServerConnection(Welcome(PROTOCOL, 8, 65536, False, "", actors, 0, 0), ConnectionLimits())
    events = server.receive(b"".join(client))
    assert [event.id for event in events if isinstance(event, Asked)] == [1, 2, 3]
    assert isinstance(decode_envelope(server.take_output()[HEADER_SIZE:]), Welcome)


def test_names_on_the_page_are_names_in_the_code() -> None:
    """Every `Name` on the page is a kind; none was renamed without it."""
    names = set(re.findall(r"`([A-Z][A-Za-z]+)[`.]", PAGE.read_text(encoding="utf-8")))
    known = {name for module in (messages, envelopes, area) for name in vars(module)}
    assert names - known == set()
    assert {Hello.__name__, Goodbye.__name__} <= names
