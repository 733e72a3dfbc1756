"""The recording: a trace's events by what their lines say about when they can have happened.

An event happened after the previous line of its task and before its own (an allocation's line is printed after the
address was taken, by a task that can be preempted in between; a purge's at the purge's end). Only one purge runs
at a time (`vmap_purge_lock`), and prints under that lock: so it began after the line of the purge before.
"""

from collections import defaultdict

from attrs import define, field

from protocol.area import PAGE_SIZE
from sim.replay.ranges import VmallocRange
from sim.replay.touching import Touching, between
from sim.traces.events import AllocEvent, FreeEvent, PurgeEvent, TraceEvent
from sim.traces.read import Trace

AGREEING = 5
"""Frees after a purge whose counters are compared."""


@define
class Recording:
    """The events of a trace by number, from 0, in the order of lines."""

    events: list[TraceEvent]
    cpus: int
    vmalloc: VmallocRange
    """The range of addresses that pools serve."""
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
    unknown_pages: dict[int, int] = field(factory=dict)
    """For frees of areas that no line allocated, the pages by which `nr_lazy` grew; at least 1."""
    freed_at: dict[int, list[int]] = field(factory=lambda: defaultdict(list))
    """The frees of each start address."""
    purged_pages: dict[int, int] = field(factory=dict)
    """For purges, the pages that had been purged from the beginning to their ends, where `nr_lazy` tells."""
    allocated_by: dict[int, int] = field(factory=dict)
    """For frees, the allocation that printed their area last."""
    touching: Touching = field(factory=Touching)
    """The allocations by what they touched."""

    def allocations_over(self, va_start: int, va_end: int, after: int, until: int) -> list[int]:
        """Give the allocations between two events that touch `[va_start, va_end)`, in no order, some twice."""
        return [index for index, _event in self._over(va_start, va_end, after, until)]

    def starts_over(self, va_start: int, va_end: int, until: int) -> set[int]:
        """Give the starts of all areas that touched `[va_start, va_end)` before an event."""
        return {event.va_start for _index, event in self._over(va_start, va_end, -1, until)}

    def _over(self, va_start: int, va_end: int, after: int, until: int) -> list[tuple[int, AllocEvent]]:
        events = self.events
        return [
            (index, event)
            for nearby in self.touching.around(va_start, va_end)
            for index in between(nearby, after, until)
            if isinstance(event := events[index], AllocEvent)
            and event.va_start < va_end
            and va_start < event.va_start + event.size
        ]

    def next_over(self, va_start: int, va_end: int, after: int) -> int | None:
        """Give the first allocation after an event that touches `[va_start, va_end)`, None if none does."""
        end = len(self.events)
        firsts = []
        for nearby in self.touching.around(va_start, va_end):
            for index in between(nearby, after, end):
                event = self.events[index]
                if isinstance(event, AllocEvent) and event.va_start < va_end and va_start < event.va_end:
                    firsts.append(index)
                    break
        return min(firsts, default=None)


def recording_of(trace: Trace, vmalloc: VmallocRange) -> Recording:
    """Look through a trace once."""
    recording = Recording(trace.events, trace.cpus, vmalloc)
    latest: dict[tuple[int, int], int] = {}
    allocations: dict[int, int] = {}
    nr_lazy = 0
    for index, event in enumerate(trace.events):
        # Every CPU has an idle task of its own, and all of them have the number 0.
        task = (event.pid, -1 if event.pid else event.cpu)
        before = latest.get(task, -1)
        recording.previous.append(before)
        latest[task] = index
        match event:
            case AllocEvent(failed=False):
                recording.allocations += 1
                allocations[event.va_start] = index
                recording.touching.add(index, event.va_start, event.size)
            case FreeEvent():
                recording.frees.append(index)
                recording.freed_at[event.va_start].append(index)
                allocation = allocations.pop(event.va_start, None)
                if allocation is not None:
                    recording.allocated_by[index] = allocation
                else:
                    recording.unknown_pages[index] = max(1, event.nr_lazy - nr_lazy)
                nr_lazy = event.nr_lazy
            case PurgeEvent():
                recording.purges.append(index)
                earlier = trace.events[before] if before >= 0 else None
                if isinstance(earlier, AllocEvent) and earlier.failed:
                    recording.full.add(index)
    recording.purged_pages = _purged_pages(trace.events)
    return recording


def _purged_pages(events: list[TraceEvent]) -> dict[int, int]:
    """Find how many pages each purge and all before it took: freed ones less those that are lazy, after its line.

    `nr_lazy` is the counter after a free has been added. Frees that race print in another order than they were
    added in; so the figure that most of the next frees agree on is taken.
    """
    pages_of: dict[int, int] = {}
    freed = before = 0
    figures: dict[int, list[int]] = {}
    latest: int | None = None
    for index, event in enumerate(events):
        match event:
            case AllocEvent(failed=False):
                pages_of[event.va_start] = event.size // PAGE_SIZE
            case FreeEvent():
                freed += pages_of.pop(event.va_start, max(0, event.nr_lazy - before))
                before = event.nr_lazy
                if latest is not None and len(figures[latest]) < AGREEING:
                    figures[latest].append(freed - event.nr_lazy)
            case PurgeEvent():
                latest = index
                figures[index] = []
    return {index: max(dict.fromkeys(found), key=found.count) for index, found in figures.items() if found}
