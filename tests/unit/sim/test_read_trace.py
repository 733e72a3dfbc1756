"""Reading traces: what each line of each tool becomes, and what each wrong file is told."""

import gzip
import io
import os
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from attrs import evolve

from sim.errors import BadInput
from sim.traces.errors import TraceError
from sim.traces.events import AllocEvent, FreeEvent, MarkEvent, PurgeEvent
from sim.traces.read import Trace, read_trace

DATA = Path(__file__).parents[2] / "data"
SHIPPED = Path(__file__).parents[3] / "configs" / "traces" / "deb-smp4.txt.gz"

ALLOC_FIELDS = (
    "va_start: 18446683600570081280 size=8192 align=1 vstart=0xffffc90000000000 vend=0xffffe8ffffffffff failed=0"
)
FREE_FIELDS = "va_start=0xffffc9000025c000 nr_lazy=5 nr_lazy_max=24576"
ALLOC = f"          <idle>-0       [000] ...1.     0.036157: alloc_vmap_area: {ALLOC_FIELDS}"
FREE = f"     kworker/0:0-9       [003] .....     6.686109: free_vmap_area_noflush: {FREE_FIELDS}"
PURGE = (
    "            init-1       [002] .....    10.838257: purge_vmap_area_lazy:"
    " start=0xffffc9000023c000 end=0xffffc90000415000 num_purged=14"
)
PURGE_OF_NONE = (
    "          <idle>-0       [000] d..1.     0.000000: purge_vmap_area_lazy:"
    " start=0xffffffffffffffff end=0x0 num_purged=0"
)
MARK = "            init-1       [003] .....    12.080232: tracing_mark_write: SNAP-BEGIN before"


def read(tmp_path: Path, *lines: str) -> Trace:
    path = tmp_path / "trace.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_trace(path)


def complaint(path: Path) -> str:
    """What the reader says about `path`; always one line that names the file and what is allowed."""
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "; allowed: " in text
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


# -- records --------------------------------------------------------------------------------------


def test_an_allocation_has_a_decimal_address(tmp_path: Path) -> None:
    """Each field of `alloc_vmap_area` is read in its own base."""
    assert read(tmp_path, ALLOC).events == [
        AllocEvent(
            line=1,
            cpu=0,
            task="<idle>",
            pid=0,
            time_ns=36_157_000,
            va_start=0xFFFF_C900_0000_E000,
            size=8192,
            align=1,
            vstart=0xFFFF_C900_0000_0000,
            vend=0xFFFF_E8FF_FFFF_FFFF,
            failed=False,
        )
    ]


def test_a_failed_allocation_is_a_record(tmp_path: Path) -> None:
    """`failed=1` is kept, for the reader to skip or count."""
    (event,) = read(tmp_path, ALLOC.replace("failed=0", "failed=1")).events

    assert isinstance(event, AllocEvent)
    assert event.failed


def test_a_free_has_a_hexadecimal_address(tmp_path: Path) -> None:
    """Each field of `free_vmap_area_noflush` is read."""
    assert read(tmp_path, FREE).events == [
        FreeEvent(
            line=1,
            cpu=3,
            task="kworker/0:0",
            pid=9,
            time_ns=6_686_109_000,
            va_start=0xFFFF_C900_0025_C000,
            nr_lazy=5,
            nr_lazy_max=24_576,
        )
    ]


def test_a_purge_has_a_range(tmp_path: Path) -> None:
    """Each field of `purge_vmap_area_lazy` is read, also of a purge that found nothing."""
    assert read(tmp_path, PURGE, PURGE_OF_NONE).events == [
        PurgeEvent(1, 2, "init", 1, 10_838_257_000, 0xFFFF_C900_0023_C000, 0xFFFF_C900_0041_5000, 14),
        PurgeEvent(2, 0, "<idle>", 0, 0, 2**64 - 1, 0, 0),
    ]


