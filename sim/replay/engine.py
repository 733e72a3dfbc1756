"""Going through a trace, line by line: each event happens at its line, or has happened before, if that explains."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from attrs import define, field, frozen

from protocol.area import PAGE_SIZE
from protocol.kernel import Kernel
from sim.replay.correction import Correction
from sim.replay.line import Freed, Line, Purged, Source, Took
from sim.replay.purges import END
from sim.replay.recording import Recording
from sim.replay.search import How, Search
from sim.replay.state import NOWHERE
from sim.traces.events import AllocEvent, FreeEvent, PurgeEvent

Explanation: TypeAlias = Literal["as_printed", "inferred", "unexplained"] | How

KEEP_PURGES = 4
"""Purges back to which happenings can be taken back."""

KEEP = 4096
"""Happenings that can be taken back where there are no purges."""

TRIM_EVERY = 256
"""Events between two looks at how much can be forgotten."""

Progress: TypeAlias = Callable[[int, int], None]


@frozen
class Difference:
    """An allocation that no order explains: what the model expected, and what the kernel did."""

    line: int
    cpu: int
    pid: int
    size: int
    align: int
    source: Source
    """Where the model would have taken its address from."""
    expected: int | None
    actual: int
    owner: str
    """Who the model thought had the kernel's range."""


@frozen
class Inferred:
    """Something that must have happened and that no line tells of."""

    line: int
    """The line that shows it."""
    what: str


@define
class Replayed:
    """What came of a replay: counts of allocations by how they were explained, and what is left to explain."""

    kernel: str
    counts: dict[Explanation, int] = field(
        factory=lambda: {
            "as_printed": 0,
            "reordered": 0,
            "purge_phase": 0,
            "inferred": 0,
            "unexplained": 0,
        }
    )
    failed: int = 0
    """Allocations that failed in the kernel."""
    pool_hits: int = 0
    differences: list[Difference] = field(factory=list)
    """Those that are left unexplained."""
    inferred: list[Inferred] = field(factory=list)

    @property
    def allocations(self) -> int:
        """The allocations that the kernel made."""
        return sum(self.counts.values())

    @property
    def share(self) -> float:
        """The share whose address the model's own state gave: as printed, reordered, or in a purge's phase."""
        explained = sum(self.counts[how] for how in ("as_printed", "reordered", "purge_phase"))
        return explained / self.allocations if self.allocations else 0.0


class Engine:
    """Replays a recording on one kernel."""

    def __init__(self, recording: Recording, kernel: Kernel, cpus: int, zone_size: int, searching: bool) -> None:
        """Make a kernel of `cpus` possible CPUs; without `searching` nothing but the order of lines is tried."""
        self.line = Line(recording, kernel, cpus, zone_size)
        self.correction = Correction(self.line)
        self.result = Replayed(kernel.name)
        self._recording = recording
        self._search = Search(self.line) if searching else None
        self._purges_seen = 0

    def run(self, progress: Progress = lambda _done, _total: None) -> Replayed:
        """Go through all events."""
        events = self._recording.events
        for index, event in enumerate(events):
            if not self.line.past.done[index]:
                match event:
                    case AllocEvent():
                        self._allocate(index, event)
                    case FreeEvent():
                        self._free(index, event)
                    case PurgeEvent():
                        self._purge(index)
            elif isinstance(event, AllocEvent) and not event.failed:
                self._count("reordered")
            if index % TRIM_EVERY == 0:
                self._trim()
                progress(index, len(events))
        self.result.pool_hits = self.line.from_pool.count(1)
        return self.result

    def _count(self, how: Explanation) -> None:
        self.result.counts[how] += 1

    def _allocate(self, index: int, event: AllocEvent) -> None:
        if self.line.apply(Took(index, event.cpu)):
            if event.failed:
                self.result.failed += 1
            else:
                self._count("as_printed")
            return
        source, expected = self.line.predict(event, event.cpu)
        how = self._search.explain(index) if self._search else None
        if how is not None:
            self._count(how)
        elif self._infer(index, event, expected):
            self._count("inferred")
        else:
            self._count("unexplained")
            owner = self.correction.correct(index, event, expected)
            self.result.differences.append(
                Difference(
                    event.line,
                    event.cpu,
                    event.pid,
                    event.size,
                    event.align,
                    source,
                    expected,
                    event.va_start,
                    owner,
                )
            )

    def _free(self, index: int, event: FreeEvent) -> None:
        unknown = index in self._recording.unknown_pages and event.va_start not in self.line.state.busy
        self.line.apply(Freed(index))
        if unknown:
            pages = self._recording.unknown_pages[index]
            what = f"an area of {pages} pages at {event.va_start:#x} was taken before without a line"
            self.result.inferred.append(Inferred(event.line, f"{what} (as pcpu_get_vm_areas does)"))

    def _purge(self, index: int) -> None:
        purging = self.line.purging
        number = purging.ended
        assert purging.index(number) == index, "purges end in the order of their lines"
        if not self.line.apply(Purged(number, END)):
            # Some of the likeliest frees cannot have come yet: without them.
            chosen = next(purging.choices(number))
            purging.pinned[number] = tuple(free for free in chosen if self.line.past.done[free])
            ended = self.line.apply(Purged(number, END))
            assert ended, "a purge of what is lazy can always end"
        self.correction.purge_ended()

    # -- what no line tells of --------------------------------------------------------------------

    def _infer(self, index: int, event: AllocEvent, expected: int | None) -> bool:
        return self._migrated(index, event) or self._untraced(index, event, expected)

    def _migrated(self, index: int, event: AllocEvent) -> bool:
        """Whether the task asked another CPU's pool, and was on this CPU when it printed."""
        for cpu in range(self.line.state.nr_nodes):
            if cpu != event.cpu and self.line.predict(event, cpu) == ("pool", event.va_start):
                what = f"pid {event.pid} took its area on CPU {cpu} and printed on CPU {event.cpu}"
                self.result.inferred.append(Inferred(event.line, what))
                return self.line.apply(Took(index, cpu))
        return False

    def _untraced(self, index: int, event: AllocEvent, expected: int | None) -> bool:
        """Whether the expected range was somebody's all along: no line allocates it, but for one after its free."""
        space = self.line.state.free.space
        if expected is None or not space.holds(expected, expected + event.size):
            return False
        end = expected + event.size
        later = self._recording.next_over(expected, end, index)
        freed = next((free for free in self._recording.freed_at.get(expected, ()) if free > index), None)
        if later is not None and (freed is None or later < freed):
            return False
        mark = self.line.state.mark()
        self.line.state.free.take(expected, end)
        fits = self.line.predict(event, event.cpu)[1] == event.va_start
        self.line.state.rollback(mark)
        if not fits:
            return False
        self.correction.untraced(expected, end, NOWHERE)
        pages = event.size // PAGE_SIZE
        what = f"an area of {pages} pages at {expected:#x} was there without a line, or will never be free"
        self.result.inferred.append(Inferred(event.line, what))
        return self.line.apply(Took(index, event.cpu))

    # -- how far back -----------------------------------------------------------------------------

    def _trim(self) -> None:
        """Forget what is too long ago to be taken back; where no purge has begun since, only the length counts."""
        line = self.line
        if line.purging.begun != self._purges_seen:
            self._purges_seen = line.purging.begun
            begun = line.purges_begun()
            if len(begun) > KEEP_PURGES:
                line.forget(len(line.log) - begun[sorted(begun)[-KEEP_PURGES]])
                return
        if len(line.log) > 3 * KEEP:
            line.forget(KEEP)
