"""What must happen before what, when a trace is run again on other clocks.

Each CPU keeps its own order. Between CPUs two things must not be turned around: an area is looked up and
freed after it was allocated and freed after it was looked up, and an address is allocated again after its
former occupant was freed. All orders point from earlier to later in the trace, so nobody waits in a circle.
"""

from itertools import takewhile

from attrs import define, field

from protocol.area import VmapArea
from protocol.busy_tree import BusyTree


@define(eq=False)
class Step:
    """One operation of a CPU: "alloc", "free", "find" or "find_interior" of `area`, at `addr`.

    It begins at `at_ns` of the trace's time or later, and after the steps in `after`; `awaited` says that
    another CPU's step waits for this one.
    """

    cpu: int
    operation: str
    area: VmapArea
    addr: int
    at_ns: int
    after: list["Step"] = field(factory=list)
    awaited: bool = False


class Dependencies:
    """Links each new step to the steps of other CPUs that it has to come after."""

    def __init__(self) -> None:
        self._allocated_by: dict[int, Step] = {}
        self._latest_by_cpu: dict[int, dict[int, Step]] = {}
        self._vacated = BusyTree()
        self._vacated_by: dict[int, Step] = {}

    def allocate(self, step: Step) -> None:
        """Link an allocation to the frees of all who were at its addresses before."""
        for former in self._overlapping(step.area):
            self._link(step, self._vacated_by[former.va_start])
        self._allocated_by[step.area.va_start] = step
        self._latest_by_cpu[step.area.va_start] = {step.cpu: step}

    def look_up(self, step: Step) -> None:
        """Link a lookup to the allocation of its area."""
        self._link(step, self._allocated_by[step.area.va_start])
        self._latest_by_cpu[step.area.va_start][step.cpu] = step

    def free(self, step: Step) -> None:
        """Link a free to all that was done with its area, and leave its addresses to others."""
        del self._allocated_by[step.area.va_start]
        for latest in self._latest_by_cpu.pop(step.area.va_start).values():
            self._link(step, latest)
        for former in self._overlapping(step.area):
            self._vacated.unlink(former.va_start)
            vacated_by = self._vacated_by.pop(former.va_start)
            if former.va_start < step.area.va_start:
                self._vacate(VmapArea(former.va_start, step.area.va_start), vacated_by)
            if former.va_end > step.area.va_end:
                self._vacate(VmapArea(step.area.va_end, former.va_end), vacated_by)
        self._vacate(step.area, step)

    def _overlapping(self, area: VmapArea) -> list[VmapArea]:
        first = self._vacated.find(area.va_start)
        found = [] if first is None or first.va_start == area.va_start else [first]
        later = self._vacated.iterate_from(area.va_start)
        return found + list(takewhile(lambda former: former.va_start < area.va_end, later))

    def _vacate(self, area: VmapArea, step: Step) -> None:
        self._vacated.insert(area)
        self._vacated_by[area.va_start] = step

    def _link(self, later: Step, earlier: Step) -> None:
        if later.cpu != earlier.cpu and earlier not in later.after:
            earlier.awaited = True
            later.after.append(earlier)