@pytest.mark.parametrize(
    ("head", "task", "pid", "cpu"),
    [
        ("     kworker/3:2-66      [003] .....", "kworker/3:2", 66, 3),
        ("          <idle>-0       [000] d..1.", "<idle>", 0, 0),
        ("           <...>-2       [001] .....", "<...>", 2, 1),
        (" Web Content-1-2-77      [000] .....", "Web Content-1-2", 77, 0),
        ("      a: [b] c-3-4       [127] .....", "a: [b] c-3", 4, 127),
        (" -1 [000] 1.0: x-5       [001] .....", "-1 [000] 1.0: x", 5, 1),
        ("                -6       [000] .....", "", 6, 0),
        ("             größe-7       [000] .....", "größe", 7, 0),
        ("            init-1       (    123) [003] .....", "init", 1, 3),
        ("          <idle>-0       (-------) [003] .....", "<idle>", 0, 3),
        ("     cat-123 [002] dNh1", "cat", 123, 2),
        ("     cat-123   [002]", "cat", 123, 2),
        ("cat-4194304 [002] b..22", "cat", 4_194_304, 2),
    ],
)
def test_heads_of_all_shapes(tmp_path: Path, head: str, task: str, pid: int, cpu: int) -> None:
    """Odd task names, the column of thread groups, four, five or no flags: the same record."""
    (event,) = read(tmp_path, f"{head}     6.686109: free_vmap_area_noflush: {FREE_FIELDS}").events

    assert (event.task, event.pid, event.cpu, event.time_ns) == (task, pid, cpu, 6_686_109_000)


def test_times_are_exact(tmp_path: Path) -> None:
    """Nanoseconds are whole numbers, also where a float would round, and for any length of fraction."""
    times = ["999999999.000001", "0.1", "1.123456789"]
    trace = read(tmp_path, *(FREE.replace("6.686109", time) for time in times))

    assert [event.time_ns for event in trace.events] == [
        999_999_999_000_001_000,
        100_000_000,
        1_123_456_789,
    ]


# -- what is no record ----------------------------------------------------------------------------


def test_other_events_are_counted(tmp_path: Path) -> None:
    """An unknown event is no fault, whatever it prints."""
    lock = "            init-1       [002] .....    11.857207: busy_lock: (_raw_spin_lock+0x4/0x30) lock=0xf"
    trace = read(tmp_path, lock, ALLOC, lock, lock.partition(": (")[0] + ":")

    assert trace.unknown == {"busy_lock": 3}
    assert [event.line for event in trace.events] == [2]


def test_a_mark_that_quotes_an_event_is_a_mark(tmp_path: Path) -> None:
    """Only the first event name of a line counts; what a program wrote into the trace is no event."""
    trace = read(tmp_path, ALLOC, MARK + FREE)

    assert (len(trace.events), trace.unknown) == (1, {})
    assert trace.marks == [MarkEvent(2, 3, "init", 1, 12_080_232_000, "SNAP-BEGIN before" + FREE)]


def test_comments_and_empty_lines_are_skipped_but_numbered(tmp_path: Path) -> None:
    """A line's number is that in the file; a commented-out event is a comment."""
    trace = read(tmp_path, "# tracer: nop", "#", "", "#" + FREE[1:], FREE + "\r")

    assert [event.line for event in trace.events] == [5]


def test_lost_events_are_added_up(tmp_path: Path) -> None:
    """The kernel says how many events it lost, or only that it lost some: then at least one."""
    trace = read(tmp_path, ALLOC, "CPU:3 [LOST 123 EVENTS]", FREE, "CPU:0 [LOST 7 EVENTS]", "CPU:1 [LOST EVENTS]")

    assert trace.lost == 131
    assert len(trace.events) == 2


