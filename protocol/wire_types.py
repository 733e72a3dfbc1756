"""Values on the wire: how each type that a message may declare is written, read, and checked.

Every type has three ways: to what `packb` takes, off an `Unpacker` by the scalar, and from what msgpack has made of
a whole payload. Each refuses, by `Unfit`, what the field does not take.
"""

from collections.abc import Callable
from typing import Any, Final, Never

from attrs import frozen
from msgpack import OutOfData, Unpacker, UnpackException

from protocol.area import ULONG_MAX, VmapArea, VmStruct
from protocol.errors import ProtocolError

NIL: Final = 0xC0
"""msgpack's nil: an area without a vm."""


class Unfit(ValueError):
    """A value that its field does not take; the text says what was found."""


def unfit(value: object) -> Never:
    """Raise `Unfit` with a description that stays short however large `value` is."""
    if type(value) is int:
        bits = value.bit_length()
        raise Unfit(f"int {value}" if bits <= 64 else f"int of {bits} bits")
    name = type(value).__name__
    raise Unfit(f"{name} of {len(value)}" if isinstance(value, str | list | tuple) else name)


def whole(value: object) -> int:
    """Give `value` if it is an unsigned 64-bit int."""
    # By type and not isinstance: a bool is an int to Python, but not to a peer.
    return value if type(value) is int and 0 <= value <= ULONG_MAX else unfit(value)


def _bool(value: object) -> bool:
    return value if type(value) is bool else unfit(value)


