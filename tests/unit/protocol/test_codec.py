"""The wire format: golden bytes of each kind, the text of each refusal, limits, and the stream's reader."""

import gc
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import get_args

import pytest
from attrs import asdict
from msgpack import ExtType, packb

from protocol.area import ULONG_MAX, VmapArea, VmStruct
from protocol.codec import KINDS, decode, encode, read_payload
from protocol.errors import ProtocolError
from protocol.frames import HEADER_SIZE, MAX_FRAME, VERSION, FrameSplitter
from protocol.messages import (
    AddLazyPages,
    Adopt,
    Allocate,
    Allocated,
    AllocatePercpu,
    Areas,
    Busy,
    CollectReclaimed,
    Counted,
    CountPools,
    DecayPools,
    Detached,
    DetachLazy,
    Find,
    FindExceed,
    FindRange,
    FindUnlink,
    Forget,
    Found,
    FreeStatistics,
    GetFreeStatistics,
    GetStatistics,
    Insert,
    InsertBatch,
    Inserted,
    LazyInsert,
    LazyPages,
    ListAreas,
    ListFree,
    ListLazy,
    ListMoved,
    ListPools,
    Message,
    Migrate,
    Moved,
    MovedAreas,
    NodeStatistics,
    NotFound,
    OpenSession,
    PoolTake,
    PopulatePools,
    ReadLazyPages,
    Refer,
    Refused,
    Release,
    Released,
    ReleaseMany,
    Reply,
    Request,
    SessionOpened,
    SetupVm,
    SubtractLazyPages,
    TryFind,
    Unlink,
    Unlinked,
)

PAGE = VmapArea(0x1000, 0x2000)
START, END = 0xFFFF_C900_0000_0000, 0xFFFF_E8FF_FFFF_FFFF

