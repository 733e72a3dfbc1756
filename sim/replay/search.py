"""When the model and the kernel disagree about an allocation: another order of what happened, within the windows.

Tried one after the other, each taken back if it does not explain the allocation and leave all that came before it
explained:

- others came first: whoever the model's address went to is an allocation with a later line;
- the next purge had begun: areas were in its hands, already free, or already in pools;
- it came earlier: its task was preempted before it printed;
- a purge took other areas: each node's lazy list was taken at an instant of its own.

The search is bounded everywhere; where it has failed often of late, the costly attempts are left out.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from protocol.area import PAGE_SIZE
from sim.replay.line import Freed, Happening, Line, Purged, Took
from sim.replay.purges import END, TAKE
from sim.replay.reach import in_reach
from sim.traces.events import AllocEvent

How: TypeAlias = Literal["reordered", "purge_phase"]
"""How an allocation was explained: by another order of lines, or by what a purge had done by then."""

AHEAD = 400
"""Lines that are looked through for allocations that came first."""

DEPTH = 12
"""Allocations that may each have waited for the next one to come first."""

DEPTH_WITHIN = 3
"""The same, tried at each step of a purge."""

BACK = 200
"""Happenings before which an allocation is tried."""

PURGES_BACK = 3
"""Purges whose areas are doubted."""

CHOICES = 60
"""Sets of areas that are tried for one purge."""

MEANWHILE = 256
"""Areas that are freed while a purge goes on and that it takes still, at most."""

FORGETTING = 0.9
PATIENCE = 5.0
"""Failures, each counted `FORGETTING` times as much with every search since, above which searches are short."""


class Search:
    """Looks for an order of what happened in which an allocation got its address."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._failures = 0.0

    def explain(self, index: int) -> How | None:
        """Let the allocation `index` happen, in another order if it takes one; say how, None if it cannot."""
        attempts: tuple[tuple[How, Callable[[int], bool], bool], ...] = (
            ("reordered", self._others_came_first, False),
            ("purge_phase", self._purge_had_begun, False),
            ("reordered", self._came_earlier, True),
            ("purge_phase", self._purge_took_others, True),
        )
        self._failures *= FORGETTING
        for how, attempt, costly in attempts:
            if costly and self._failures > PATIENCE:
                continue
            if attempt(index):
                return how
        self._failures += 1
        return None

    def _event(self, index: int) -> AllocEvent:
        event = self._line.recording.events[index]
        assert isinstance(event, AllocEvent), "only allocations are explained"
        return event

    # -- others came first ------------------------------------------------------------------------

    def _others_came_first(self, index: int, depth: int = DEPTH) -> bool:
        """Let those happen first, one after the other, whom the model takes the addresses for."""
        line, event = self._line, self._event(index)
        _source, expected = line.predict(event, event.cpu)
        if (event.failed or expected == event.va_start) and line.apply(Took(index, event.cpu)):
            return True
        if expected is None or not depth:
            return False
        over = line.recording.allocations_over(expected, expected + event.size, index, index + AHEAD)
        other = min((one for one in over if not line.past.done[one]), default=None)
        if other is None or not line.past.all_before(other):
            return False
        length = len(line.log)
        if self._others_came_first(other, depth - 1) and self._others_came_first(index, depth - 1):
            return True
        line.take_back(length)
        return False

    # -- it came earlier --------------------------------------------------------------------------

    def _came_earlier(self, index: int) -> bool:
        """Let it happen before what is in the log, as far as its task's previous line allows."""
        line, event = self._line, self._event(index)
        before = line.recording.previous[index]
        undone: list[Happening] = []
        for _ in range(min(BACK, len(line.log))):
            happening = line.log[-1].happening
            if self._index_of(happening) == before:
                break
            undone = [*line.take_back(len(line.log) - 1), *undone]
            if isinstance(happening, Freed):
                continue
            here = len(line.log)
            within = isinstance(happening, Purged) and self._within(index, happening)
            if within or line.apply(Took(index, event.cpu)):
                if line.apply_all(undone):
                    return True
                line.take_back(here)
        restored = line.apply_all(undone)
        assert restored, "what happened before can happen again"
        return False

    def _index_of(self, happening: Happening) -> int:
        if isinstance(happening, Purged):
            return self._line.purging.index(happening.number)
        return happening.index

    def _within(self, index: int, purged: Purged) -> bool:
        """Let it happen between two steps of a purge."""
        line, event = self._line, self._event(index)
        here = len(line.log)
        while (step := line.purging.next_step(purged.number)) != END and step < purged.until:
            if not line.apply(Purged(purged.number, step)):
                break
            if line.apply(Took(index, event.cpu)):
                line.join(here, len(line.log) - 1)
                return True
        line.take_back(here)
        return False

    # -- the next purge had begun -----------------------------------------------------------------

    def _purge_had_begun(self, index: int) -> bool:
        """Let the purge that prints next do some of its steps before."""
        line, event = self._line, self._event(index)
        number = line.purging.ended
        if number >= len(line.recording.purges):
            return False
        source, expected = line.predict(event, event.cpu)
        lower = expected is not None and expected < event.va_start
        space = line.state.free.space
        if source == "free" and event.align <= PAGE_SIZE and lower and space.holds(event.va_start, event.va_end):
            return False  # a purge only adds free space: what is expected would be lower still
        if line.purging.purge is None and not self._can_have_begun(number):
            return False
        return in_reach(line, number, index, event) and self._among_steps(index, number)

    def _can_have_begun(self, number: int) -> bool:
        """Whether its task has come so far, and most of what it will take is lazy by now."""
        line = self._line
        missing = line.purging.wanted(number) - len(line.state.lazy)
        return missing <= MEANWHILE and line.past.all_before(line.purging.index(number))

    def _among_steps(self, index: int, number: int) -> bool:
        """Let the purge do step after step until the allocation can happen.

        First with the lazy lists that explain best, then with those of now: both ways are one up to the first list.
        """
        line, event = self._line, self._event(index)
        asked = line.past.pool_of(event, event.cpu)
        here, parting = len(line.log), None
        for now in (False, True):
            expected = line.predict(event, event.cpu)[1]
            while (step := line.purging.next_visible_step(number, asked)) != END:
                if parting is None and step[2] == TAKE:
                    parting = len(line.log)
                if not line.apply(Purged(number, step, now)):
                    break
                then = line.predict(event, event.cpu)[1]
                if then != expected or step[0] == 0:
                    expected = then
                    so_far = len(line.log)
                    if self._others_came_first(index, DEPTH_WITHIN):
                        line.join(here, so_far)
                        return True
            if parting is None:
                break
            line.take_back(parting)
        line.take_back(here)
        return False

    # -- a purge took other areas -----------------------------------------------------------------

    def _purge_took_others(self, index: int) -> bool:
        """Let one of the latest purges have taken another set of areas."""
        begun = self._line.purges_begun()
        latest = sorted(begun)[-PURGES_BACK:]
        return any(
            self._with_other_areas(index, number, begun[number], number == latest[-1])
            for number in reversed(latest)
        )

    def _with_other_areas(self, index: int, number: int, first: int, latest: bool) -> bool:
        """Take back all since a purge began, at `first` of the log, and try what else it can have taken."""
        line, purging = self._line, self._line.purging
        taken, spared = self._evidence(self._event(index)) if latest else (set[int](), set[int]())
        before, pinned = purging.chosen.get(number), purging.pinned.get(number)
        undone = line.take_back(first)
        if purging.purge is None:  # else it had begun before the log does
            here = len(line.log)
            planned: list[Happening] = [
                Purged(number, one.until) if isinstance(one, Purged) and one.number == number else one
                for one in undone
            ]
            for tried, areas in enumerate(purging.choices(number, taken, spared)):
                if tried > CHOICES:
                    break
                if areas == before:
                    continue
                purging.pinned[number] = areas
                if line.apply_all(planned) and self._others_came_first(index, DEPTH_WITHIN + 1):
                    return True
                line.take_back(here)
            purging.pinned.pop(number, None)
            if pinned is not None:
                purging.pinned[number] = pinned
        restored = line.apply_all(undone)
        assert restored, "what happened before can happen again"
        return False

    def _evidence(self, event: AllocEvent) -> tuple[set[int], set[int]]:
        """Give the starts of areas that the purge must have taken, and must not have, for an allocation."""
        line = self._line
        taken = {event.va_start} if event.va_start in line.state.lazy else set[int]()
        spared: set[int] = set()
        asked = line.past.pool_of(event, event.cpu)
        if asked is not None:
            for area in reversed(line.state.pools[asked[0]][asked[1]]):
                if area.va_start <= event.va_start:
                    break
                spared.add(area.va_start)
        return taken, spared