def test_cpus_are_those_of_the_header(tmp_path: Path) -> None:
    """`#P:` tells the number of CPUs; without it the highest that printed does."""
    header = "# entries-in-buffer/entries-written: 35364/35364   #P:16"

    assert read(tmp_path, header, FREE).cpus == 16
    assert read(tmp_path, FREE, ALLOC).cpus == 4


def test_gzip_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    """Neither plain text called `.gz` nor gzip called `.txt` is misread."""
    plain, packed = tmp_path / "plain.gz", tmp_path / "packed.txt"
    plain.write_text(ALLOC)
    packed.write_bytes(gzip.compress(ALLOC.encode()))

    assert read_trace(plain) == read_trace(packed)


def test_the_shipped_trace() -> None:
    """The trace of `configs/traces` has the counts that its README gives."""
    trace = read_trace(SHIPPED)

    assert Counter(type(event) for event in trace.events) == {
        AllocEvent: 16_256,
        FreeEvent: 16_122,
        PurgeEvent: 2_978,
    }
    assert (trace.unknown, trace.lost, trace.cpus) == ({}, 0, 4)
    assert [mark.text for mark in trace.marks] == [
        "SNAP-BEGIN before",
        "SNAP-END before",
        "WORKLOAD-BEGIN debian",
        "SNAP-BEGIN mid",
        "SNAP-END mid",
        "WORKLOAD-END debian",
        "SNAP-BEGIN after",
        "SNAP-END after",
    ]
    assert sum(event.num_purged for event in trace.events if isinstance(event, PurgeEvent)) == 16_115
    assert not any(event.failed for event in trace.events if isinstance(event, AllocEvent))


# -- the tools ------------------------------------------------------------------------------------


def boot(tool: str) -> Trace:
    """The first 275 events of a real boot, printed by `tool` itself (tests/data/README.md)."""
    return read_trace(DATA / f"deb-smp4-boot-{tool}.txt.gz")


@pytest.mark.parametrize("tool", ["trace-cmd", "perf"])
def test_tools_print_the_same_events(tool: str) -> None:
    """trace-cmd's and perf's own text of a real kernel's events gives the records that ftrace's gives."""
    expected, found = boot("ftrace"), boot(tool)

    assert [evolve(event, line=0) for event in found.events] == [evolve(event, line=0) for event in expected.events]
    assert (found.cpus, found.lost, found.unknown) == (expected.cpus, 0, {})


def test_trace_cmd_prints_marks() -> None:
    """What programs wrote is an event `print` there; perf cannot record it."""
    expected = [evolve(mark, line=0) for mark in boot("ftrace").marks]

    assert [mark.text for mark in expected] == ["SNAP-BEGIN before", "SNAP-END before", "WORKLOAD-BEGIN debian"]
    assert [evolve(mark, line=0) for mark in boot("trace-cmd").marks] == expected
    assert boot("perf").marks == []


def test_lines_are_numbered_as_in_the_file() -> None:
    """ftrace's header has 12 lines, trace-cmd's has one, perf has none."""
    assert [boot(tool).events[0].line for tool in ("ftrace", "trace-cmd", "perf")] == [13, 2, 1]


TRACE_CMD_FREE = f"     kworker/0:0-9     [003] .....     6.686109: free_vmap_area_noflush: {FREE_FIELDS}"
PERF_FREE = f"     kworker/0:0     9 [003]     6.686109: vmalloc:free_vmap_area_noflush: {FREE_FIELDS}"