def _str(value: object) -> str:
    if type(value) is not str:
        unfit(value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Unfit(f"str with {error.reason} at {error.start}") from error
    return value


def _range(va_start: object, va_end: object) -> tuple[int, int]:
    # One test for the two: an InsertBatch passes here once for each of its areas.
    if type(va_start) is int and type(va_end) is int and 0 <= va_start < va_end <= ULONG_MAX:
        return va_start, va_end
    raise Unfit(f"[{whole(va_start):#x}, {whole(va_end):#x}]")


def _write_area(area: object) -> tuple[object, ...]:
    if type(area) is not VmapArea:
        unfit(area)
    if area.vm is None and area.flags == 0:
        return _range(area.va_start, area.va_end)
    vm = None if area.vm is None else _write_vm(area.vm)
    return (*_range(area.va_start, area.va_end), whole(area.flags), vm)


def _write_vm(vm: object) -> tuple[object, ...]:
    if type(vm) is not VmStruct:
        unfit(vm)
    return whole(vm.flags), _str(vm.caller), whole(vm.nr_pages), whole(vm.phys_addr), whole(vm.requested_size)


def _write_pair(pair: object) -> list[object]:
    return [whole(value) for value in pair] if type(pair) is tuple and len(pair) == 2 else unfit(pair)


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
        raise Unfit(f"byte {marker:#04x}, no array")
    return int.from_bytes(_take(unpacker, 2 if marker == 0xDC else 4), "big")


def read_int(unpacker: Unpacker) -> int:
    """Take an unsigned 64-bit int off the wire."""
    value = unpacker.unpack()
    return value if type(value) is int and 0 <= value <= ULONG_MAX else unfit(value)


def _read_area(unpacker: Unpacker) -> VmapArea:
    length = _read_length(unpacker)
    if length == 2:
        return VmapArea(*_range(unpacker.unpack(), unpacker.unpack()))
    if length != 4:
        raise Unfit(f"array of {length}")
    va_start, va_end = _range(unpacker.unpack(), unpacker.unpack())
    flags, vm = whole(unpacker.unpack()), _read_vm_or_nil(unpacker)
    return _full_area(va_start, va_end, flags, vm)


def _read_vm_or_nil(unpacker: Unpacker) -> VmStruct | None:
    marker = _take(unpacker, 1)[0]
    return None if marker == NIL else _read_vm_fields(unpacker, _length(unpacker, marker))


def _read_vm(unpacker: Unpacker) -> VmStruct:
    return _read_vm_fields(unpacker, _read_length(unpacker))


def _read_vm_fields(unpacker: Unpacker, length: int) -> VmStruct:
    if length != 5:
        raise Unfit(f"array of {length}")
    flags, caller = whole(unpacker.unpack()), _str(unpacker.unpack())
    return VmStruct(flags, caller, *[whole(unpacker.unpack()) for _ in range(3)])


def _read_pair(unpacker: Unpacker) -> tuple[int, int]:
    length = _read_length(unpacker)
    if length != 2:
        raise Unfit(f"array of {length}")
    return whole(unpacker.unpack()), whole(unpacker.unpack())


def _read_field_count(unpacker: Unpacker) -> int:
    length = _read_length(unpacker)
    if length == 0:
        raise Unfit("an empty array")
    return length - 1


def _made_area(value: Any) -> VmapArea:
    if type(value) is not list:
        unfit(value)
    if len(value) == 2:
        return VmapArea(*_range(*value))
    if len(value) != 4:
        unfit(value)
    va_start, va_end, flags, vm = value
    va_start, va_end = _range(va_start, va_end)
    return _full_area(va_start, va_end, whole(flags), None if vm is None else _made_vm(vm))


def _full_area(va_start: int, va_end: int, flags: int, vm: VmStruct | None) -> VmapArea:
    """Make an area that came as an array of four; a bare one has a shorter form, and no other."""
    if not flags and vm is None:
        raise Unfit("array of 4 for a bare area")
    return VmapArea(va_start, va_end, flags, vm)


def _made_vm(value: Any) -> VmStruct:
    if type(value) is not list or len(value) != 5:
        unfit(value)
    flags, caller, *rest = value
    return VmStruct(whole(flags), _str(caller), *[whole(one) for one in rest])


def _made_pair(value: Any) -> tuple[int, int]:
    return (whole(value[0]), whole(value[1])) if type(value) is list and len(value) == 2 else unfit(value)


@frozen
class WireType:
    """A declared type: what error texts call it, its ways to `packb`, from an Unpacker, and from what that made."""

    expected: str
    write: Callable[[Any], object]
    read: Callable[[Unpacker], Any]
    make: Callable[[Any], Any]


def _scalar(expected: str, check: Callable[[object], object], read: Callable[[Unpacker], object]) -> WireType:
    return WireType(expected, check, read, check)


def _several(expected: str, one: WireType) -> WireType:
    """Make the type of an array of any length, of what `one` describes; a tuple here."""
    write_one, read_one, make_one = one.write, one.read, one.make

    def write(values: object) -> list[object]:
        return [write_one(value) for value in values] if type(values) is tuple else unfit(values)

    def read(unpacker: Unpacker) -> tuple[object, ...]:
        # The announced length may be a lie: a list, unlike a tuple, grows only as it is read.
        return tuple([read_one(unpacker) for _ in range(_read_length(unpacker))])

    def make(value: Any) -> tuple[object, ...]:
        return tuple([make_one(one) for one in value]) if type(value) is list else unfit(value)

    return WireType(expected, write, read, make)


INT: Final = _scalar("an int in 0..2**64-1", whole, read_int)
ARRAY: Final = WireType("an array [kind, field, ...]", list, _read_field_count, list)
_ENDS: Final = "[va_start, va_end] with 0 <= va_start < va_end < 2**64"
_AREA: Final = WireType(f"an area {_ENDS}", _write_area, _read_area, _made_area)
_PAIR: Final = WireType("a pair of ints in 0..2**64-1", _write_pair, _read_pair, _made_pair)
_VM: Final = "[flags, caller, nr_pages, phys_addr, requested_size]"
WIRE_TYPES: Final[dict[object, WireType]] = {
    int: INT,
    bool: _scalar("a bool", _bool, lambda unpacker: _bool(unpacker.unpack())),
    str: _scalar("a UTF-8 string", _str, lambda unpacker: _str(unpacker.unpack())),
    VmapArea: _AREA,
    VmStruct: WireType(f"a vm {_VM}", _write_vm, _read_vm, _made_vm),
    tuple[int, ...]: _several("ints in 0..2**64-1", INT),
    tuple[tuple[int, int], ...]: _several("pairs of ints in 0..2**64-1", _PAIR),
    tuple[VmapArea, ...]: _several(f"areas, each {_ENDS}", _AREA),
}


def described(error: Exception) -> str:
    """Say what was found instead of a value."""
    match error:
        case Unfit():
            return str(error)
        case OutOfData():
            return "the end of the frame"
        case _:
            return f"malformed msgpack ({type(error).__name__}: {error})"


def read_value(wire: WireType, where: str, unpacker: Unpacker) -> Any:
    """Take the next value off the wire; `where` names it in the error."""
    try:
        return wire.read(unpacker)
    except (ValueError, UnpackException) as error:
        raise ProtocolError(f"{where}: found {described(error)}, expected {wire.expected}") from error
