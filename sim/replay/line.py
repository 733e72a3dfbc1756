"""The order of what happened, as far as it is known: applied to the kernel's state, and taken back.

What happens is a `Took` (an allocation got its address), a `Freed` (an area became lazy) or a `Purged` (a purge went
on until some step). Each is applied only if it is possible: an allocation must get the very address that the
kernel's line says from the model's own state. What is logged can be taken back and applied again in another order.
"""

from collections.abc import Iterator, Sequence, Set
from itertools import pairwise
from typing import TypeAlias

from attrs import define, field, frozen

from protocol.area import PAGE_SIZE, VMALLOC_END, VMALLOC_START
from sim.replay.purges import END, MERGE, TAKE, TOP, Candidate, Known, Step, choices
from sim.replay.recording import Recording
from sim.replay.state import NOWHERE, POOL_CLASSES, Held, KernelState
from sim.traces.ftrace import AllocEvent, FreeEvent, PurgeEvent


@frozen
class Rules:
    """How a kernel differs in what replay can see."""

    nodes: bool = True
    decay: str = "underflow"


@define
class Took:
    """An allocation got its address, on CPU `cpu`."""

    index: int
    cpu: int


@define
class Freed:
    """An area became lazy."""

    index: int


@define
class Purged:
    """A purge did all its steps up to and including `until`."""

    number: int
    until: Step
    now: bool = False
    """Whether lazy lists were taken at this very point; else they were at the best instants before."""


Happening: TypeAlias = Took | Freed | Purged


@define
class Logged:
    """A happening, and the way back to before it."""

    mark: tuple[int, int]
    happening: Happening


@define
class Purge:
    """A purge under way."""

    number: int
    full: bool
    steps: list[Step]
    position: int = 0
    areas: dict[int, list[int]] | None = None
    """The frees it takes, by the node in whose lazy list they are; None while that is open."""
    detached: list[Held] = field(factory=list)
    """A pool that decays at this moment."""
    decayed: list[Held] = field(factory=list)
    taken: dict[int, list[Held]] = field(factory=dict)
    """What was taken from the lazy list of each node."""
    by_start: dict[int, Held] = field(factory=dict)
    left: list[Held] = field(factory=list)
    """Areas of the present node that no pool takes."""


LATE = 64
"""Lines after a purge's in which frees that it took may still be printed."""