@pytest.mark.parametrize(
    ("head", "task", "pid"),
    [
        ("        kthreadd     2 [003]     6.686109:        ", "kthreadd", 2),
        ("        kthreadd     2 [003]     6.686109000:        ", "kthreadd", 2),
        ("        kthreadd     2/7     [003]     6.686109:        ", "kthreadd", 7),
        ("   Web Content 1   77 [003]     6.686109: ", "Web Content 1", 77),
        ("  1 [003]  1.0: x     5 [003]     6.686109: ", "1 [003]  1.0: x", 5),
        ("             a-1 4194304 [003]     6.686109: ", "a-1", 4_194_304),
        ("                     6 [003]     6.686109: ", "", 6),
    ],
)
def test_heads_of_perf(tmp_path: Path, head: str, task: str, pid: int) -> None:
    """Odd task names, nanoseconds (`--ns`), processes beside threads (`-F +pid`): the thread's id counts."""
    (event,) = read(tmp_path, f"{head}vmalloc:free_vmap_area_noflush: {FREE_FIELDS}").events

    assert (event.task, event.pid, event.cpu, event.time_ns) == (task, pid, 3, 6_686_109_000)


def test_versions_of_trace_cmd(tmp_path: Path) -> None:
    """Flags since 3.2, nanoseconds (`-t`), and what else it prints before the first event."""
    trace = read(tmp_path, "version = 6", "CPU 2 is empty", "cpus=16", TRACE_CMD_FREE.replace("109:", "109123:"))

    assert trace.events == [
        FreeEvent(4, 3, "kworker/0:0", 9, 6_686_109_123, 0xFFFF_C900_0025_C000, 5, 24_576),
    ]
    assert trace.cpus == 16


def test_tools_say_what_they_lost(tmp_path: Path) -> None:
    """trace-cmd says how many events were dropped, or that some were; perf does with `--show-lost-events`."""
    lost = "            init     1 [002]     9.000000: PERF_RECORD_LOST lost 17"

    assert read(tmp_path, TRACE_CMD_FREE, "CPU:0 [123 EVENTS DROPPED]", "CPU:1 [EVENTS DROPPED]").lost == 124
    assert read(tmp_path, PERF_FREE, lost, lost).lost == 34


def test_perf_says_how_many_cpus_there_are(tmp_path: Path) -> None:
    """`perf script --header` has them among its comments; those that were there count, not those online."""
    assert read(tmp_path, "# nrcpus online : 6", "# nrcpus avail : 8", PERF_FREE).cpus == 8


def test_the_first_event_decides_how_lines_begin(tmp_path: Path) -> None:
    """A file that changes its tool half way is two files; who looks for one head is told of one."""
    path = tmp_path / "trace.txt"
    path.write_text(f"{PERF_FREE}\n{FREE}\n")

    assert complaint(path).startswith("line 2: found '     kworker/0:0-9 ")
    assert complaint(path).endswith("; allowed: TASK TID [CPU] SECONDS.MICROSECONDS: system:event: fields")


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    """`-` is standard input, plain or gzip; messages call it that."""
    content = f"{ALLOC}\n{FREE}\nno event\n".encode()

    def given(content: bytes) -> None:
        stream = io.BytesIO(gzip.compress(content) if packed else content)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(stream)))

    given(content[:-9])
    assert [event.line for event in read_trace(Path("-")).events] == [1, 2]
    given(content)
    with pytest.raises(TraceError, match=r"^standard input: line 3: found 'no event'; allowed: TASK-PID"):
        read_trace(Path("-"))


