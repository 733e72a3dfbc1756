"""The state before the first line: what /proc/vmallocinfo showed when the recording began.

Which node an area was allocated on is not in the file; so what was there before goes back through the node of its
address, and pools begin empty.
"""

from collections.abc import Sequence

from attrs import evolve

from protocol.area import PAGE_SIZE, VmapArea
from sim.replay.past import Past
from sim.replay.state import NOWHERE, Held
from sim.traces.events import FreeEvent, TraceEvent
from sim.traces.read import Trace
from sim.vmallocinfo import UnpurgedLine, VmallocInfoLine


def with_unpurged(trace: Trace, records: Sequence[VmallocInfoLine]) -> Trace:
    """Give the trace with the frees of what was unpurged when it began, before its first line."""
    frees: list[TraceEvent] = []
    nr_lazy = 0
    for area in (record.area for record in records if isinstance(record, UnpurgedLine)):
        nr_lazy += area.size // PAGE_SIZE
        frees.append(FreeEvent(0, 0, "before", -1, 0, area.va_start, nr_lazy, 0))
    return evolve(trace, events=[*frees, *trace.events])


def occupy(past: Past, records: Sequence[VmallocInfoLine]) -> list[VmapArea]:
    """Take the areas of the records out of the free space, as busy ones; give those that overlap others."""
    refused = []
    for area in (record.area for record in records):
        if past.state.free.space.holds(area.va_start, area.va_end):
            past.state.free.take(area.va_start, area.va_end)
            past.state.add_busy(Held(area.va_start, area.va_end, NOWHERE))
        else:
            refused.append(area)
    return refused
