"""ftrace's own text, `/sys/kernel/tracing/trace`, as typed records of the three vmalloc events.

The events are those of include/trace/events/vmalloc.h: an address was taken (`alloc_vmap_area`, also
when that failed), an area became lazy (`free_vmap_area_noflush`), a purge ended (`purge_vmap_area_lazy`,
also when it found nothing). Other events are counted and skipped.

- The order of records is the order of lines: that of printing, not of the locks. Several CPUs' events
  that race, and a task that was preempted before it printed, appear later than they happened.
- `va_start` of an allocation is decimal in the text, all other addresses are hexadecimal. `size` includes
  the guard page. Of a failed allocation `va_start` is no address.
- Times are whole nanoseconds of whichever `trace_clock` was chosen; the text has microseconds.
- What a kernel cannot have printed is refused: areas that are no pages or lie outside the space that
  `vmap_init_free_space()` makes, `[1, ULONG_MAX)`, and numbers that do not fit into 64 bits.

Reading takes about 6 µs a line.
"""

import gzip
import io
import re
import stat
import zlib
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

from attrs import define, field

from protocol.area import PAGE_SIZE, ULONG_MAX
from sim.traces.errors import TraceError


@define
class Printed:
    """What every line says: its number in the file (from 1), the CPU and task that printed it, and when."""

    line: int
    cpu: int
    task: str
    pid: int
    time_ns: int


@define
class AllocEvent(Printed):
    """An address was asked for; bytes. `vend` is the last address of the space, as the kernel prints it."""

    va_start: int
    size: int
    align: int
    vstart: int
    vend: int
    failed: bool


@define
class FreeEvent(Printed):
    """An area became lazy; `nr_lazy` pages are lazy now, and beyond `nr_lazy_max` a purge is due."""

    va_start: int
    nr_lazy: int
    nr_lazy_max: int


@define
class PurgeEvent(Printed):
    """A purge of `num_purged` areas, all within `[start, end)`, ended; of none, `start` is ULONG_MAX."""

    start: int
    end: int
    num_purged: int


TraceEvent: TypeAlias = AllocEvent | FreeEvent | PurgeEvent


@define
class Trace:
    """A trace as it was printed.

    `unknown` counts the other events by name; `lost` counts the events that the kernel says it lost, at
    least (it may not know how many); `cpus` are those of the header, else the highest that printed, plus 1.
    """

    events: list[TraceEvent] = field(factory=list)
    unknown: dict[str, int] = field(factory=dict)
    lost: int = 0
    cpus: int = 0


Head: TypeAlias = tuple[int, int, str, int, int]
"""The fields of `Printed`, in order."""


@define
class _Rule:
    """What a record has to be: a test, what is shown of a record that fails it, and what is allowed."""

    holds: Callable[[Any], bool]
    shown: str
    allowed: str


_HIGHEST_END = 2**64 - PAGE_SIZE
_WHOLE_PAGES = f"a multiple of {PAGE_SIZE} above 0"

_PRINTED_RULES = (
    _Rule(lambda event: event.cpu < 4096, "CPU {0.cpu}", "CPUs below 4096"),
    _Rule(lambda event: event.time_ns < 10**18, "a time of {0.time_ns} ns", "less than 10**9 seconds"),
)
_ALLOC_RULES = (
    *_PRINTED_RULES,
    _Rule(lambda event: _whole_pages(event.size), "size={0.size}", _WHOLE_PAGES),
    _Rule(lambda event: event.align.bit_count() == 1, "align={0.align}", "a power of 2"),
    _Rule(lambda event: event.failed or _whole_pages(event.va_start), "va_start: {0.va_start}", _WHOLE_PAGES),
    _Rule(
        lambda event: event.failed or event.va_start + event.size <= _HIGHEST_END,
        "va_start: {0.va_start} size={0.size}",
        f"an area that ends at 2**64 - {PAGE_SIZE} or below",
    ),
)
_FREE_RULES = (
    *_PRINTED_RULES,
    _Rule(
        lambda event: _whole_pages(event.va_start) and event.va_start < _HIGHEST_END,
        "va_start={0.va_start:#x}",
        f"{_WHOLE_PAGES} and below 2**64 - {PAGE_SIZE}",
    ),
)


def _whole_pages(size: int) -> bool:
    return size > 0 and size % PAGE_SIZE == 0


@define
class _Kind:
    """How one event's fields are printed: a pattern, an example for people, what makes the record, its rules."""

    pattern: re.Pattern[str]
    example: str
    record: Callable[[Head, tuple[str, ...]], TraceEvent]
    rules: tuple[_Rule, ...]


def _alloc(head: Head, found: tuple[str, ...]) -> AllocEvent:
    va_start, size, align, vstart, vend, failed = found
    return AllocEvent(*head, int(va_start), int(size), int(align), int(vstart, 16), int(vend, 16), failed != "0")


def _free(head: Head, found: tuple[str, ...]) -> FreeEvent:
    va_start, nr_lazy, nr_lazy_max = found
    return FreeEvent(*head, int(va_start, 16), int(nr_lazy), int(nr_lazy_max))


def _purge(head: Head, found: tuple[str, ...]) -> PurgeEvent:
    start, end, num_purged = found
    return PurgeEvent(*head, int(start, 16), int(end, 16), int(num_purged))


def _kind(example: str, record: Callable[[Head, tuple[str, ...]], TraceEvent], rules: tuple[_Rule, ...]) -> _Kind:
    pattern = example.replace("0xH", "0x([0-9a-f]{1,16})").replace("D", r"(\d{1,20})")
    return _Kind(re.compile(pattern, re.ASCII), example, record, rules)