class Line:
    """What happened so far, and the state it led to."""

    def __init__(self, recording: Recording, nr_nodes: int, zone_size: int, rules: Rules) -> None:
        self.recording = recording
        self.state = KernelState(nr_nodes if rules.nodes else 1, zone_size)
        self.rules = rules
        self.log: list[Logged] = []
        self.done = bytearray(len(recording.events))
        self.ended = 0
        """Purges that are over."""
        self.purged_pages = 0
        """Pages in what they took."""
        self.purge: Purge | None = None
        self.plans: dict[int, tuple[int, ...]] = {}
        """The frees that were chosen for each purge."""
        self.pinned: dict[int, tuple[int, ...]] = {}
        """The frees to choose for a purge, where the likeliest have proved wrong."""
        self.hidden_frees: list[int] = []
        self.doubted: dict[tuple[int, int], int] = {}

    # -- applying and taking back -----------------------------------------------------------------

    def apply(self, happening: Happening) -> bool:
        """Let something happen now, if it can; otherwise nothing changes."""
        mark = self.state.mark()
        self.log.append(Logged(mark, happening))
        match happening:
            case Took():
                possible = self._take(happening)
            case Freed():
                possible = self._free(happening.index)
            case Purged():
                possible = self._go_on(happening)
        if not possible:
            self.state.rollback(mark)
            self.log.pop()
        return possible

    def apply_all(self, happenings: Sequence[Happening]) -> bool:
        """Let several things happen in order, all or none."""
        length = len(self.log)
        for happening in happenings:
            if not self.apply(happening):
                self.take_back(length)
                return False
        return True

    def take_back(self, length: int) -> list[Happening]:
        """Undo all but the first `length` happenings of the log; give them."""
        if length == len(self.log):
            return []
        undone = [logged.happening for logged in self.log[length:]]
        self.state.rollback(self.log[length].mark)
        del self.log[length:]
        return undone

    def join(self, first: int, last: int) -> None:
        """Make one happening of the steps of a purge that are logged from `first` to before `last`."""
        if last - first > 1:
            self.log[first] = Logged(self.log[first].mark, self.log[last - 1].happening)
            del self.log[first + 1 : last]

    def forget(self, keep: int) -> None:
        """Give up the way back to before the last `keep` happenings."""
        if len(self.log) > keep:
            self.state.forget(self.log[len(self.log) - keep].mark if keep else self.state.mark())
            del self.log[: len(self.log) - keep]

    # -- allocations ------------------------------------------------------------------------------

    def node_of(self, event: AllocEvent, cpu: int) -> int:
        """Give the node whose pool serves an allocation on a CPU (`node_alloc`), `NOWHERE` if none."""
        default = event.vstart == VMALLOC_START and event.vend == VMALLOC_END
        return cpu % self.state.nr_nodes if default and self.state.nr_nodes > 1 else NOWHERE

    def predict(self, event: AllocEvent, cpu: int) -> tuple[str, int | None]:
        """Say where an allocation would get its address now ("pool", "rotated", "free"), and which."""
        node, size_class = self.node_of(event, cpu), event.size // PAGE_SIZE - 1
        source = "free"
        if node != NOWHERE and size_class < POOL_CLASSES:
            pool = self.state.pools[node][size_class]
            if pool:
                if pool[-1].va_start % event.align == 0:
                    return "pool", pool[-1].va_start
                source = "rotated"
        return source, self.state.free.space.peek(event.size, event.align, event.vstart, event.vend)

    def _take(self, took: Took) -> bool:
        event = self.recording.events[took.index]
        assert isinstance(event, AllocEvent), "only allocations get addresses"
        source, va_start = self.predict(event, took.cpu)
        if not event.failed and va_start != event.va_start:
            return False
        node, size_class = self.node_of(event, took.cpu), event.size // PAGE_SIZE - 1
        if source == "rotated":
            self.state.rotate(node, size_class)
        if not event.failed:
            if source == "pool":
                self.state.pop(node, size_class)
            else:
                self.state.free.take(event.va_start, event.va_start + event.size)
            self.state.add_busy(Held(event.va_start, event.va_start + event.size, node))
        self.settle(took.index)
        return True

    def settle(self, index: int) -> None:
        """Note that an event has happened."""
        self.done[index] = True
        self.state.undoing(self.done.__setitem__, index, False)

    # -- frees ------------------------------------------------------------------------------------

    def _free(self, index: int) -> bool:
        event = self.recording.events[index]
        assert isinstance(event, FreeEvent), "only frees make areas lazy"
        area = self.state.busy.get(event.va_start)
        if area is not None:
            self.state.remove_busy(event.va_start)
            self.state.add_lazy(area, index)
        self.settle(index)
        return True

    # -- purges -----------------------------------------------------------------------------------

    def _go_on(self, purged: Purged) -> bool:
        if self.purge is None:
            if purged.number != self.ended:
                return purged.number < self.ended
            self._begin(purged.number)
        purge = self.purge
        assert purge is not None and purge.number == purged.number, "purges run one after the other"
        while purge.position < len(purge.steps) and purge.steps[purge.position] <= purged.until:
            if not self._step(purge, purged.now):
                return False
        if purged.until == END:
            self.purge = None
            self.ended += 1
            self.state.undoing(setattr, self, "purged_pages", self.purged_pages)
            self.purged_pages += sum(area.size_class + 1 for areas in purge.taken.values() for area in areas)
            self.settle(self.recording.purges[purged.number])
            self.state.undoing(self._unend, purge)
        return True

    def next_step(self, number: int) -> Step:
        """Give the step that a purge would do next, `END` if there is none."""
        purge = self.purge
        if purge is None:
            return (0, 0, 0) if self.ended == number else END
        return purge.steps[purge.position] if purge.position < len(purge.steps) else END

    def _begin(self, number: int) -> None:
        index = self.recording.purges[number]
        steps: list[Step] = []
        for node, pools in enumerate(self.state.pools):
            for size_class, pool in enumerate(pools):
                if pool:
                    steps += ((0, node, 2 * size_class), (0, node, 2 * size_class + 1))
            steps += ((0, node, MERGE), (0, node, TAKE))
        self.purge = Purge(number, index in self.recording.full, steps)
        self.state.undoing(setattr, self, "purge", None)

    def _unend(self, purge: Purge) -> None:
        self.purge = purge
        self.ended -= 1

    def _step(self, purge: Purge, now: bool) -> bool:
        before = (
            purge.position,
            purge.areas,
            purge.detached,
            purge.decayed,
            purge.taken,
            purge.by_start,
            purge.left,
            purge.steps,
        )
        self.state.undoing(_restore, purge, before)
        stage, node, part = purge.steps[purge.position]
        possible = True
        if stage == 0 and part == TAKE:
            possible = self._take_lazy(purge, node, now)
        elif stage == 0 and part == MERGE:
            self._release_merged(sorted(purge.decayed, key=lambda area: area.va_start))
            purge.decayed = []
        elif stage == 0 and part % 2:
            self._decay(purge, node, part // 2)
        elif stage == 0:
            purge.detached = self.state.pools[node][part // 2].copy()
            self.state.replace(node, part // 2, [])
        elif part == TOP:
            for area in reversed(purge.left):
                self.release(area.va_start, area.va_end)
            purge.left = []
        else:
            self._put_away(purge, node, purge.by_start[part])
        purge.position += 1
        return possible

    def _decay(self, purge: Purge, node: int, size_class: int) -> None:
        """Take the newest areas out of a detached pool and attach it again (`decay_va_pool_node`)."""
        pool = purge.detached
        keep = 0 if purge.full else len(pool) - len(pool) // 4
        if keep == len(pool) and self.rules.decay == "underflow":
            keep = 0
        self.state.replace(node, size_class, pool[:keep])
        purge.decayed = purge.decayed + pool[keep:]
        purge.detached = []

    def _release_merged(self, areas: list[Held]) -> None:
        """Give areas, ascending, back to the free space, neighbours as one range (`reclaim_list_global`)."""
        first = 0
        for position in range(1, len(areas) + 1):
            if position == len(areas) or areas[position].va_start != areas[position - 1].va_end:
                self.release(areas[first].va_start, areas[position - 1].va_end)
                first = position

    def _take_lazy(self, purge: Purge, node: int, now: bool) -> bool:
        """Take the lazy list of a node: as it is now, or the chosen part of it; then frees may have to come first."""
        state, events = self.state, self.recording.events
        if now:
            taken = [state.remove_lazy(va_start) for va_start in list(state.lazy_of[node])]
            purge.areas = None
            if not self._can_end(purge, node, len(taken)):
                return False
        else:
            taken = []
            for index in self._chosen(purge, node):
                event = events[index]
                assert isinstance(event, FreeEvent), "purges take what was freed"
                if not self.done[index]:
                    before = self.recording.previous[index]
                    if (before >= 0 and not self.done[before]) or not self._free(index):
                        return False
                if event.va_start in state.lazy:
                    taken.append(state.remove_lazy(event.va_start))
        taken.sort(key=lambda area: area.va_start)
        purge.taken = {**purge.taken, node: taken}
        if node + 1 == state.nr_nodes:
            purge.by_start = {area.va_start: area for areas in purge.taken.values() for area in areas}
            purge.steps = purge.steps + [
                (1, node, va_start)
                for node, areas in purge.taken.items()
                if areas
                for va_start in (*(area.va_start for area in areas), TOP)
            ]
        return True

    def _can_end(self, purge: Purge, node: int, taken: int) -> bool:
        """Whether a purge can end with as many areas as its line says, having taken the lists up to `node` now."""
        wanted = self._wanted(purge) - taken
        later = sum(len(self.state.lazy_of[other]) for other in range(node + 1, self.state.nr_nodes))
        return wanted == 0 if node + 1 == self.state.nr_nodes else wanted >= later

    def _wanted(self, purge: Purge) -> int:
        """Count the areas that a purge has still to take."""
        event = self.recording.events[self.recording.purges[purge.number]]
        assert isinstance(event, PurgeEvent), "only purges take lazy areas"
        return event.num_purged - sum(map(len, purge.taken.values()))

    def _chosen(self, purge: Purge, node: int) -> list[int]:
        """Give the frees that a purge takes from a node's lazy list; chosen for all nodes that are left at once."""
        if purge.areas is None:
            number = purge.number
            areas = self.pinned.get(number)
            if areas is None:
                areas = next(self.choices(number))
            self.plans[number] = areas
            purge.areas = {}
            for free in areas:
                purge.areas.setdefault(self.node_of_free(free), []).append(free)
        return purge.areas.get(node, [])

    def area_of_free(self, index: int) -> Held | None:
        """Give the area of a free: busy or lazy by now, or as the trace says it will be; None if that is unknown."""
        event = self.recording.events[index]
        assert isinstance(event, FreeEvent), "only freed areas become lazy"
        lazy = self.state.lazy.get(event.va_start)
        if lazy is not None and lazy.freed == index:
            return lazy
        allocation = self.recording.allocated_by.get(index)
        if allocation is None or self.done[allocation]:
            return self.state.busy.get(event.va_start)
        printed = self.recording.events[allocation]
        assert isinstance(printed, AllocEvent), "only allocations make areas"
        return Held(printed.va_start, printed.va_start + printed.size, self.node_of(printed, printed.cpu))

    def node_of_free(self, index: int) -> int:
        """Give the node whose lazy list a free's area is in, or will be."""
        event = self.recording.events[index]
        assert isinstance(event, FreeEvent), "only freed areas become lazy"
        area = self.area_of_free(index)
        return self.state.home(event.va_start) if area is None else self.state.lazy_node(area)

    def _put_away(self, purge: Purge, node: int, area: Held) -> None:
        """Hand an area to its node's pool, or keep it for the free space (`purge_vmap_node`)."""
        if area.node != NOWHERE and not purge.full and area.size_class < POOL_CLASSES:
            self.state.push(node, area)
        else:
            purge.left.append(area)
            self.state.undoing(purge.left.pop)

    def release(self, va_start: int, va_end: int) -> None:
        """Give a range back to the free space."""
        self.state.free.release(va_start, va_end)

    # -- which frees a purge took -----------------------------------------------------------------

    def candidates(self, number: int) -> list[int]:
        """Give the frees that purge `number` may take from now on, in the order of their lines."""
        recording = self.recording
        line = recording.purges[number]
        before = recording.purges[number - 1] if number else -1
        to_come = [index for index in _between(recording.frees, before, line) if not self.done[index]]
        late = [
            index
            for index in _between(recording.frees, line, line + LATE)
            if not self.done[index] and recording.previous[index] < line
        ]
        return sorted(area.freed for area in self.state.lazy.values()) + to_come + late

    def choices(
        self, number: int, taken: Set[int] = frozenset(), spared: Set[int] = frozenset()
    ) -> Iterator[tuple[int, ...]]:
        """Give the sets of frees that purge `number` can have taken, likeliest first."""
        index = self.recording.purges[number]
        event = self.recording.events[index]
        assert isinstance(event, PurgeEvent), "only purges take lazy areas"
        had = self.purge.taken if self.purge is not None and self.purge.number == number else {}
        candidates = []
        for free in self.candidates(number):
            freed = self.recording.events[free]
            assert isinstance(freed, FreeEvent), "only frees are candidates"
            node = self.node_of_free(free)
            if node not in had:
                area = self.area_of_free(free)
                pages = (area.size_class + 1) if area else 0
                candidates.append(Candidate(free, node, freed.va_start, pages))
        pages_by_now = self.recording.purged_pages.get(index)
        known = Known(
            event.num_purged - sum(map(len, had.values())),
            (event.start, event.end),
            None
            if pages_by_now is None
            else pages_by_now
            - self.purged_pages
            - sum(area.size_class + 1 for areas in had.values() for area in areas),
            taken,
            spared,
        )
        return choices(candidates, known)


def _restore(purge: Purge, before: tuple[object, ...]) -> None:
    purge.position, purge.areas, purge.detached, purge.decayed, purge.taken, purge.by_start, purge.left, purge.steps = before  # type: ignore


def _between(ascending: Sequence[int], after: int, until: int) -> Sequence[int]:
    from bisect import bisect_left, bisect_right

    return ascending[bisect_right(ascending, after) : bisect_left(ascending, until)]
