"""The wire format: every message as one frame of bytes.

A frame is the length of what follows (4 bytes, big-endian), the wire version (1 byte) and one msgpack
array: the kind's number, then the fields in the order of the class. `Find(node_id=3,
addr=0xffffc90000000000)` is 17 bytes:

    0000000d                length: 13 bytes follow
    01                      wire version
    93                      array of 3
    01                      kind 1, Find
    03                      node_id
    cf ffffc90000000000     addr

A field is an unsigned 64-bit int, a bool, a UTF-8 string, an area `[va_start, va_end]`, a vm
`[flags, caller, nr_pages, phys_addr, requested_size]`, an array of areas, of ints or of pairs of ints or, in an
envelope, a message, as the class declares; no message needs code of its own here. An area with flags or a vm is
`[va_start, va_end, flags, vm or nil]`. The encoder writes the shortest msgpack form of each value, the decoder
takes any form.

Whoever sends the bytes is not trusted. Decoding fails with a `ProtocolError` and with nothing else, and
holds memory in proportion to the bytes received, never to the counts announced in them. So msgpack is
asked for one scalar at a time, and array headers are read by `wire_types`: up to its version 1.1.2 it set memory
aside for each announced array, 2.7 GB for 1 MiB of nested headers, and leaked the arrays it gave up on.
A small frame is first tried in one go, on a version that does neither; only if that makes no message of it
is it read again by the scalar, which says what was wrong.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, get_type_hints

from attrs import fields, frozen
from msgpack import Unpacker, UnpackException, packb, unpackb

from protocol import envelopes as e
from protocol import messages as m
from protocol.area import ULONG_MAX
from protocol.envelopes import Envelope
from protocol.errors import ProtocolError, UnknownKind
from protocol.frames import HEADER_SIZE, MAX_FRAME, VERSION, frame_size, framed
from protocol.messages import Message
from protocol.wire_types import (
    ARRAY,
    INT,
    WIRE_TYPES,
    Unfit,
    WireType,
    described,
    read_int,
    read_value,
    unfit,
    whole,
)

SMALL: Final = 256
"""Bytes of a payload that is tried in one go: nearly all but batches and listings."""

KINDS: Final[dict[int, type[Message]]] = {
    1: m.Find,
    2: m.FindExceed,
    3: m.FindUnlink,
    4: m.Insert,
    5: m.InsertBatch,
    6: m.Unlink,
    7: m.ListAreas,
    8: m.GetStatistics,
    9: m.Allocate,
    10: m.Release,
    11: m.GetFreeStatistics,
    12: m.FindRange,
    13: m.TryFind,
    14: m.SetupVm,
    15: m.PoolTake,
    16: m.LazyInsert,
    17: m.DetachLazy,
    18: m.PopulatePools,
    19: m.DecayPools,
    20: m.CollectReclaimed,
    21: m.CountPools,
    22: m.ListLazy,
    23: m.ReleaseMany,
    24: m.AllocatePercpu,
    25: m.AddLazyPages,
    26: m.SubtractLazyPages,
    27: m.ReadLazyPages,
    28: m.Refer,
    29: m.Adopt,
    30: m.Migrate,
    31: m.Forget,
    32: m.ListMoved,
    61: m.ListPools,
    62: m.ListFree,
    63: m.OpenSession,
    64: m.Found,
    65: m.NotFound,
    66: m.Inserted,
    67: m.Unlinked,
    68: m.Areas,
    69: m.NodeStatistics,
    70: m.Allocated,
    71: m.Released,
    72: m.FreeStatistics,
    73: m.Refused,
    74: m.Busy,
    75: m.Detached,
    76: m.Counted,
    77: m.LazyPages,
    78: m.Moved,
    79: m.MovedAreas,
    95: m.SessionOpened,
}
"""The kind numbers: requests from 1, replies from 64. A number keeps its meaning and is not used again."""

ENVELOPES: Final[dict[int, type[Envelope]]] = {
    112: e.Hello,
    113: e.Welcome,
    114: e.Ask,
    115: e.Answer,
    116: e.Failed,
    117: e.Ping,
    118: e.Pong,
    119: e.Goodbye,
    120: e.Journaled,
    121: e.Kept,
    122: e.Rebuilt,
}
"""The kind numbers of envelopes: connections and journals hold these, and messages within them only."""


# -- messages within envelopes ----------------------------------------------------------------------


def _write_message(message: object) -> list[object]:
    shape = _SHAPE_OF_CLASS.get(type(message))
    return unfit(message) if shape is None else _values(shape, message)


def _read_message(unpacker: Unpacker) -> Message:
    message: Message = _read_shaped(unpacker, _SHAPE_OF_KIND)
    return message


def _made_message(value: Any) -> Message:
    message: Message = _made(value, _SHAPE_OF_KIND)
    return message


_MESSAGE: Final = WireType("a message", _write_message, _read_message, _made_message)


# -- messages: the fields of each kind, resolved once at import -----------------------------------


@frozen
class _Shape:
    """A kind as the wire sees it; a field is its type, its name in errors (`Find.addr`), its name."""

    kind: int
    cls: type[Any]
    fields: tuple[tuple[WireType, str, str], ...]
    writers: tuple[tuple[Callable[[Any], object], str], ...]
    readers: tuple[Callable[[Unpacker], Any], ...]
    makers: tuple[Callable[[Any], Any], ...]


def _shape(kind: int, cls: type[Any]) -> _Shape:
    types = get_type_hints(cls)
    wires = {**WIRE_TYPES, Message: _MESSAGE}
    names = (attribute.name for attribute in fields(cls))
    of_wire = tuple((wires[types[name]], f"{cls.__name__}.{name}", name) for name in names)
    writers = tuple((wire.write, name) for wire, _where, name in of_wire)
    readers = tuple(wire.read for wire, _where, _name in of_wire)
    makers = tuple(wire.make for wire, _where, _name in of_wire)
    return _Shape(kind, cls, of_wire, writers, readers, makers)


_SHAPE_OF_KIND: Final = {kind: _shape(kind, cls) for kind, cls in KINDS.items()}
_SHAPE_OF_CLASS: Final[dict[type, _Shape]] = {shape.cls: shape for shape in _SHAPE_OF_KIND.values()}
_ENVELOPE_OF_KIND: Final = {kind: _shape(kind, cls) for kind, cls in ENVELOPES.items()}
_ENVELOPE_OF_CLASS: Final[dict[type, _Shape]] = {shape.cls: shape for shape in _ENVELOPE_OF_KIND.values()}


# -- whole frames ---------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """Write `message` as one frame.

    Raises ProtocolError if a field holds what the wire cannot carry or the frame would be over
    `MAX_FRAME`. Linear in the number of areas.
    """
    return _encode(message, _SHAPE_OF_CLASS)


def encode_envelope(envelope: Envelope) -> bytes:
    """Write `envelope`, and the message in it, as one frame; see `encode`."""
    return _encode(envelope, _ENVELOPE_OF_CLASS)


def _encode(value: object, shapes: dict[type, _Shape]) -> bytes:
    shape = shapes.get(type(value))
    if shape is None:
        raise ProtocolError(f"{type(value).__name__} has no kind number")
    return framed(type(value).__name__, packb(_values(shape, value)))


def _values(shape: _Shape, value: object) -> list[object]:
    """Give a message or an envelope as the list that `packb` takes."""
    written: list[object] = [shape.kind]
    try:
        for write, field in shape.writers:
            found = getattr(value, field)
            if write is whole:  # most fields are, and most of them fit
                written.append(found if type(found) is int and 0 <= found <= ULONG_MAX else unfit(found))
            else:
                written.append(write(found))
    except Unfit as error:
        wire, where, _field = shape.fields[len(written) - 1]
        raise ProtocolError(f"{where}: found {error}, expected {wire.expected}") from error
    return written


def decode(frame: bytes, *, max_frame: int = MAX_FRAME) -> Message:
    """Read the message of exactly one frame.

    Raises ProtocolError, and nothing else, if `frame` is anything but one whole frame of a known kind
    with at most `max_frame` bytes after its length. Time and memory are linear in `len(frame)`.
    """
    have, want = len(frame), frame_size(frame, max_frame)
    if have < want:
        raise ProtocolError(f"truncated frame: have {have} of {want} bytes")
    if have > want:
        raise ProtocolError(f"trailing bytes: {have - want} after the frame of {want}")
    return read_payload(frame[HEADER_SIZE:])


def decode_envelope(payload: bytes) -> Envelope:
    """Read the envelope that follows a frame's length.

    Raises UnknownKind, with the request's id where there is one, for what a later version may have sent,
    ProtocolError for what nobody would.
    """
    envelope: Envelope = _read_whole(payload, _ENVELOPE_OF_KIND)
    return envelope


def read_payload(payload: bytes) -> Message:
    """Read what follows the length: the wire version, one message and nothing else."""
    message: Message = _read_whole(payload, _SHAPE_OF_KIND)
    return message


def _read_whole(payload: bytes, shapes: dict[int, _Shape]) -> Any:
    if payload[0] != VERSION:
        raise UnknownKind(f"unknown wire version {payload[0]}, known is {VERSION}")
    if len(payload) <= SMALL:
        try:
            return _made(
                unpackb(memoryview(payload)[1:], max_array_len=SMALL, max_map_len=0, max_ext_len=0), shapes
            )
        except Exception:  # noqa: S110 (what is wrong is said below, whatever it is)
            pass
    unpacker = _unpacker(payload)
    message = _read_shaped(unpacker, shapes)
    rest = len(payload) - 1 - unpacker.tell()
    if rest:
        raise ProtocolError(f"{type(message).__name__}: found {rest} bytes after the last field, expected none")
    return message


def _made(values: Any, shapes: dict[int, _Shape]) -> Any:
    """Make a message or an envelope of what msgpack made of it; raises something if it is none."""
    shape = shapes[values[0]]
    if type(values) is not list or len(values) != len(shape.makers) + 1 or type(values[0]) is not int:
        unfit(values)
    arguments = []
    for make, value in zip(shape.makers, values[1:], strict=True):
        if make is whole:  # most fields are, and most of them fit
            arguments.append(value if type(value) is int and 0 <= value <= ULONG_MAX else unfit(value))
        else:
            arguments.append(make(value))
    return shape.cls(*arguments)


def _read_shaped(unpacker: Unpacker, shapes: dict[int, _Shape]) -> Any:
    """Read a message or an envelope: its kind is one of `shapes`."""
    found = read_value(ARRAY, "message", unpacker)
    shape = shapes.get(kind := read_value(INT, "kind", unpacker))
    if shape is None:
        raise UnknownKind(f"unknown kind {kind}")
    name, expected = shape.cls.__name__, len(shape.fields)
    if found != expected:
        raise ProtocolError(f"{name}: found {found} fields, expected {expected}")
    values: list[Any] = []
    try:
        for read in shape.readers:
            if read is read_int:  # most fields are ints, and most of them fit
                value = unpacker.unpack()
                if type(value) is not int or not 0 <= value <= ULONG_MAX:
                    unfit(value)
                values.append(value)
            else:
                values.append(read(unpacker))
    except UnknownKind as error:
        # Only envelopes hold messages, and the first field of an envelope is the id, if it has one.
        error.ask_id = values[0] if values else 0
        raise
    except (ValueError, UnpackException) as error:
        wire, where, _field = shape.fields[len(values)]
        raise ProtocolError(f"{where}: found {described(error)}, expected {wire.expected}") from error
    return shape.cls(*values)


def _unpacker(payload: bytes) -> Unpacker:
    # With these limits unpack() stops at the first byte of whatever nests: it is for scalars.
    size = len(payload)
    unpacker = Unpacker(
        read_size=size,
        max_buffer_size=size,
        max_str_len=size,
        max_bin_len=0,
        max_array_len=0,
        max_map_len=0,
        max_ext_len=0,
    )
    unpacker.feed(memoryview(payload)[1:])
    return unpacker


def decode_envelopes(data: bytes) -> Iterator[Envelope]:
    """Read the envelopes of frames that were written one after the other; raises ProtocolError."""
    begin = 0
    while begin < len(data):
        end = begin + frame_size(data[begin : begin + HEADER_SIZE], MAX_FRAME)
        if len(data) < end or end < begin + HEADER_SIZE + 1:
            raise ProtocolError(f"truncated frame: have {len(data) - begin} of {end - begin} bytes")
        yield decode_envelope(data[begin + HEADER_SIZE : end])
        begin = end