def test_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may be started without one."""
    monkeypatch.setattr("sys.stdin", None)

    with pytest.raises(TraceError, match=r"^standard input: found no readable file \(it is closed\)"):
        read_trace(Path("-"))


# -- what is wrong --------------------------------------------------------------------------------


def test_a_trace_error_is_the_users() -> None:
    """Who catches the wrong input of the interface for programs catches this too."""
    assert issubclass(TraceError, BadInput)


def test_a_missing_file(tmp_path: Path) -> None:
    """The system's own words say why it cannot be opened."""
    assert complaint(tmp_path / "missing.txt") == (
        "found no readable file (No such file or directory); "
        "allowed: the text of /sys/kernel/tracing/trace, of `trace-cmd report` or of `perf script`, plain or gzip, "
        "or - for standard input"
    )


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    """A directory, a device and a FIFO are told by what they are; opening a FIFO would wait for a writer."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    for path in (tmp_path, fifo, Path("/dev/zero")):
        assert complaint(path).startswith("found no regular file; ")


def test_a_path_that_no_system_takes(tmp_path: Path) -> None:
    """A NUL in a name is no reason for a traceback."""
    assert "no readable file (embedded null byte)" in complaint(tmp_path / "a\0b")


def test_a_path_through_a_file(tmp_path: Path) -> None:
    """Any other refusal of the system is told as well."""
    (tmp_path / "file").touch()

    assert "no readable file (Not a directory)" in complaint(tmp_path / "file" / "trace.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file(tmp_path: Path) -> None:
    """A file without permission is told so."""
    path = tmp_path / "trace.txt"
    path.touch(mode=0)

    assert "no readable file (Permission denied)" in complaint(path)


def test_a_truncated_gzip(tmp_path: Path) -> None:
    """A copy that broke off says so, and after which line."""
    path = tmp_path / "trace.txt.gz"
    path.write_bytes(SHIPPED.read_bytes()[:100_000])
    text = complaint(path)

    assert "a gzip file that ends early" in text
    assert int(text.partition("after line ")[2].partition(":")[0]) > 1_000


def test_a_corrupt_gzip(tmp_path: Path) -> None:
    """Changed bytes are found by the decompressor or, at the latest, by its checksum."""
    path = tmp_path / "trace.txt.gz"
    packed = bytearray(gzip.compress(ALLOC.encode()))
    packed[-8] ^= 0xFF
    path.write_bytes(packed)
    assert "a corrupt gzip file (CRC check failed" in complaint(path)

    path.write_bytes(packed[:10] + b"\xff" * 10)
    assert "a corrupt gzip file (" in complaint(path)

    path.write_bytes(packed[:2] + b"\xff" * 10)
    assert "a corrupt gzip file (" in complaint(path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A binary file is refused at the first line that is not UTF-8."""
    path = tmp_path / "trace.dat"
    path.write_bytes(ALLOC.encode() + b"\n\xff\xfe\x00")

    assert complaint(path).startswith("line 2: found bytes that are not UTF-8")


def test_a_line_that_is_no_event(tmp_path: Path) -> None:
    """The line's number and its beginning are shown, with no control characters, and how a line looks."""
    path = tmp_path / "trace.txt"
    path.write_text(f"{ALLOC}\n\n\x1b[2J{'x' * 100}\n")

    assert complaint(path) == (
        f"line 3: found '\\x1b[2J{'x' * 53}...'; allowed: TASK-PID [CPU] FLAGS SECONDS.MICROSECONDS: event: fields"
    )