# length | version | array | kind | fields, with a space between each two
GOLDEN: list[tuple[Message, str]] = [
    (Find(3, START), "0000000d 01 93 01 03 cfffffc90000000000"),
    (FindExceed(0, 0), "00000005 01 93 02 00 00"),
    (FindUnlink(255, ULONG_MAX), "0000000e 01 93 03 ccff cfffffffffffffffff"),
    (Insert(PAGE), "0000000a 01 92 04 92cd1000cd2000"),
    (InsertBatch((VmapArea(0, 1), PAGE)), "0000000e 01 92 05 92 920001 92cd1000cd2000"),
    (InsertBatch(()), "00000004 01 92 05 90"),
    (Unlink(0x1000), "00000006 01 92 06 cd1000"),
    (ListAreas(1, 0, 128), "00000007 01 94 07 01 00 cc80"),
    (GetStatistics(7), "00000004 01 92 08 07"),
    (
        Allocate(8192, 4096, START, END),
        "0000001b 01 95 09 cd2000 cd1000 cfffffc90000000000 cfffffe8ffffffffff",
    ),
    (Release(PAGE), "0000000a 01 92 0a 92cd1000cd2000"),
    (GetFreeStatistics(), "00000003 01 91 0b"),
    (ListFree(0x1000, 128), "00000008 01 93 3e cd1000 cc80"),
    (OpenSession(), "00000003 01 91 3f"),
    (Found(PAGE), "0000000a 01 92 40 92cd1000cd2000"),
    (NotFound(), "00000003 01 91 41"),
    (Inserted(64), "00000004 01 92 42 40"),
    (Unlinked(PAGE), "0000000a 01 92 43 92cd1000cd2000"),
    (Areas((PAGE,), more=True), "0000000c 01 93 44 91 92cd1000cd2000 c3"),
    (Areas((), more=False), "00000005 01 93 44 90 c2"),
    (NodeStatistics(1, 2, 3, 2**32), "0000000f 01 95 45 01 02 03 cf0000000100000000"),
    (Allocated(VmapArea(0, ULONG_MAX)), "0000000e 01 92 46 9200cfffffffffffffffff"),
    (Released(), "00000003 01 91 47"),
    (FreeStatistics(1, 65536, 32768, 0), "0000000d 01 95 48 01 ce00010000 cd8000 00"),
    (SessionOpened(7), "00000004 01 92 5f 07"),
    (Refused("overlap", "é"), "0000000e 01 93 49 a76f7665726c6170 a2c3a9"),
    (ListPools(5, 4096), "00000007 01 93 3d 05cd1000"),
    (FindRange(1, 4096, 8192), "0000000a 01 94 0c 01cd1000cd2000"),
    (TryFind(3, 4096), "00000007 01 93 0d 03cd1000"),
    (
        SetupVm(4096, VmStruct(34, "é", 1, 2**32, 4095)),
        "00000018 01 93 0e cd10009522a2c3a901cf0000000100000000cd0fff",
    ),
    (PoolTake(1, 8192, 1), "00000008 01 94 0f 01cd200001"),
    (LazyInsert(2, VmapArea(4096, 8192, 0x300)), "0000000f 01 93 10 0294cd1000cd2000cd0300c0"),
    (DetachLazy(5), "00000004 01 92 11 05"),
    (PopulatePools(5, populate=True), "00000005 01 93 12 05c3"),
    (DecayPools(5, full=False), "00000005 01 93 13 05c2"),
    (CollectReclaimed(5), "00000004 01 92 14 05"),
    (Refer(5, (VmapArea(1, 2),)), "00000008 01 93 1c 05 91 920102"),
    (Adopt(5, VmapArea(1, 2)), "00000007 01 93 1d 05 920102"),
    (Migrate(5, 1, 6), "00000006 01 94 1e 05 01 06"),
    (Forget(5, 1), "00000005 01 93 1f 05 01"),
    (ListMoved(5, 1, 128), "00000007 01 94 20 05 01 cc80"),
    (MovedAreas(((1, 6), (4096, 0)), more=True), "0000000d 01 93 4f 92 920106 92cd100000 c3"),
    (Moved(6), "00000004 01 92 4e 06"),
    (CountPools(5), "00000004 01 92 15 05"),
    (ListLazy(5, 4096), "00000007 01 93 16 05cd1000"),
    (ReleaseMany((PAGE,)), "0000000b 01 92 17 9192cd1000cd2000"),
    (
        AllocatePercpu((0, 65536), (4096, 4096), 4096, 1, 2),
        "00000016 01 96 18 9200ce0001000092cd1000cd1000cd10000102",
    ),
    (AddLazyPages(2), "00000004 01 92 19 02"),
    (SubtractLazyPages(2, 1), "00000005 01 93 1a 0201"),
    (ReadLazyPages(), "00000003 01 91 1b"),
    (Busy(), "00000003 01 91 4a"),
    (Detached(1, 2, 4096, 8192), "0000000b 01 95 4b 0102cd1000cd2000"),
    (Counted(64), "00000004 01 92 4c 40"),
    (LazyPages(57344), "00000006 01 92 4d cde000"),
    (Found(VmapArea(4096, 8192, 0x101, VmStruct(2))), "00000013 01 92 40 94cd1000cd2000cd01019502a0000000"),
]

INT = "expected an int in 0..2**64-1"
AREA = "[va_start, va_end] with 0 <= va_start < va_end < 2**64"


def framed(payload: bytes) -> bytes:
    """Put the right length before `payload`."""
    return len(payload).to_bytes(HEADER_SIZE, "big") + payload


def frame_of(*values: object) -> bytes:
    """Make the frame whose array holds `values`, whatever they are."""
    return framed(bytes([VERSION]) + packb(values))


def refusal(frame: bytes) -> str:
    """Give the text with which `decode` refuses `frame`."""
    with pytest.raises(ProtocolError) as caught:
        decode(frame)
    return str(caught.value)


def messages_in(splitter: FrameSplitter) -> Iterator[Message]:
    """Give the messages of the payloads that are whole."""
    return map(read_payload, splitter.payloads())


def broken(splitter: FrameSplitter) -> str:
    """Give the text of the error that comes before any message."""
    with pytest.raises(ProtocolError) as caught:
        next(messages_in(splitter))
    return str(caught.value)


# -- the table and the bytes ------------------------------------------------------------------------


