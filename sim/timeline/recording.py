"""Taking notes for a timeline: who held which lock when, which operations there were, what gauges showed.

Only a run that is asked for a timeline pays: its locks are `NotedLock`s. Notes are bounded: after `most` holds of
locks, or at the window's end, the timeline ends, at one instant for all tracks (`until_ns`). What was not over by
then is left out and counted. (Every operation holds a lock at least once: there are no more of them.)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from attrs import define, field, frozen

from actors.lock import FifoLock
from actors.world import Completed, Part

MOST_HOLDS = 200_000
"""Holds of locks in a timeline if nothing else is asked for: some 50 MB."""

NEVER = 2**63


@frozen
class Grant:
    """A lock was given to a CPU."""

    lock: str
    cpu: int
    arrival_ns: int
    start_ns: int
    end_ns: int
    sleeping: bool = False
    """A mutex: whoever holds it asks for other locks meanwhile."""


@frozen
class Operation:
    """An operation was completed; times as in its latency."""

    name: str
    cpu: int
    begin_ns: int
    end_ns: int
    probes: int
    addr: int
    part: bool = False
    """It was a part of an operation that was completed later."""


Gauges: TypeAlias = Mapping[str, int]
"""What can be counted at an instant: areas of a node, lazy pages, areas in pools."""


@define
class Timeline:
    """The notes of a run: up to `most` holds of locks, within a window of the run's clock."""

    most: int = MOST_HOLDS
    from_ns: int = 0
    until_ns: int = NEVER
    in_turn: bool = True
    """The operations of a CPU take turns. Where flows are run they need not: kworkers and threads overlap."""
    grants: list[Grant] = field(factory=list)
    operations: list[Operation] = field(factory=list)
    gauges: list[tuple[int, Gauges]] = field(factory=list)
    events_left_out: int = 0

    def lock(self, name: str) -> FifoLock:
        """Make a lock whose grants are noted."""
        return NotedLock(name, self._grant)

    def completed(self, operations: Sequence[Completed]) -> None:
        """Note operations, in the order in which they ended."""
        for row in operations:
            name, cpu, begin_ns, end_ns, probes, _queue_ns, _service_ns, addr, _answer = row
            if self._shows(begin_ns, end_ns):
                self.operations.append(Operation(name, cpu, begin_ns, end_ns, probes, addr, isinstance(row, Part)))

    def sample(self, now_ns: int, gauges: Gauges) -> None:
        """Note what gauges show now."""
        if self.from_ns <= now_ns <= self.until_ns:
            self.gauges.append((now_ns, gauges))

    def _grant(self, grant: Grant) -> None:
        if not self._shows(grant.arrival_ns, grant.end_ns):
            return
        if len(self.grants) == self.most:
            # Whatever is granted from now on ends after what is being served now.
            self.until_ns = grant.arrival_ns
            self.events_left_out += 1
            return
        self.grants.append(grant)

    def _shows(self, begin_ns: int, end_ns: int) -> bool:
        """Tell whether something is within the window; what is not is left out."""
        if begin_ns >= self.from_ns and end_ns <= self.until_ns:
            return True
        self.events_left_out += 1
        return False

    def finish(self, gauges: Gauges, now_ns: int) -> None:
        """End the timeline at one instant for all: leave out what was noted and is over later."""
        self.sample(now_ns, gauges)
        noted = len(self.grants) + len(self.operations)
        self.grants = [grant for grant in self.grants if grant.end_ns <= self.until_ns]
        self.operations = [operation for operation in self.operations if operation.end_ns <= self.until_ns]
        self.gauges = [(time_ns, values) for time_ns, values in self.gauges if time_ns <= self.until_ns]
        self.events_left_out += noted - len(self.grants) - len(self.operations)

    def described(self) -> str:
        """Say what the timeline holds and what it leaves out."""
        held = f"{len(self.grants):,} holds of locks and {len(self.operations):,} operations"
        if not self.events_left_out:
            return f"timeline: all {held}"
        end = "the end" if self.until_ns == NEVER else f"{self.until_ns:,} ns"
        return (
            f"timeline: {held} from {self.from_ns:,} ns to {end}; {self.events_left_out:,} others left out "
            f"(at most {self.most:,} holds)"
        )


class NotedLock(FifoLock):
    """A lock whose grants are noted. No attrs class: it has the statistics of its base, and no others."""

    def __init__(self, name: str, note: Callable[[Grant], None]) -> None:
        super().__init__(name)
        self._note = note

    def grant(self, cpu: int, arrival_ns: int, hold_ns: int) -> int:
        """See `FifoLock.grant`."""
        end_ns = super().grant(cpu, arrival_ns, hold_ns)
        self._note(Grant(self.name, cpu, arrival_ns, end_ns - hold_ns, end_ns))
        return end_ns

    def record(self, cpu: int, arrival_ns: int, start_ns: int, end_ns: int) -> None:
        """See `FifoLock.record`; noted when the hold is over."""
        super().record(cpu, arrival_ns, start_ns, end_ns)
        self._note(Grant(self.name, cpu, arrival_ns, start_ns, end_ns, sleeping=True))
