"""A trace of the three vmalloc events, as any of the usual tools print it, read into typed records.

ftrace's own text, `trace-cmd report` and `perf script`; plain or gzip, a file or standard input. The first
event decides which head all lines have. Events of other kinds are counted and skipped, but for what programs
wrote into the trace: marks are kept apart.

- The order of records is the order of lines: that of printing, not of the locks. Several CPUs' events
  that race, and a task that was preempted before it printed, appear later than they happened.
- Times are whole nanoseconds of whichever clock was chosen; most texts have microseconds.

Reading takes about 3 µs a line.
"""

from contextlib import closing
from pathlib import Path
from typing import Final

from attrs import define, field

from sim.garbage import rare_collections
from sim.traces.errors import TraceError, Unprintable, quoted, shortened
from sim.traces.events import READERS, MarkEvent, TraceEvent, read_mark
from sim.traces.heads import HEADS, Head, remark
from sim.traces.lines import numbered_lines, place_of

_ALLOWED_FILE = (
    "the text of /sys/kernel/tracing/trace, of `trace-cmd report` or of `perf script`, plain or gzip, "
    "or - for standard input"
)
_SCALE_NS: Final[list[int]] = [10 ** (9 - digits) for digits in range(10)]
"""Nanoseconds of the last digit of a fraction of so many digits."""

_LATEST_NS = 10**18


@define
class Trace:
    """A trace as it was printed.

    `marks` are what programs wrote into it; `unknown` counts the other events by name; `lost` counts the
    events that the kernel or the tool says it lost, at least (it may not know how many); `cpus` are those that
    the tool says there are, else the highest that printed, plus 1.
    """

    events: list[TraceEvent] = field(factory=list)
    marks: list[MarkEvent] = field(factory=list)
    unknown: dict[str, int] = field(factory=dict)
    lost: int = 0
    cpus: int = 0


def read_trace(path: Path) -> Trace:
    """Read the trace at `path`, or from standard input if that is `-`, in one pass over its lines.

    Raises `TraceError` for a file that cannot be read, is no trace, has no vmalloc event or one that no
    kernel prints.
    """
    trace = Trace()
    head: Head | None = None
    with rare_collections(), closing(numbered_lines(path, _ALLOWED_FILE)) as lines:
        for number, text in lines:
            head = head or _head_of(text)
            try:
                if head is None or not (found := head.pattern.fullmatch(text)) or text[0] == "#":
                    _read_remark(trace, text, head)
                else:
                    printer, seconds, fraction, event, fields = found.groups()
                    printed = (number, *head.printer(printer), _time_ns(seconds, fraction))
                    _read_event(trace, printed, event, fields)
            except Unprintable as problem:
                raise TraceError(place_of(path, number), problem.found, problem.allowed) from None
    _judge(trace, path)
    return trace


def _head_of(text: str) -> Head | None:
    """Tell which head an event's line has; None for any other line."""
    return next((head for head in HEADS if text[:1] != "#" and head.pattern.fullmatch(text)), None)


def _time_ns(seconds: str, fraction: str) -> int:
    time_ns: int = int(seconds) * 1_000_000_000 + int(fraction) * _SCALE_NS[len(fraction)]
    if time_ns >= _LATEST_NS:
        raise Unprintable(f"a time of {time_ns} ns", "less than 10**9 seconds")
    return time_ns


def _read_event(trace: Trace, printed: tuple[int, int, str, int, int], event: str, fields: str) -> None:
    reader = READERS.get(event)
    if reader is not None:
        trace.events.append(reader(printed, fields))
    elif mark := read_mark(printed, event, fields):
        trace.marks.append(mark)
    else:
        trace.unknown[event] = trace.unknown.get(event, 0) + 1


def _read_remark(trace: Trace, text: str, head: Head | None) -> None:
    """Read a line that is no event; raises `Unprintable` if no tool prints it."""
    said = remark(text)
    if said is None:
        shown = [head.shown] if head else [each.shown for each in HEADS]
        raise Unprintable(quoted(text), " or ".join(shown))
    trace.cpus = said.cpus or trace.cpus
    trace.lost += said.lost


def _judge(trace: Trace, path: Path) -> None:
    if not trace.events:
        others = ", ".join(sorted(trace.unknown)) or ("marks only" if trace.marks else "no other events either")
        allowed = "a trace with some: record with trace_event=vmalloc:*"
        raise TraceError(f"{place_of(path)}: no vmalloc events", shortened(others), allowed)
    trace.cpus = trace.cpus or 1 + max(event.cpu for event in trace.events)
