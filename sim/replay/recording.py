"""The recording: a trace's events by what their lines say about when they can have happened.

An event happened after the previous line of its task and before its own (an allocation's line is printed after the
address was taken, by a task that can be preempted in between; a purge's at the purge's end). Only one purge runs
at a time (`vmap_purge_lock`), and prints under that lock: so it began after the line of the purge before.
"""

from collections import defaultdict
from collections.abc import Iterator

from attrs import define, field

from protocol.area import PAGE_SIZE
from sim.traces.ftrace import AllocEvent, FreeEvent, PurgeEvent, Trace, TraceEvent

BUCKET_BITS = 16
"""Allocations are found by the 64 KiB of addresses they touch."""


@define
class Recording:
    """The events of a trace by number, from 0, in the order of lines."""

    events: list[TraceEvent]
    cpus: int
    previous: list[int] = field(factory=list)
    """For each event the one that its task printed before, -1 if there is none."""
    purges: list[int] = field(factory=list)
    """The purges, in the order in which they ran."""
    frees: list[int] = field(factory=list)
    """The frees."""
    allocations: int = 0
    """Successful allocations."""
    full: set[int] = field(factory=set)
    """Purges that empty all pools: their task has just failed to allocate (`reclaim_and_purge_vmap_areas`)."""
    _touching: dict[int, list[int]] = field(factory=lambda: defaultdict(list))

    def allocations_over(self, va_start: int, va_end: int, after: int, until: int) -> Iterator[int]:
        """Give the allocations between two events that touch `[va_start, va_end)`, first per 64 KiB only."""
        for bucket in range(va_start >> BUCKET_BITS, (va_end - 1 >> BUCKET_BITS) + 1):
            for index in _between(self._touching.get(bucket, ()), after, until):
                event = self.events[index]
                assert isinstance(event, AllocEvent), "only allocations touch addresses"
                if event.va_start < va_end and va_start < event.va_start + event.size:
                    yield index


def _between(ascending: "list[int] | tuple[()]", after: int, until: int) -> Iterator[int]:
    from bisect import bisect_right

    for position in range(bisect_right(ascending, after), len(ascending)):
        if ascending[position] >= until:
            return
        yield ascending[position]


def recording_of(trace: Trace) -> Recording:
    """Look through a trace once."""
    recording = Recording(trace.events, trace.cpus)
    latest: dict[tuple[int, int], int] = {}
    for index, event in enumerate(trace.events):
        # Every CPU has an idle task of its own, and all of them have the number 0.
        task = (event.pid, -1 if event.pid else event.cpu)
        before = latest.get(task, -1)
        recording.previous.append(before)
        latest[task] = index
        match event:
            case AllocEvent(failed=False):
                recording.allocations += 1
                for bucket in range(
                    event.va_start >> BUCKET_BITS, (event.va_start + event.size - 1 >> BUCKET_BITS) + 1
                ):
                    recording._touching[bucket].append(index)
            case FreeEvent():
                recording.frees.append(index)
            case PurgeEvent():
                recording.purges.append(index)
                earlier = trace.events[before] if before >= 0 else None
                if isinstance(earlier, AllocEvent) and earlier.failed:
                    recording.full.add(index)
    return recording