def test_every_message_has_one_number_and_every_number_a_message() -> None:
    requests, replies = set(get_args(Request)), set(get_args(Reply))
    assert {cls for kind, cls in KINDS.items() if 1 <= kind < 64} == requests
    assert {cls for kind, cls in KINDS.items() if 64 <= kind < 128} == replies
    assert len(KINDS) == len(requests) + len(replies)


def test_golden_bytes_cover_every_kind() -> None:
    assert {type(message) for message, _ in GOLDEN} == set(KINDS.values())


@pytest.mark.parametrize(("message", "golden"), GOLDEN, ids=lambda value: type(value).__name__)
def test_bytes_on_the_wire_are_golden(message: Message, golden: str) -> None:
    assert encode(message) == bytes.fromhex(golden)
    # Not by `==`: areas of the same range are equal, whatever their flags.
    assert repr(asdict(decode(bytes.fromhex(golden)))) == repr(asdict(message))


def test_decoder_takes_longer_forms_of_a_value() -> None:
    """An encoder that writes every int in nine bytes and every array header in five is still understood."""
    long_form = "01 dd00000003 01 cf0000000000000003 cf0000000000000005"
    assert decode(framed(bytes.fromhex(long_form))) == Find(3, 5)


# -- what the decoder refuses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ("", "truncated frame: have 0 of 4 bytes"),
        ("000000", "truncated frame: have 3 of 4 bytes"),
        ("0000000d 01 93 01 03 cfffffc9000000", "truncated frame: have 15 of 17 bytes"),
        ("00000003 01 91 41 91 41", "trailing bytes: 2 after the frame of 7"),
        ("00000000", "empty frame: length 0, expected at least the wire version"),
        ("00100001", "oversized frame: length 1048577, limit 1048576"),
        ("ffffffff", "oversized frame: length 4294967295, limit 1048576"),
        ("00000003 02 91 41", "unknown wire version 2, known is 1"),
    ],
)
def test_refuses_a_bad_envelope(frame: str, text: str) -> None:
    assert refusal(bytes.fromhex(frame)) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((), "message: found an empty array, expected an array [kind, field, ...]"),
        ((0,), "unknown kind 0"),
        ((48, 1), "unknown kind 48"),
        ((ULONG_MAX,), "unknown kind 18446744073709551615"),
        (("Find", 1, 2), f"kind: found str of 4, {INT}"),
        ((True, 1, 2), f"kind: found bool, {INT}"),
        ((1, 3), "Find: found 1 fields, expected 2"),
        ((1, 3, 4, 5), "Find: found 3 fields, expected 2"),
        ((11, 0), "GetFreeStatistics: found 1 fields, expected 0"),
        ((1, True, 4), f"Find.node_id: found bool, {INT}"),
        ((1, 3, 4.0), f"Find.addr: found float, {INT}"),
        ((1, 3, -1), f"Find.addr: found int -1, {INT}"),
        ((1, 3, None), f"Find.addr: found NoneType, {INT}"),
        ((1, 3, "abc"), f"Find.addr: found str of 3, {INT}"),
        ((1, 3, []), f"Find.addr: found list of 0, {INT}"),
        ((1, 3, {}), f"Find.addr: found dict, {INT}"),
        ((1, 3, b""), f"Find.addr: found bytes, {INT}"),
        ((68, [], 1), "Areas.more: found int 1, expected a bool"),
        ((73, 1, "x"), "Refused.reason: found int 1, expected a UTF-8 string"),
        ((73, "x", None), "Refused.detail: found NoneType, expected a UTF-8 string"),
        ((4, [1]), f"Insert.area: found array of 1, expected an area {AREA}"),
        ((4, [1, 2, 3]), f"Insert.area: found array of 3, expected an area {AREA}"),
        ((4, [4096, 4096]), f"Insert.area: found [0x1000, 0x1000], expected an area {AREA}"),
        ((4, [2, 1]), f"Insert.area: found [0x2, 0x1], expected an area {AREA}"),
        ((4, [-1, 1]), f"Insert.area: found int -1, expected an area {AREA}"),
        ((4, [0, 1.5]), f"Insert.area: found float, expected an area {AREA}"),
        ((4, [0, True]), f"Insert.area: found bool, expected an area {AREA}"),
        ((4, [False, 1]), f"Insert.area: found bool, expected an area {AREA}"),
        ((4, [1, 2, 0, None]), f"Insert.area: found array of 4 for a bare area, expected an area {AREA}"),
        ((4, [1, 2, 3, 4]), f"Insert.area: found byte 0x04, no array, expected an area {AREA}"),
        ((4, [1, 2, 3, [1, "x", 2]]), f"Insert.area: found array of 3, expected an area {AREA}"),
        ((4, [1, 2, 3, [1, 2, 3, 4, 5]]), f"Insert.area: found int 2, expected an area {AREA}"),
        ((5, [[1, 2], [2, 1]]), f"InsertBatch.areas: found [0x2, 0x1], expected areas, each {AREA}"),
        ((5, [[1, 2], [3]]), f"InsertBatch.areas: found array of 1, expected areas, each {AREA}"),
    ],
)
def test_refuses_a_well_formed_array_that_is_no_message(values: tuple[object, ...], text: str) -> None:
    assert refusal(frame_of(*values)) == text


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("01", "message: found the end of the frame, expected an array [kind, field, ...]"),
        ("01 05", "message: found byte 0x05, no array, expected an array [kind, field, ...]"),
        ("01 80", "message: found byte 0x80, no array, expected an array [kind, field, ...]"),
        ("01 90 05", "message: found an empty array, expected an array [kind, field, ...]"),
        ("01 91", f"kind: found the end of the frame, {INT}"),
        ("01 93 01", f"Find.node_id: found the end of the frame, {INT}"),
        ("01 93 01 03 cf00", f"Find.addr: found the end of the frame, {INT}"),
        ("01 93 49 a2 78", "Refused.reason: found the end of the frame, expected a UTF-8 string"),
        ("01 92 04 05", f"Insert.area: found byte 0x05, no array, expected an area {AREA}"),
        ("01 92 04 92 01", f"Insert.area: found the end of the frame, expected an area {AREA}"),
        ("01 92 05 c0", f"InsertBatch.areas: found byte 0xc0, no array, expected areas, each {AREA}"),
        ("01 92 05 dd 00", f"InsertBatch.areas: found the end of the frame, expected areas, each {AREA}"),
        (
            "01 92 05 92 920102",
            f"InsertBatch.areas: found the end of the frame, expected areas, each {AREA}",
        ),
    ],
)
def test_refuses_a_message_cut_short_or_without_its_arrays(payload: str, text: str) -> None:
    assert refusal(framed(bytes.fromhex(payload))) == text


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("01 91 c1", "kind: found malformed msgpack (FormatError: "),
        (
            "01 93 01 03 92 01 02",
            "Find.addr: found malformed msgpack (ValueError: 2 exceeds max_array_len(0))",
        ),
        (
            "01 93 01 03 81 01 02",
            "Find.addr: found malformed msgpack (ValueError: 1 exceeds max_map_len(0))",
        ),
        (
            "01 93 01 03 c4 01 61",
            "Find.addr: found malformed msgpack (ValueError: 1 exceeds max_bin_len(0))",
        ),
        (
            "01 92 04 92 01 91 02",
            "Insert.area: found malformed msgpack (ValueError: 1 exceeds max_array_len(0))",
        ),
        ("01 93 49 a1ff a178", "Refused.reason: found malformed msgpack (UnicodeDecodeError: "),
        ("01 93 49 a3eda080 a178", "Refused.reason: found malformed msgpack (UnicodeDecodeError: "),
    ],
)
def test_refuses_malformed_or_nested_msgpack_with_its_reason(payload: str, text: str) -> None:
    assert refusal(framed(bytes.fromhex(payload))).startswith(text)


