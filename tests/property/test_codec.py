"""The codec against arbitrary messages, arbitrary bytes and arbitrary cuts of a stream."""

from itertools import pairwise
from typing import get_type_hints

from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st
from msgpack import packb

from protocol.area import ULONG_MAX, VmapArea, VmStruct
from protocol.codec import KINDS, decode, encode, read_payload
from protocol.errors import ProtocolError
from protocol.frames import HEADER_SIZE, VERSION, FrameSplitter
from protocol.messages import Message

ints = st.integers(0, ULONG_MAX) | st.integers(0, 300)
vms = st.builds(VmStruct, ints, st.text(), ints, ints, ints)
ranges = st.lists(ints, min_size=2, max_size=2, unique=True).map(sorted)
areas = st.builds(
    lambda ends, flags, vm: VmapArea(ends[0], ends[1], flags, vm), ranges, st.just(0) | ints, st.none() | vms
)
BY_TYPE: dict[object, st.SearchStrategy[object]] = {
    int: ints,
    bool: st.booleans(),
    str: st.text(),
    VmapArea: areas,
    VmStruct: vms,
    tuple[int, ...]: st.lists(ints, max_size=20).map(tuple),
    tuple[tuple[int, int], ...]: st.lists(st.tuples(ints, ints), max_size=20).map(tuple),
    tuple[VmapArea, ...]: st.lists(areas, max_size=20).map(tuple),
}


def instances(cls: type[Message]) -> st.SearchStrategy[Message]:
    """Make messages of one class from the types of its fields."""
    return st.builds(cls, **{name: BY_TYPE[hint] for name, hint in get_type_hints(cls).items()})


messages = st.sampled_from(list(KINDS.values())).flatmap(instances)
scalars = st.none() | st.booleans() | ints | st.integers(-(2**63), -1) | st.floats() | st.text() | st.binary()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=10
)


def framed(payload: bytes) -> bytes:
    """Put the right length before `payload`."""
    return len(payload).to_bytes(HEADER_SIZE, "big") + payload


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Spoil a payload in a place or three: bytes overwritten, cut out, put in; its length stays right."""
    payload = bytearray(encode(draw(messages))[HEADER_SIZE:])
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(payload)))
        end = start + draw(st.integers(0, 3))
        payload[start:end] = draw(st.binary(max_size=3))
    return framed(bytes(payload))


def outcome(frame: bytes) -> Message | str:
    """Decode `frame` to a message or to the text of its ProtocolError; let all else fail the test."""
    try:
        return decode(frame)
    except ProtocolError as error:
        return str(error)


def read(pieces: list[bytes]) -> tuple[list[Message], str]:
    """Feed `pieces` to a splitter and give the messages and the text of the error after them, if any."""
    splitter, got = FrameSplitter(), list[Message]()
    try:
        for piece in pieces:
            splitter.feed(piece)
            got.extend(map(read_payload, splitter.payloads()))
    except ProtocolError as error:
        return got, str(error)
    return got, ""


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut `data` at `places`, wherever they are."""
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


@given(messages)
def test_every_message_comes_back_as_it_was(message: Message) -> None:
    back = decode(encode(message))
    assert type(back) is type(message)
    # Not by `==`: areas of the same range are equal, whatever their flags.
    assert repr(asdict(back)) == repr(asdict(message))


@given(messages, st.data())
def test_no_part_of_a_frame_is_a_frame(message: Message, data: st.DataObject) -> None:
    frame = encode(message)
    have = data.draw(st.integers(0, len(frame) - 1))
    want = HEADER_SIZE if have < HEADER_SIZE else len(frame)
    assert outcome(frame[:have]) == f"truncated frame: have {have} of {want} bytes"


@given(st.binary() | st.binary().map(lambda tail: framed(bytes([VERSION]) + tail)) | mutated())
def test_any_bytes_are_a_message_or_refused(frame: bytes) -> None:
    """What the decoder lets through must be something the encoder would write."""
    got = outcome(frame)
    if not isinstance(got, str):
        assert decode(encode(got)) == got
        assert len(encode(got)) <= len(frame)


@given(st.sampled_from(list(KINDS)), st.lists(values, max_size=4))
def test_any_fields_are_a_message_or_refused(kind: int, fields: list[object]) -> None:
    """A message that comes out has taken over the very values that went in."""
    got = outcome(framed(bytes([VERSION]) + packb([kind, *fields])))
    if not isinstance(got, str):
        assert encode(got)[HEADER_SIZE + 1 :] == packb([kind, *fields])


@given(st.lists(messages, max_size=5), st.lists(st.integers(0, 10_000), max_size=20))
def test_a_stream_gives_the_same_messages_for_every_cut(sent: list[Message], places: list[int]) -> None:
    stream = b"".join(map(encode, sent))
    assert read(cut(stream, places)) == (sent, "")


@given(st.lists(messages, max_size=3), mutated() | st.binary(), st.lists(st.integers(0, 10_000), max_size=20))
def test_a_stream_gives_the_same_error_for_every_cut(sent: list[Message], spoilt: bytes, places: list[int]) -> None:
    stream = b"".join(map(encode, sent)) + spoilt
    whole = read([stream])
    assert whole[0][: len(sent)] == sent
    assert read(cut(stream, places)) == whole
    assert read(cut(stream, list(range(len(stream))))) == whole
