"""When the model and the kernel disagree about an allocation: another order of what happened, within the windows.

Tried one after the other, each undone if it does not explain the allocation and leave all that came before it explained:

- others came first: whoever the model takes the address for is an allocation with a later line;
- it came earlier: the task was preempted before it printed;
- the next purge had begun: areas were in its hands, already free, or already in pools;
- a purge took other areas: each node's lazy list was taken at an instant of its own.
"""

from sim.replay.line import Freed, Happening, Line, Purged, Took
from sim.replay.purges import END
from sim.replay.state import POOL_CLASSES, NOWHERE
from sim.traces.ftrace import AllocEvent
from protocol.area import PAGE_SIZE

AHEAD = 400
"""Lines that are looked through for allocations that came first."""

DEPTH = 12
"""Allocations that may each have waited for the next one to come first."""

BACK = 200
"""Happenings before which an allocation is tried."""

CHOICES = 60
"""Sets of areas that are tried for one purge."""


class Search:
    """Looks for an order of what happened in which an allocation got its address."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.moved: list[int] = []
        """Allocations that happened before their line's turn, by the last explanation."""

    def explain(self, index: int) -> str | None:
        """Let the allocation `index` happen, in another order if it takes one; say how, None if it cannot."""
        for how, attempt in (
            ("reordered", self._others_came_first),
            ("purge_phase", self._purge_had_begun),
            ("reordered", self._came_earlier),
            ("purge_phase", self._purge_took_others),
        ):
            length = len(self.line.log)
            self.moved = []
            if attempt(index):
                return how
            assert len(self.line.log) == length, f"{attempt} left something behind"
        return None

    def _event(self, index: int) -> AllocEvent:
        event = self.line.recording.events[index]
        assert isinstance(event, AllocEvent), "only allocations are explained"
        return event

    def _can_come_now(self, index: int) -> bool:
        """Whether all that its task printed before has happened."""
        before = self.line.recording.previous[index]
        return not self.line.done[index] and (before < 0 or bool(self.line.done[before]))

    def _others_came_first(self, index: int, depth: int = DEPTH) -> bool:
        line, event = self.line, self._event(index)
        if line.apply(Took(index, event.cpu)):
            return True
        _source, expected = line.predict(event, event.cpu)
        if expected is None or not depth:
            return False
        length, moved = len(line.log), len(self.moved)
        for other in sorted(
            line.recording.allocations_over(expected, expected + event.size, index, index + AHEAD)
        ):
            if self._can_come_now(other):
                if self._others_came_first(other, depth - 1):
                    self.moved.append(other)
                    if self._others_came_first(index, depth - 1):
                        return True
                    line.take_back(length)
                    del self.moved[moved:]
                break
            if not line.done[other]:
                break
        return False

    def _came_earlier(self, index: int) -> bool:
        line, event = self.line, self._event(index)
        before = line.recording.previous[index]
        undone: list[Happening] = []
        length = len(line.log)
        for _ in range(min(BACK, length)):
            happening = line.log[-1].happening
            if not isinstance(happening, Purged) and happening.index == before:
                break
            if isinstance(happening, Purged) and line.recording.purges[happening.number] == before:
                break
            undone = [*line.take_back(len(line.log) - 1), *undone]
            if isinstance(happening, Freed):
                continue
            here = len(line.log)
            if isinstance(happening, Purged) and self._within(index, happening) or line.apply(Took(index, event.cpu)):
                if line.apply_all(undone):
                    return True
                line.take_back(here)
        restored = line.apply_all(undone)
        assert restored and len(line.log) == length, "what happened before can happen again"
        return False

    def _within(self, index: int, purged: Purged) -> bool:
        """Let it happen between two steps of a purge."""
        line, event = self.line, self._event(index)
        here = len(line.log)
        while True:
            step = line.next_step(purged.number)
            if step >= purged.until or step == END:
                break
            if not line.apply(Purged(purged.number, step)):
                break
            if line.apply(Took(index, event.cpu)):
                line.join(here, len(line.log) - 1)
                return True
        line.take_back(here)
        return False

    def _purge_had_begun(self, index: int) -> bool:
        line = self.line
        number = line.ended
        if number >= len(line.recording.purges):
            return False
        before = line.recording.previous[line.recording.purges[number]]
        if line.purge is None and before >= 0 and not line.done[before]:
            return False
        return self._among_steps(index, number, now=False) or self._among_steps(index, number, now=True)

    def _among_steps(self, index: int, number: int, *, now: bool) -> bool:
        """Let the purge do step after step until the allocation can happen."""
        line, event = self.line, self._event(index)
        here = len(line.log)
        expected = line.predict(event, event.cpu)[1]
        while (step := line.next_step(number)) != END:
            if not line.apply(Purged(number, step, now)):
                break
            then = line.predict(event, event.cpu)[1]
            if then != expected:
                expected = then
                so_far = len(line.log)
                if self._others_came_first(index, 3):
                    line.join(here, so_far)
                    return True
        line.take_back(here)
        return False

    def _purge_took_others(self, index: int) -> bool:
        line, event = self.line, self._event(index)
        begun = [at for at, logged in enumerate(line.log) if isinstance(logged.happening, Purged)]
        numbers = sorted({line.log[at].happening.number for at in begun})
        for number in reversed(numbers[-3:]):
            first = next(at for at in begun if line.log[at].happening.number == number)
            if first == 0 and number != line.log[0].happening.number:
                continue
            if self._with_other_areas(index, event, number, first, number == numbers[-1]):
                return True
        return False

    def _with_other_areas(self, index: int, event: AllocEvent, number: int, first: int, latest: bool) -> bool:
        line = self.line
        if line.purge is not None and line.purge.number == number and line.purge.position and first == 0:
            pass
        wanted, unwanted = self._evidence(event) if latest else (set(), set())
        before = line.plans.get(number)
        pinned = line.pinned.get(number)
        undone = line.take_back(first)
        here = len(line.log)
        if line.purge is not None:
            line.apply_all(undone)
            return False
        planned = [
            Purged(number, one.until) if isinstance(one, Purged) and one.number == number else one for one in undone
        ]
        for tried, areas in enumerate(line.choices(number, wanted, unwanted)):
            if areas == before:
                continue
            if tried > CHOICES:
                break
            line.pinned[number] = areas
            if line.apply_all(planned) and self._others_came_first(index, 4):
                return True
            line.take_back(here)
        if pinned is None:
            line.pinned.pop(number, None)
        else:
            line.pinned[number] = pinned
        restored = line.apply_all(undone)
        assert restored, "what happened before can happen again"
        return False

    def _evidence(self, event: AllocEvent) -> tuple[set[int], set[int]]:
        """Give the starts of areas that the purge must have taken, and must not have, for this allocation."""
        line = self.line
        wanted: set[int] = set()
        unwanted: set[int] = set()
        if event.va_start in line.state.lazy:
            wanted.add(event.va_start)
        node, size_class = line.node_of(event, event.cpu), event.size // PAGE_SIZE - 1
        if node != NOWHERE and size_class < POOL_CLASSES:
            for area in reversed(line.state.pools[node][size_class]):
                if area.va_start <= event.va_start:
                    break
                unwanted.add(area.va_start)
        return wanted, unwanted