@pytest.mark.parametrize("value", [ExtType(5, b""), ExtType(5, b"x"), ExtType(5, b"xy" * 40)])
def test_refuses_extensions(value: ExtType) -> None:
    assert refusal(frame_of(1, 3, value)).startswith("Find.addr: found ")


@pytest.mark.parametrize("payload", ["c700ff", "d6ff00000000", "c70cff0000000000000000000000ff", "d400ff"])
def test_refuses_timestamps_of_every_length(payload: str) -> None:
    assert refusal(framed(bytes.fromhex("01 93 01 03" + payload))).startswith("Find.addr: found ")


def test_refuses_bytes_after_the_last_field_within_the_frame() -> None:
    text = "Inserted: found 1 bytes after the last field, expected none"
    assert refusal(framed(bytes.fromhex("01 92 42 05 00"))) == text


@pytest.mark.parametrize(
    "payload",
    [
        b"\x01\x92\x05\xdd\xff\xff\xff\xff",
        b"\x01\x92\x05\xdd\xff\xff\xff\xff\x92\x01\x02",
        b"\x01\xdd\xff\xff\xff\xff\x05",
        b"\x01\x93\x49\xdb\xff\xff\xff\xff",
        b"\x01" + b"\xdd\x00\x01\x00\x00" * 2000,
        b"\x01\x92\x05" + b"\xdd\x00\x01\x00\x00" * 2000,
        b"\x01\x93\x01" + b"\xdd\x00\x01\x00\x00" * 2000,
        b"\x01\x92\x04\x92" + b"\x91" * 10_000,
        b"\x01\x93\x01" + b"\x81" * 10_000,
    ],
)
def test_announced_sizes_and_nesting_take_no_memory(payload: bytes) -> None:
    """What is held, at the peak and afterwards, is bounded by what came, not by what it announces."""
    frame = framed(payload)
    tracemalloc.start()
    try:
        for _ in range(100):
            with suppress(ProtocolError):
                decode(frame)
        gc.collect()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20_000
    assert peak < 100_000 + 4 * len(payload)


