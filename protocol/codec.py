"""The wire format: every message as one frame of bytes, and frames out of a stream cut anywhere.

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
`[flags, caller, nr_pages, phys_addr, requested_size]`, an array of areas or ints or, in an envelope, a message, as
the class declares; no message needs code of its own here. An area with flags or a vm is `[va_start, va_end, flags,
vm or nil]`. The encoder writes the shortest msgpack form of each value, the decoder takes any form.

Whoever sends the bytes is not trusted. Decoding fails with a `ProtocolError` and with nothing else, and
holds memory in proportion to the bytes received, never to the counts announced in them. So msgpack is
asked for one scalar at a time, and array headers are read here: up to its version 1.1.2 it set memory
aside for each announced array, 2.7 GB for 1 MiB of nested headers, and leaked the arrays it gave up on.
A small frame is first tried in one go, on a version that does neither; only if that makes no message of it
is it read again by the scalar, which says what was wrong.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Never, get_type_hints

from attrs import fields, frozen
from msgpack import OutOfData, Unpacker, UnpackException, packb, unpackb

from protocol import envelopes as e
from protocol import messages as m
from protocol.area import ULONG_MAX, VmapArea, VmStruct
from protocol.envelopes import Envelope
from protocol.errors import ProtocolError, UnknownKind
from protocol.messages import Message

VERSION: Final = 1
"""The wire version, in every frame: raised when a frame of the old one would be misread."""

HEADER_SIZE: Final = 4
"""Bytes of a frame's length."""

MAX_FRAME: Final = 1 << 20
"""The most bytes that may follow a frame's length: 1 MiB.

A bare area takes 19 bytes at most, so 55,000 of them fit, far more than one hold of a lock should cover; one with
flags and a vm some 60 and its caller's name. It is all the memory for unread bytes that one peer can claim.
"""

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


NIL: Final = 0xC0
"""msgpack's nil: an area without a vm."""


# -- values: how each declared type goes to the wire and comes back --------------------------------


class _Unfit(ValueError):
    """A value that its field does not take; the text says what was found."""


def _unfit(value: object) -> Never:
    """Raise `_Unfit` with a description that stays short however large `value` is."""
    if type(value) is int:
        bits = value.bit_length()
        raise _Unfit(f"int {value}" if bits <= 64 else f"int of {bits} bits")
    name = type(value).__name__
    raise _Unfit(f"{name} of {len(value)}" if isinstance(value, str | list | tuple) else name)


def _int(value: object) -> int:
    # By type and not isinstance: a bool is an int to Python, but not to a peer.
    return value if type(value) is int and 0 <= value <= ULONG_MAX else _unfit(value)


def _bool(value: object) -> bool:
    return value if type(value) is bool else _unfit(value)


