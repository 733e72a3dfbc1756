"""What tools print before an event: who printed it, on which CPU, when. One `Head` for each way to print it.

ftrace's own text (`/sys/kernel/tracing/trace`, print_trace_line() in kernel/trace/trace_output.c) and
`trace-cmd report` share a head; they differ in padding, and in flags that some versions leave out:

    TASK-PID     [CPU] FLAGS SECONDS.MICROSECONDS: event: fields

`perf script` (its default fields for tracepoints; nanoseconds with `--ns`, `PID/TID` with `-F +pid`) prints

    TASK   TID [CPU] SECONDS.MICROSECONDS:   system:event: fields

A task's name has at most 15 characters, of any kind. perf's thread id is what the others call PID. What else
tools print, how many CPUs there are and how many events were lost, is a `Remark`, whoever prints it.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from attrs import frozen

from sim.traces.errors import Unprintable

HIGHEST_CPU = 4095

Printer: TypeAlias = tuple[int, str, int]
"""CPU, task, PID: what repeats from line to line."""


@frozen
class Head:
    """One way to print the beginning of an event's line.

    `pattern` matches a whole line: printer, seconds, their fraction, event, fields. `printer` takes the first
    of these apart; it remembers the latest few thousand.
    """

    shown: str
    pattern: re.Pattern[str]
    printer: Callable[[str], Printer]


@frozen
class Remark:
    """What a line that is no event says: CPUs of the machine, or events that were lost, at least."""

    cpus: int = 0
    lost: int = 0


def _head(shown: str, printer: str, time_and_event: str) -> Head:
    """Make a head of its two patterns; `printer` has groups for task, PID and CPU.

    White space beside a task's name is bounded, so that a line of nothing else takes no time to refuse.
    """
    groups = re.compile(printer, re.ASCII)

    @lru_cache(maxsize=4096)
    def taken_apart(text: str) -> Printer:
        found = groups.fullmatch(text)
        assert found is not None, f"{text!r} was matched before"
        task, pid, cpu = found.groups()
        if int(cpu) > HIGHEST_CPU:
            raise Unprintable(f"CPU {int(cpu)}", f"CPUs below {HIGHEST_CPU + 1}")
        return int(cpu), task.rstrip(), int(pid)

    without_groups = re.sub(r"(?<!\\)\((?!\?)", "(?:", printer)
    whole = rf"\s{{0,40}}({without_groups})\s+{time_and_event}:\s*(.*)"
    return Head(shown, re.compile(whole, re.ASCII), taken_apart)


_TIME = r"(\d{1,12})\.(\d{1,9})"

TASK_PID = _head(
    "TASK-PID [CPU] FLAGS SECONDS.MICROSECONDS: event: fields",
    r"(.{0,15})-(\d{1,10})\s+"
    r"(?:\([\s\d-]+\)\s+)?"  # TGID, with the option record-tgid
    r"\[(\d{1,5})\]",
    r"(?:[^\s\d]\S{3,4}\s+)?"  # flags: 4 in older kernels, none without irq-info or before trace-cmd 3.2
    + _TIME
    + r": (\w+)",
)
PERF = _head(
    "TASK TID [CPU] SECONDS.MICROSECONDS: system:event: fields",
    r"(.{0,15})\s{1,40}(?:\d{1,10}/)?(\d{1,10})\s+\[(\d{1,5})\]",
    _TIME + r":\s+(?:\w+:)?(\w+)",
)
HEADS = (TASK_PID, PERF)

_LOST = (
    r"CPU:\d+ \[LOST (?:(\d{1,20}) )?EVENTS\]",  # ftrace
    r"CPU:\d+ \[(?:(\d{1,20}) )?EVENTS DROPPED\]",  # trace-cmd report
    r".*: PERF_RECORD_LOST(?:_SAMPLES)? lost (\d{1,20})",  # perf script --show-lost-events
)
_CPUS = (
    r"#.*#P:(\d{1,5})",  # ftrace
    r"cpus=(\d{1,5})",  # trace-cmd report
    r"# nrcpus avail : (\d{1,5})",  # perf script --header
)
_SAYS_NOTHING = (r"(?:#.*|version = .*|CPU \d+ is empty)?",)  # the last two: trace-cmd report
_REMARKS = [re.compile(pattern, re.ASCII) for pattern in (*_CPUS, *_LOST, *_SAYS_NOTHING)]


def remark(text: str) -> Remark | None:
    """Read a line that is no event; None if no tool prints it."""
    for index, pattern in enumerate(_REMARKS):
        if found := pattern.fullmatch(text):
            if index < len(_CPUS):
                return Remark(cpus=int(found[1]))
            return Remark(lost=int(found[1] or 1)) if found.re.groups else Remark()
    return None