_KINDS = {
    "alloc_vmap_area": _kind("va_start: D size=D align=D vstart=0xH vend=0xH failed=D", _alloc, _ALLOC_RULES),
    "free_vmap_area_noflush": _kind("va_start=0xH nr_lazy=D nr_lazy_max=D", _free, _FREE_RULES),
    "purge_vmap_area_lazy": _kind("start=0xH end=0xH num_purged=D", _purge, _PRINTED_RULES),
}

_HEAD = re.compile(
    r"\s*(.{0,15})-(\d{1,10})\s+"  # a task's name has at most 15 characters, of any kind
    r"(?:\([\s\d-]+\)\s+)?"  # TGID, with the option record-tgid
    r"\[(\d{1,5})\]\s+"
    r"(?:[^\s\d]\S{3,4}\s+)?"  # flags: 4 in older kernels, none without the option irq-info
    r"(\d{1,12})\.(\d{1,9}): "
    r"(\w+):\s*(.*)",
    re.ASCII,
)
_LOST = re.compile(r"CPU:\d+ \[LOST (?:(\d{1,20}) )?EVENTS\]", re.ASCII)
_CPUS = re.compile(r"#.*#P:(\d{1,5})", re.ASCII)

_ALLOWED_LINE = "TASK-PID [CPU] FLAGS SECONDS.MICROSECONDS: event: fields"
_ALLOWED_FILE = "the text of /sys/kernel/tracing/trace, plain or gzip"
_LONGEST_LINE = 64 * 1024
_LARGEST = str(ULONG_MAX)
_SHOWN = 60
_GZIP_MAGIC = b"\x1f\x8b"


def read_ftrace(path: Path) -> Trace:
    """Read the trace at `path`, plain or gzip, in one pass over its lines.

    Raises `TraceError` for a file that cannot be read, is no trace, has no vmalloc event or one that no
    kernel prints. Of a line that is too long no more than its first 64 KiB are read.
    """
    trace = Trace()
    with closing(_lines(path)) as lines:
        for number, text in lines:
            if not text or text[0] == "#":
                _read_comment(trace, text)
            elif head := _HEAD.fullmatch(text):
                _read_event(trace, path, number, head)
            elif lost := _LOST.fullmatch(text):
                trace.lost += int(lost[1] or 1)
            else:
                raise TraceError(_wrong(f"{path}: line {number}", repr(_shortened(text)), _ALLOWED_LINE))
    _judge(trace, path)
    return trace


def _read_event(trace: Trace, path: Path, number: int, head: re.Match[str]) -> None:
    task, pid, cpu, seconds, fraction, event, fields = cast(tuple[str, ...], head.groups())
    kind = _KINDS.get(event)
    if kind is None:
        trace.unknown[event] = trace.unknown.get(event, 0) + 1
        return
    found = kind.pattern.fullmatch(fields)
    if found is None:
        shown = repr(_shortened(f"{event}: {fields}"))
        raise TraceError(_wrong(f"{path}: line {number}", shown, f"{kind.example} (D decimal, H hexadecimal)"))
    numbers = cast(tuple[str, ...], found.groups())
    for digits in numbers:
        if len(digits) == len(_LARGEST) and digits > _LARGEST:
            raise TraceError(_wrong(f"{path}: line {number}", digits, "numbers below 2**64"))
    time_ns = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0"))
    record = kind.record((number, int(cpu), task, int(pid), time_ns), numbers)
    for rule in kind.rules:
        if not rule.holds(record):
            raise TraceError(_wrong(f"{path}: line {number}", rule.shown.format(record), rule.allowed))
    trace.events.append(record)


def _read_comment(trace: Trace, text: str) -> None:
    if cpus := _CPUS.match(text):
        trace.cpus = int(cpus[1])


def _judge(trace: Trace, path: Path) -> None:
    if not trace.events:
        others = ", ".join(sorted(trace.unknown)) or "no other events either"
        allowed = "a trace with some: record with trace_event=vmalloc:*"
        raise TraceError(_wrong(f"{path}: no vmalloc events", _shortened(others), allowed))
    trace.cpus = trace.cpus or 1 + max(event.cpu for event in trace.events)


def _lines(path: Path) -> Generator[tuple[int, str], None, None]:
    """Yield the lines of `path` with their numbers, from 1, without the white space at their ends."""
    number = 0
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a FIFO waits for its writer
            raise TraceError(_wrong(f"{path}", "no regular file", _ALLOWED_FILE))
        with path.open("rb") as file:
            pieces = iter(partial(_unpacked(file).readline, _LONGEST_LINE + 1), b"")
            for number, line in enumerate(pieces, start=1):
                if len(line) > _LONGEST_LINE:
                    raise TraceError(_wrong(f"{path}: line {number}", "no end of the line", "64 KiB at most"))
                yield number, line.decode().rstrip()
    except UnicodeDecodeError as error:
        found = f"bytes that are not UTF-8 ({error.reason})"
        raise TraceError(_wrong(f"{path}: line {number}", found, _ALLOWED_FILE)) from error
    except (EOFError, OSError, ValueError, zlib.error) as error:  # ValueError: a path with a NUL
        place = f"{path}: after line {number}" if number else f"{path}"
        raise TraceError(_wrong(place, _why_unreadable(error), _ALLOWED_FILE)) from error


def _unpacked(file: io.BufferedReader) -> io.BufferedReader:
    packed = file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
    return io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file


def _why_unreadable(error: Exception) -> str:
    match error:
        case EOFError():
            return "a gzip file that ends early"
        case gzip.BadGzipFile() | zlib.error():
            return f"a corrupt gzip file ({error})"
        case _:
            return f"no readable file ({getattr(error, 'strerror', None) or error})"


def _wrong(place: str, found: str, allowed: str) -> str:
    return f"{place}: found {found}; allowed: {allowed}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