def test_a_line_of_white_space_is_refused_at_once(tmp_path: Path) -> None:
    """No pattern tries all ways to divide 60,000 blanks between the columns: that would take hours."""
    path = tmp_path / "trace.txt"
    path.write_text(f"{' ' * 60_000}x\n")

    assert complaint(path).endswith(
        "...'; allowed: TASK-PID [CPU] FLAGS SECONDS.MICROSECONDS: event: fields "
        "or TASK TID [CPU] SECONDS.MICROSECONDS: system:event: fields"
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_without_end(tmp_path: Path, packed: bool) -> None:
    """Of 50 MB without a line break 64 KiB are read; a line of just that length is still a line."""
    path = tmp_path / "trace.txt"
    longest = MARK.encode() + b"x" * (64 * 1024 - len(MARK) - 1) + b"\n"
    content = ALLOC.encode() + b"\n" + longest + b" " * 50_000_000
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    tracemalloc.start()
    text = complaint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert text == "line 3: found no end of the line; allowed: 64 KiB at most"
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (ALLOC.replace("=8192", "=0"), "found size=0; allowed: a multiple of 4096 above 0"),
        (ALLOC.replace("=8192", "=8191"), "found size=8191; allowed: a multiple of 4096 above 0"),
        (
            ALLOC.replace("=8192", "=6000").replace("failed=0", "failed=1"),
            "found size=6000; allowed: a multiple of 4096 above 0",
        ),
        (
            ALLOC.replace("81280 ", "81281 "),
            "found va_start: 18446683600570081281; allowed: a multiple of 4096 above 0",
        ),
        (ALLOC.replace("18446683600570081280", "0"), "found va_start: 0; allowed: a multiple of 4096 above 0"),
        (
            ALLOC.replace("18446683600570081280", str(2**64 - 2 * 4096)),
            "found va_start: 18446744073709543424 size=8192; allowed: an area that ends at 2**64 - 4096 or below",
        ),
        (
            ALLOC.replace(
                "vstart=0xffffc90000000000 vend=0xffffe8ffffffffff",
                "vstart=0xffffe8ffffffffff vend=0xffffc90000000000",
            ),
            "found vstart=0xffffe8ffffffffff vend=0xffffc90000000000; allowed: a vstart that is not above vend",
        ),
        (
            ALLOC.replace("vend=0xffffe8ffffffffff failed=0", "vend=0xffffc8ffffffffff failed=1"),
            "found vstart=0xffffc90000000000 vend=0xffffc8ffffffffff; allowed: a vstart that is not above vend",
        ),
        (
            ALLOC.replace("vstart=0xffffc90000000000", "vstart=0xffffc9000000e001"),
            "found an area from 0xffffc9000000e000 to 0xffffc90000010000; "
            "allowed: an area within vstart=0xffffc9000000e001 vend=0xffffe8ffffffffff",
        ),
        (
            ALLOC.replace("vend=0xffffe8ffffffffff", "vend=0xffffc9000000ffff"),
            "found an area from 0xffffc9000000e000 to 0xffffc90000010000; "
            "allowed: an area within vstart=0xffffc90000000000 vend=0xffffc9000000ffff",
        ),
        (
            ALLOC.replace("size=8192", f"size={2**44}").replace(
                "vend=0xffffe8ffffffffff", "vend=0xffffc97fffffffff"
            ),
            "found an area from 0xffffc9000000e000 to 0xffffd9000000e000; "
            "allowed: an area within vstart=0xffffc90000000000 vend=0xffffc97fffffffff",
        ),
        (ALLOC.replace("align=1", "align=0"), "found align=0; allowed: a power of 2"),
        (ALLOC.replace("align=1", "align=12288"), "found align=12288; allowed: a power of 2"),
        (ALLOC.replace("=8192", f"={2**64}"), "found 18446744073709551616; allowed: numbers below 2**64"),
        (PURGE.replace("=14", f"={2**64}"), "found 18446744073709551616; allowed: numbers below 2**64"),
        (ALLOC.replace("[000]", "[4096]"), "found CPU 4096; allowed: CPUs below 4096"),
        (
            PURGE.replace("10.838257", "1000000000.000000"),
            "found a time of 1000000000000000000 ns; allowed: less than 10**9 seconds",
        ),
        (
            FREE.replace("25c000", "25c001"),
            "found va_start=0xffffc9000025c001; allowed: a multiple of 4096 above 0 and below 2**64 - 4096",
        ),
        (
            FREE.replace("ffffc9000025c000", "0"),
            "found va_start=0x0; allowed: a multiple of 4096 above 0 and below 2**64 - 4096",
        ),
        (
            FREE.replace("ffffc9000025c000", "fffffffffffff000"),
            "found va_start=0xfffffffffffff000; allowed: a multiple of 4096 above 0 and below 2**64 - 4096",
        ),
    ],
)
def test_values_that_no_kernel_prints(tmp_path: Path, line: str, text: str) -> None:
    """The text of a kernel, but not its numbers: the line, what it says, and what could be."""
    path = tmp_path / "trace.txt"
    path.write_text(f"{ALLOC}\n{line}\n")

    assert complaint(path) == f"line 2: {text}"