def _str(value: object) -> str:
    if type(value) is not str:
        _unfit(value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _Unfit(f"str with {error.reason} at {error.start}") from error
    return value


def _range(va_start: object, va_end: object) -> tuple[int, int]:
    # One test for the two: an InsertBatch passes here once for each of its areas.
    if type(va_start) is int and type(va_end) is int and 0 <= va_start < va_end <= ULONG_MAX:
        return va_start, va_end
    raise _Unfit(f"[{_int(va_start):#x}, {_int(va_end):#x}]")


def _write_area(area: object) -> tuple[object, ...]:
    if type(area) is not VmapArea:
        _unfit(area)
    if area.vm is None and area.flags == 0:
        return _range(area.va_start, area.va_end)
    vm = None if area.vm is None else _write_vm(area.vm)
    return (*_range(area.va_start, area.va_end), _int(area.flags), vm)


def _write_vm(vm: object) -> tuple[object, ...]:
    if type(vm) is not VmStruct:
        _unfit(vm)
    return _int(vm.flags), _str(vm.caller), _int(vm.nr_pages), _int(vm.phys_addr), _int(vm.requested_size)


def _write_areas(areas: object) -> list[tuple[object, ...]]:
    return [_write_area(area) for area in areas] if type(areas) is tuple else _unfit(areas)


def _write_ints(values: object) -> list[object]:
    return [_int(value) for value in values] if type(values) is tuple else _unfit(values)


def _take(unpacker: Unpacker, size: int) -> bytes | bytearray:
    taken = unpacker.read_bytes(size)
    if len(taken) < size:
        raise OutOfData
    return taken


def _read_length(unpacker: Unpacker) -> int:
    # Not by read_array_header(): where msgpack runs as pure Python, max_array_len=0 stops that too.
    return _length(unpacker, _take(unpacker, 1)[0])


def _length(unpacker: Unpacker, marker: int) -> int:
    if marker & 0xF0 == 0x90:
        return marker & 0x0F
    if marker not in (0xDC, 0xDD):
        raise _Unfit(f"byte {marker:#04x}, no array")
    return int.from_bytes(_take(unpacker, 2 if marker == 0xDC else 4), "big")


def _read_int(unpacker: Unpacker) -> int:
    value = unpacker.unpack()
    return value if type(value) is int and 0 <= value <= ULONG_MAX else _unfit(value)


def _read_area(unpacker: Unpacker) -> VmapArea:
    length = _read_length(unpacker)
    if length == 2:
        return VmapArea(*_range(unpacker.unpack(), unpacker.unpack()))
    if length != 4:
        raise _Unfit(f"array of {length}")
    va_start, va_end = _range(unpacker.unpack(), unpacker.unpack())
    flags, vm = _int(unpacker.unpack()), _read_vm_or_nil(unpacker)
    return _full_area(va_start, va_end, flags, vm)


def _read_vm_or_nil(unpacker: Unpacker) -> VmStruct | None:
    marker = _take(unpacker, 1)[0]
    return None if marker == NIL else _read_vm_fields(unpacker, _length(unpacker, marker))


def _read_vm(unpacker: Unpacker) -> VmStruct:
    return _read_vm_fields(unpacker, _read_length(unpacker))


def _read_vm_fields(unpacker: Unpacker, length: int) -> VmStruct:
    if length != 5:
        raise _Unfit(f"array of {length}")
    flags, caller = _int(unpacker.unpack()), _str(unpacker.unpack())
    return VmStruct(flags, caller, *[_int(unpacker.unpack()) for _ in range(3)])


def _read_ints(unpacker: Unpacker) -> tuple[int, ...]:
    return tuple([_int(unpacker.unpack()) for _ in range(_read_length(unpacker))])


def _read_areas(unpacker: Unpacker) -> tuple[VmapArea, ...]:
    # The announced length may be a lie: a list, unlike a tuple, grows only as areas are read.
    return tuple([_read_area(unpacker) for _ in range(_read_length(unpacker))])


def _read_field_count(unpacker: Unpacker) -> int:
    length = _read_length(unpacker)
    if length == 0:
        raise _Unfit("an empty array")
    return length - 1


def _write_message(message: object) -> list[object]:
    shape = _SHAPE_OF_CLASS.get(type(message))
    return _unfit(message) if shape is None else _values(shape, message)


def _read_message(unpacker: Unpacker) -> Message:
    message: Message = _read_shaped(unpacker, _SHAPE_OF_KIND)
    return message


def _made_area(value: Any) -> VmapArea:
    if type(value) is not list:
        _unfit(value)
    if len(value) == 2:
        return VmapArea(*_range(*value))
    if len(value) != 4:
        _unfit(value)
    va_start, va_end, flags, vm = value
    va_start, va_end = _range(va_start, va_end)
    return _full_area(va_start, va_end, _int(flags), None if vm is None else _made_vm(vm))


def _full_area(va_start: int, va_end: int, flags: int, vm: VmStruct | None) -> VmapArea:
    """Make an area that came as an array of four; a bare one has a shorter form, and no other."""
    if not flags and vm is None:
        raise _Unfit("array of 4 for a bare area")
    return VmapArea(va_start, va_end, flags, vm)


def _made_vm(value: Any) -> VmStruct:
    if type(value) is not list or len(value) != 5:
        _unfit(value)
    flags, caller, *rest = value
    return VmStruct(_int(flags), _str(caller), *[_int(one) for one in rest])


def _made_ints(value: Any) -> tuple[int, ...]:
    return tuple([_int(one) for one in value]) if type(value) is list else _unfit(value)


def _made_areas(value: Any) -> tuple[VmapArea, ...]:
    return tuple([_made_area(one) for one in value]) if type(value) is list else _unfit(value)


def _made_message(value: Any) -> Message:
    message: Message = _made(value, _SHAPE_OF_KIND)
    return message


@frozen
class _WireType:
    """A declared type: what error texts call it, its ways to `packb`, from an Unpacker, and from what that made."""

    expected: str
    write: Callable[[Any], object]
    read: Callable[[Unpacker], Any]
    make: Callable[[Any], Any]


def _scalar(expected: str, check: Callable[[object], object], read: Callable[[Unpacker], object]) -> _WireType:
    return _WireType(expected, check, read, check)


_INT: Final = _scalar("an int in 0..2**64-1", _int, _read_int)
_ARRAY: Final = _WireType("an array [kind, field, ...]", list, _read_field_count, list)
_AREA: Final = "[va_start, va_end] with 0 <= va_start < va_end < 2**64"
_VM: Final = "[flags, caller, nr_pages, phys_addr, requested_size]"
_WIRE_TYPES: Final[dict[object, _WireType]] = {
    int: _INT,
    bool: _scalar("a bool", _bool, lambda unpacker: _bool(unpacker.unpack())),
    str: _scalar("a UTF-8 string", _str, lambda unpacker: _str(unpacker.unpack())),
    VmapArea: _WireType(f"an area {_AREA}", _write_area, _read_area, _made_area),
    VmStruct: _WireType(f"a vm {_VM}", _write_vm, _read_vm, _made_vm),
    tuple[int, ...]: _WireType("ints in 0..2**64-1", _write_ints, _read_ints, _made_ints),
    tuple[VmapArea, ...]: _WireType(f"areas, each {_AREA}", _write_areas, _read_areas, _made_areas),
    Message: _WireType("a message", _write_message, _read_message, _made_message),
}


def _read(wire: _WireType, where: str, unpacker: Unpacker) -> Any:
    """Take the next value off the wire; `where` names it in the error."""
    try:
        return wire.read(unpacker)
    except (ValueError, UnpackException) as error:
        raise ProtocolError(f"{where}: found {_found(error)}, expected {wire.expected}") from error


def _found(error: Exception) -> str:
    match error:
        case _Unfit():
            return str(error)
        case OutOfData():
            return "the end of the frame"
        case _:
            return f"malformed msgpack ({type(error).__name__}: {error})"


# -- messages: the fields of each kind, resolved once at import -----------------------------------


@frozen
class _Shape:
    """A kind as the wire sees it; a field is its type, its name in errors (`Find.addr`), its name."""

    kind: int
    cls: type[Any]
    fields: tuple[tuple[_WireType, str, str], ...]
    writers: tuple[tuple[Callable[[Any], object], str], ...]
    readers: tuple[Callable[[Unpacker], Any], ...]
    makers: tuple[Callable[[Any], Any], ...]


def _shape(kind: int, cls: type[Any]) -> _Shape:
    types = get_type_hints(cls)
    names = (attribute.name for attribute in fields(cls))
    of_wire = tuple((_WIRE_TYPES[types[n]], f"{cls.__name__}.{n}", n) for n in names)
    writers = tuple((wire.write, name) for wire, _where, name in of_wire)
    wires = [wire for wire, _where, _name in of_wire]
    makers = tuple(wire.make for wire in wires)
    return _Shape(kind, cls, of_wire, writers, tuple(wire.read for wire in wires), makers)


_SHAPE_OF_KIND: Final = {kind: _shape(kind, cls) for kind, cls in KINDS.items()}
_SHAPE_OF_CLASS: Final[dict[type, _Shape]] = {shape.cls: shape for shape in _SHAPE_OF_KIND.values()}
_ENVELOPE_OF_KIND: Final = {kind: _shape(kind, cls) for kind, cls in ENVELOPES.items()}
_ENVELOPE_OF_CLASS: Final[dict[type, _Shape]] = {shape.cls: shape for shape in _ENVELOPE_OF_KIND.values()}


# -- frames ---------------------------------------------------------------------------------------


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
    packed = packb(_values(shape, value))
    length = 1 + len(packed)
    if length > MAX_FRAME:
        raise ProtocolError(f"oversized frame: {type(value).__name__} has length {length}, limit {MAX_FRAME}")
    return b"%b%c%b" % (length.to_bytes(HEADER_SIZE, "big"), VERSION, packed)


def _values(shape: _Shape, value: object) -> list[object]:
    """Give a message or an envelope as the list that `packb` takes."""
    written: list[object] = [shape.kind]
    try:
        for write, field in shape.writers:
            found = getattr(value, field)
            if write is _int:  # most fields are, and most of them fit
                written.append(found if type(found) is int and 0 <= found <= ULONG_MAX else _unfit(found))
            else:
                written.append(write(found))
    except _Unfit as error:
        wire, where, _field = shape.fields[len(written) - 1]
        raise ProtocolError(f"{where}: found {error}, expected {wire.expected}") from error
    return written


def decode(frame: bytes, *, max_frame: int = MAX_FRAME) -> Message:
    """Read the message of exactly one frame.

    Raises ProtocolError, and nothing else, if `frame` is anything but one whole frame of a known kind
    with at most `max_frame` bytes after its length. Time and memory are linear in `len(frame)`.
    """
    have, want = len(frame), _frame_size(frame, max_frame)
    if have < want:
        raise ProtocolError(f"truncated frame: have {have} of {want} bytes")
    if have > want:
        raise ProtocolError(f"trailing bytes: {have - want} after the frame of {want}")
    return _read_payload(frame[HEADER_SIZE:])


def _frame_size(start: bytes | bytearray, max_frame: int) -> int:
    """Count the bytes of the frame that begins with `start`, or those of its length if that is cut."""
    if len(start) < HEADER_SIZE:
        return HEADER_SIZE
    length = int.from_bytes(start[:HEADER_SIZE], "big")
    if length == 0:
        raise ProtocolError("empty frame: length 0, expected at least the wire version")
    if length > max_frame:
        raise ProtocolError(f"oversized frame: length {length}, limit {max_frame}")
    return HEADER_SIZE + length


def decode_envelope(payload: bytes) -> Envelope:
    """Read the envelope that follows a frame's length.

    Raises UnknownKind, with the request's id where there is one, for what a later version may have sent,
    ProtocolError for what nobody would.
    """
    envelope: Envelope = _read_whole(payload, _ENVELOPE_OF_KIND)
    return envelope


def _read_payload(payload: bytes) -> Message:
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
        _unfit(values)
    arguments = []
    for make, value in zip(shape.makers, values[1:], strict=True):
        if make is _int:  # most fields are, and most of them fit
            arguments.append(value if type(value) is int and 0 <= value <= ULONG_MAX else _unfit(value))
        else:
            arguments.append(make(value))
    return shape.cls(*arguments)


def _read_shaped(unpacker: Unpacker, shapes: dict[int, _Shape]) -> Any:
    """Read a message or an envelope: its kind is one of `shapes`."""
    found = _read(_ARRAY, "message", unpacker)
    shape = shapes.get(kind := _read(_INT, "kind", unpacker))
    if shape is None:
        raise UnknownKind(f"unknown kind {kind}")
    name, expected = shape.cls.__name__, len(shape.fields)
    if found != expected:
        raise ProtocolError(f"{name}: found {found} fields, expected {expected}")
    values: list[Any] = []
    try:
        for read in shape.readers:
            if read is _read_int:  # most fields are ints, and most of them fit
                value = unpacker.unpack()
                if type(value) is not int or not 0 <= value <= ULONG_MAX:
                    _unfit(value)
                values.append(value)
            else:
                values.append(read(unpacker))
    except UnknownKind as error:
        # Only envelopes hold messages, and the first field of an envelope is the id, if it has one.
        error.ask_id = values[0] if values else 0
        raise
    except (ValueError, UnpackException) as error:
        wire, where, _field = shape.fields[len(values)]
        raise ProtocolError(f"{where}: found {_found(error)}, expected {wire.expected}") from error
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


class FrameSplitter:
    """Cut a stream of bytes into payloads, what follows each frame's length; it does no I/O of its own.

    Never more than one unfinished frame of at most `max_frame` bytes waits between `feed` and `feed`.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray) -> None:
        """Take the stream's next bytes; the payloads of the earlier ones must have been taken out."""
        assert len(self._buffer) < HEADER_SIZE + self._max_frame, "take payloads out before feeding more"
        self._buffer += data

    def payloads(self) -> Iterator[bytes]:
        """Take out the payloads that are whole, in time linear in their bytes.

        Raises ProtocolError at a length that no frame can have; the stream is good for nothing after that.
        """
        buffer, begin = self._buffer, 0
        try:
            while len(buffer) - begin >= HEADER_SIZE:
                head = begin + HEADER_SIZE
                end = begin + _frame_size(buffer[begin:head], self._max_frame)
                if len(buffer) < end:
                    break
                begin = end
                yield bytes(buffer[head:end])
        finally:
            del buffer[:begin]


def decode_envelopes(data: bytes) -> Iterator[Envelope]:
    """Read the envelopes of frames that were written one after the other; raises ProtocolError."""
    begin = 0
    while begin < len(data):
        end = begin + _frame_size(data[begin : begin + HEADER_SIZE], MAX_FRAME)
        if len(data) < end or end < begin + HEADER_SIZE + 1:
            raise ProtocolError(f"truncated frame: have {len(data) - begin} of {end - begin} bytes")
        yield decode_envelope(data[begin + HEADER_SIZE : end])
        begin = end


class FrameReader:
    """Turn the bytes of a stream, cut anywhere, into messages; it does no I/O of its own.

    After each `feed`, iterate: the whole messages come out in order, the rest waits for more bytes. The
    messages, and the error after them, are the same for every cut of the same bytes. A length over
    `max_frame` is refused at once, so never more than one unfinished frame waits. After an error there
    is no telling where the next frame begins: the reader stays broken and repeats the error.

        reader.feed(data)
        for message in reader: ...
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._buffer = bytearray()
        self._broken: str | None = None

    def feed(self, data: bytes) -> None:
        """Take the stream's next bytes; the messages of the earlier ones must have been iterated.

        Raises ProtocolError if the reader is broken.
        """
        self._refuse_if_broken()
        assert len(self._buffer) < HEADER_SIZE + self._max_frame, "iterate before feeding more"
        self._buffer += data

    def __iter__(self) -> Iterator[Message]:
        """Take out the messages that are whole, in time linear in their bytes.

        The loop may be left at any message and begun anew. Raises ProtocolError at the first bytes that
        are no message, after all messages before them.
        """
        return iter(self._next, None)

    def close(self) -> None:
        """Tell the reader that the stream ended; its messages must have been iterated.

        Raises ProtocolError if the stream ended within a frame or the reader is broken.
        """
        unread = self._next()
        assert unread is None, "iterate before closing"
        if self._buffer:
            have, want = len(self._buffer), _frame_size(self._buffer, self._max_frame)
            self._break(f"stream ended within a frame: have {have} of {want} bytes")
            self._refuse_if_broken()

    def _next(self) -> Message | None:
        """Take out one message; None while there is no whole frame."""
        self._refuse_if_broken()
        try:
            size = _frame_size(self._buffer, self._max_frame)
            if len(self._buffer) < size:
                return None
            payload = bytes(self._buffer[HEADER_SIZE:size])
            del self._buffer[:size]
            return _read_payload(payload)
        except ProtocolError as error:
            self._break(str(error))
            raise

    def _break(self, reason: str) -> None:
        self._broken = reason
        self._buffer.clear()

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise ProtocolError(self._broken)