# -- what the encoder refuses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Find(0, ULONG_MAX + 1), f"Find.addr: found int of 65 bits, {INT}"),
        (Find(0, 10**6000), f"Find.addr: found int of 19932 bits, {INT}"),
        (Find(-1, 0), f"Find.node_id: found int -1, {INT}"),
        (Find(True, 0), f"Find.node_id: found bool, {INT}"),
        (Find(0, 1.0), f"Find.addr: found float, {INT}"),  # type: ignore[arg-type]
        (Insert(VmapArea(2, 2)), f"Insert.area: found [0x2, 0x2], expected an area {AREA}"),
        (Insert(VmapArea(0, 2**64)), f"Insert.area: found int of 65 bits, expected an area {AREA}"),
        (Insert((1, 2)), f"Insert.area: found tuple of 2, expected an area {AREA}"),  # type: ignore[arg-type]
        (InsertBatch([]), f"InsertBatch.areas: found list of 0, expected areas, each {AREA}"),  # type: ignore[arg-type]
        (InsertBatch((PAGE, 1)), f"InsertBatch.areas: found int 1, expected areas, each {AREA}"),  # type: ignore[arg-type]
        (Areas((), more=0), "Areas.more: found int 0, expected a bool"),  # type: ignore[arg-type]
        (Refused(b"x", ""), "Refused.reason: found bytes, expected a UTF-8 string"),  # type: ignore[arg-type]
        (
            Refused("x", "ab\ud800"),
            "Refused.detail: found str with surrogates not allowed at 2, expected a UTF-8 string",
        ),
        (PAGE, "VmapArea has no kind number"),
    ],
)
def test_refuses_to_encode_what_the_wire_cannot_carry(message: Message, text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        encode(message)
    assert str(caught.value) == text


def test_largest_frame_goes_through_and_one_byte_more_does_not() -> None:
    """version, array, kind, empty reason and the detail's own header take 9 bytes of the 1 MiB."""
    largest = Refused("", "x" * (MAX_FRAME - 9))
    frame = encode(largest)
    assert len(frame) == HEADER_SIZE + MAX_FRAME
    assert decode(frame) == largest
    with pytest.raises(ProtocolError) as caught:
        encode(Refused("", "x" * (MAX_FRAME - 8)))
    assert str(caught.value) == "oversized frame: Refused has length 1048577, limit 1048576"


def test_fifty_five_thousand_areas_fit_in_a_frame() -> None:
    message = InsertBatch((VmapArea(START, END),) * 55_000)
    assert decode(encode(message)) == message


def test_limit_is_the_receivers_to_set() -> None:
    frame = encode(Find(3, START))
    assert decode(frame, max_frame=13) == Find(3, START)
    with pytest.raises(ProtocolError) as caught:
        decode(frame, max_frame=12)
    assert str(caught.value) == "oversized frame: length 13, limit 12"


# -- out of a stream --------------------------------------------------------------------------------

MESSAGES = [message for message, _ in GOLDEN]
STREAM = b"".join(encode(message) for message in MESSAGES)


def test_a_stream_fed_at_once_gives_all_messages_in_order() -> None:
    splitter = FrameSplitter()
    splitter.feed(STREAM)
    assert list(messages_in(splitter)) == MESSAGES
    assert list(messages_in(splitter)) == []


def test_a_stream_fed_byte_by_byte_gives_each_message_with_its_last_byte() -> None:
    splitter = FrameSplitter()
    for message in MESSAGES:
        *head, last = encode(message)
        for byte in head:
            splitter.feed(bytes([byte]))
            assert list(messages_in(splitter)) == []
        splitter.feed(bytes([last]))
        assert list(messages_in(splitter)) == [message]


@pytest.mark.parametrize("seed", range(20))
def test_a_stream_fed_in_random_pieces_gives_the_same_messages(seed: int) -> None:
    cuts = sorted(random.Random(seed).choices(range(len(STREAM) + 1), k=30))
    splitter, got = FrameSplitter(), list[Message]()
    for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
        splitter.feed(STREAM[start:end])
        got += messages_in(splitter)
    assert got == MESSAGES


def test_a_loop_may_be_left_and_begun_anew() -> None:
    splitter = FrameSplitter()
    splitter.feed(STREAM)
    first = next(messages_in(splitter))
    assert [first, *messages_in(splitter)] == MESSAGES


def test_the_messages_before_the_bad_bytes_come_first() -> None:
    splitter = FrameSplitter()
    splitter.feed(encode(Released()) + framed(b"\x02") + encode(Released()))
    messages = messages_in(splitter)
    assert next(messages) == Released()
    with pytest.raises(ProtocolError, match="unknown wire version 2"):
        next(messages)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("00000000", "empty frame: length 0, expected at least the wire version"),
        ("00000021", "oversized frame: length 33, limit 32"),
        ("00000001 02", "unknown wire version 2, known is 1"),
        ("00000003 01 91 63", "unknown kind 99"),
    ],
)
def test_bad_bytes_are_refused_as_soon_as_they_are_there(data: str, text: str) -> None:
    """The length alone is enough for the first two: no byte after it is waited for."""
    splitter = FrameSplitter(max_frame=32)
    splitter.feed(bytes.fromhex(data))
    assert broken(splitter) == text


def test_frame_at_the_limit_passes() -> None:
    splitter = FrameSplitter(max_frame=13)
    splitter.feed(encode(Find(3, START)))
    assert list(messages_in(splitter)) == [Find(3, START)]


def test_a_splitter_whose_payloads_are_left_takes_no_more_than_a_frame() -> None:
    splitter = FrameSplitter(max_frame=13)
    splitter.feed(encode(Find(3, START)))
    with pytest.raises(AssertionError, match="take payloads out before feeding more"):
        splitter.feed(b"\x00")


def test_a_splitter_holds_one_unfinished_frame_at_most() -> None:
    """A long stream of small pieces leaves no more behind than the frame that is under way."""
    splitter = FrameSplitter()
    piece = STREAM[:-1]
    tracemalloc.start()
    try:
        for _ in range(200):
            splitter.feed(piece)
            assert len(list(messages_in(splitter))) == len(MESSAGES) - 1
            splitter.feed(STREAM[-1:])
            assert list(messages_in(splitter)) == MESSAGES[-1:]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20_000