def test_values_at_the_borders(tmp_path: Path) -> None:
    """The highest area, CPU and time, and the address of a failed allocation, which is an error's number.

    An area may be all of its range, and a failed one is larger than that.
    """
    anywhere = ALLOC.replace("0xffffc90000000000", "0x0").replace("0xffffe8ffffffffff", "0xffffffffffffffff")
    highest = anywhere.replace("18446683600570081280", str(2**64 - 3 * 4096))
    exact = ALLOC.replace("0xffffc90000000000", "0xffffc9000000e000").replace(
        "0xffffe8ffffffffff", "0xffffc90000010000"
    )
    too_large = exact.replace("size=8192", "size=12288").replace("failed=0", "failed=1")
    failed = ALLOC.replace("18446683600570081280", str(2**64 - 12)).replace("failed=0", "failed=1")
    late = FREE.replace("[003]", "[4095]").replace("6.686109", "999999999.999999")
    lowest = FREE.replace("ffffc9000025c000", "1000")
    purge = PURGE.replace("=14", f"={2**64 - 1}")
    trace = read(tmp_path, highest, failed, exact, too_large, late, lowest, purge)

    assert [event.line for event in trace.events] == [1, 2, 3, 4, 5, 6, 7]
    assert trace.cpus == 4096


@pytest.mark.parametrize("time", ["1", "1.", ".5", "1e3", "-1.0", "1.0000000001", "9" * 5000 + ".0"])
def test_a_time_of_another_shape(tmp_path: Path, time: str) -> None:
    """A clock that counts no seconds (`x86-tsc`, `counter`) is no time."""
    path = tmp_path / "trace.txt"
    path.write_text(FREE.replace("6.686109", time))

    assert complaint(path).startswith("line 1: found ")


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (
            "alloc_vmap_area",
            ALLOC_FIELDS.replace("va_start: 18446683600570081280", "va_start: 0xffffc9000000e000"),
        ),
        ("alloc_vmap_area", ALLOC_FIELDS.replace(" align=1", "")),
        ("alloc_vmap_area", ALLOC_FIELDS + " more=1"),
        ("alloc_vmap_area", ALLOC_FIELDS.replace("8192", "9" * 5000)),
        ("free_vmap_area_noflush", FREE_FIELDS.replace("nr_lazy=5", "nr_lazy=-5")),
        ("free_vmap_area_noflush", "va_start=(____ptrval____) nr_lazy=5 nr_lazy_max=24576"),
        ("purge_vmap_area_lazy", "start=0x0 end=0x0"),
        ("purge_vmap_area_lazy", ""),
    ],
)
def test_a_known_event_with_other_fields(tmp_path: Path, event: str, fields: str) -> None:
    """Fields that a kernel does not print are shown, with those it does."""
    path = tmp_path / "trace.txt"
    path.write_text(f"{ALLOC}\n   init-1 [000] ..... 1.000000: {event}: {fields}\n")
    text = complaint(path)

    assert text.startswith(f"line 2: found '{event}: {fields[:20]}")
    assert text.endswith("(D decimal, H hexadecimal)")


def test_a_trace_without_vmalloc_events(tmp_path: Path) -> None:
    """A trace of something else says what it has, and how to record what is needed."""
    path = tmp_path / "trace.txt"
    path.write_text(f"# tracer: nop\n{MARK.replace('tracing_mark_write', 'busy_lock')}\n{MARK}\n")
    assert complaint(path) == (
        "no vmalloc events: found busy_lock; allowed: a trace with some: record with trace_event=vmalloc:*"
    )

    path.write_text(f"{MARK}\n")
    assert complaint(path).startswith("no vmalloc events: found marks only; ")

    path.write_text("")
    assert complaint(path).startswith("no vmalloc events: found no other events either; ")
