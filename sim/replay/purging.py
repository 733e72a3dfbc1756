"""Purges, step by step: pools decay, lazy lists are taken, areas go to pools or to the free space.

Mirrors `__purge_vmap_area_lazy()`, `decay_va_pool_node()` and `purge_vmap_node()` of mm/vmalloc.c in the order in
which other CPUs can see it: a pool that decays is in nobody's hands for a while, what has decayed becomes free
node by node, then the node's lazy list is taken; after the last node, areas reach their pools one by one,
ascending.
"""

from collections.abc import Iterator, Sequence, Set
from itertools import islice

from attrs import define, field

from protocol.area import PAGE_SIZE
from protocol.pools import decaying
from sim.replay.past import Past
from sim.replay.purges import END, MERGE, TAKE, TOP, Candidate, Known, Step, choices, likeliest
from sim.replay.state import NOWHERE, Held
from sim.replay.touching import between
from sim.traces.events import PurgeEvent

LATE = 64
"""Lines after a purge's in which frees that it took may still be printed."""


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
    """What this node's pools gave up and is not free yet."""
    taken: dict[int, list[Held]] = field(factory=dict)
    """What was taken from the lazy list of each node."""
    by_start: dict[int, Held] = field(factory=dict)
    """All that was taken."""
    left: list[Held] = field(factory=list)
    """Areas of the present node that no pool takes."""

    def in_hand(self) -> list[Held]:
        """Give the areas that are neither lazy nor in a pool nor free while the purge has them."""
        step = self.steps[self.position] if self.position < len(self.steps) else END
        waiting = [area for node, areas in self.taken.items() for area in areas if step <= (1, node, area.va_start)]
        return [*self.detached, *self.decayed, *waiting, *self.left]


class Purging:
    """The purges of a recording, one after the other."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._state = past.state
        self.purge: Purge | None = None
        """The one under way."""
        self.ended = 0
        """How many are over."""
        self.chosen: dict[int, tuple[int, ...]] = {}
        """The frees that were chosen for each purge."""
        self.pinned: dict[int, tuple[int, ...]] = {}
        """The frees to choose for a purge, where the likeliest have proved wrong."""
        self._likeliest: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._purged_pages = 0
        self._purged_frees = 0
        """A number that tells apart which frees have been purged."""

    @property
    def begun(self) -> int:
        """How many have begun."""
        return self.ended + (self.purge is not None)

    def forget(self) -> None:
        """Choose anew what purges take: the state has been corrected."""
        self._likeliest.clear()

    def index(self, number: int) -> int:
        """Give the event of purge `number`."""
        return self._past.recording.purges[number]

    def go_on(self, number: int, until: Step, now: bool) -> bool:
        """Do the steps up to and including `until`, as far as the purge has not done them; False if one cannot be.

        With `now` lazy lists are taken as they are at this point, else at the instants that explain best.
        """
        if number < self.ended:
            return True
        if self.purge is None:
            self._begin(number)
        purge = self.purge
        assert purge is not None, "a purge has begun"
        assert purge.number == number, "purges run one after the other"
        while purge.position < len(purge.steps) and purge.steps[purge.position] <= until:
            if not self._step(purge, now):
                return False
        if until == END:
            self._end(purge)
        return True

    def next_step(self, number: int) -> Step:
        """Give the step that a purge would do next, `END` if there is none."""
        purge = self.purge
        if purge is None:
            return (0, 0, 0) if self.ended == number else END
        return purge.steps[purge.position] if purge.position < len(purge.steps) else END

    def next_visible_step(self, number: int, asked: tuple[int, int] | None) -> Step:
        """Give the next step after which an allocation that asks that pool may find something else, `END` if none.

        While areas reach their pools these are those that fill it, and those after which something is free.
        """
        purge = self.purge
        if purge is None or self.next_step(number)[0] == 0:
            return self.next_step(number)
        for step in islice(purge.steps, purge.position, None):
            _stage, node, va_start = step
            if va_start == TOP or (asked is not None and asked == (node, purge.by_start[va_start].size_class)):
                return step
        return END

    def drop(self, va_start: int, va_end: int) -> list[Held]:
        """Take the areas that touch a range out of the hands of the purge under way, for good; give them."""
        purge = self.purge
        if purge is None:
            return []
        dropped = [area for area in purge.in_hand() if area.va_start < va_end and va_start < area.va_end]
        gone = {area.va_start for area in dropped}
        for areas in (purge.detached, purge.decayed, purge.left, *purge.taken.values()):
            areas[:] = [area for area in areas if area.va_start not in gone]
        kept = purge.steps[: purge.position]
        purge.steps = kept + [step for step in purge.steps[purge.position :] if step[0] == 0 or step[2] not in gone]
        return dropped

    def has_decayed(self, node: int, size_class: int) -> None:
        """Note for good that the purge that prints next has already taken from a pool what it takes."""
        if self.ended == len(self._past.recording.purges):
            return
        if self.purge is None:
            self._begin(self.ended)
        assert self.purge is not None, "a purge has begun"
        done, to_do = self.purge.steps[: self.purge.position], self.purge.steps[self.purge.position :]
        decay = {(0, node, 2 * size_class), (0, node, 2 * size_class + 1)}
        if self.purge.detached:
            return
        self.purge.steps = done + [step for step in to_do if step not in decay]

    # -- from the beginning to the end ------------------------------------------------------------

    def _begin(self, number: int) -> None:
        steps: list[Step] = []
        for node, pools in enumerate(self._state.pools):
            for size_class, pool in enumerate(pools):
                if pool:
                    steps += ((0, node, 2 * size_class), (0, node, 2 * size_class + 1))
            steps += ((0, node, MERGE), (0, node, TAKE))
        self.purge = Purge(number, self.index(number) in self._past.recording.full, steps)
        self._state.undoing(setattr, self, "purge", None)

    def _end(self, purge: Purge) -> None:
        before = (purge, self.ended, self._purged_frees, self._purged_pages)
        self._state.undoing(self._unend, *before)
        self.purge = None
        self.ended += 1
        self._purged_frees += sum(map(_print_of, purge.taken.values()))
        self._purged_pages += sum(map(_pages_of, purge.taken.values()))
        self._past.settle(self.index(purge.number))

    def _unend(self, purge: Purge, ended: int, purged_frees: int, purged_pages: int) -> None:
        self.purge, self.ended = purge, ended
        self._purged_frees, self._purged_pages = purged_frees, purged_pages

    def _step(self, purge: Purge, now: bool) -> bool:
        self._state.undoing(
            _restore,
            purge,
            purge.position,
            purge.areas,
            purge.detached,
            purge.decayed,
            purge.taken,
            purge.by_start,
            purge.left,
            purge.steps,
        )
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
            purge.detached = self._state.pools[node][part // 2].copy()
            self._state.replace(node, part // 2, [])
        elif part == TOP:
            self._release_left(purge)
        else:
            self._put_away(purge, node, purge.by_start[part])
        purge.position += 1
        return possible

    # -- the steps --------------------------------------------------------------------------------

    def _decay(self, purge: Purge, node: int, size_class: int) -> None:
        """Take the newest areas out of a detached pool and attach it again (`decay_va_pool_node`)."""
        pool = purge.detached
        keep = len(pool) - decaying(len(pool), purge.full, self._past.kernel.decay)
        self._state.replace(node, size_class, pool[:keep])
        purge.decayed = purge.decayed + pool[keep:]
        purge.detached = []

    def _release_merged(self, areas: list[Held]) -> None:
        """Give areas, ascending, back to the free space, neighbours as one range (`reclaim_list_global`)."""
        first = 0
        for position in range(1, len(areas) + 1):
            if position == len(areas) or areas[position].va_start != areas[position - 1].va_end:
                self._state.free.release(areas[first].va_start, areas[position - 1].va_end)
                first = position

    def _release_left(self, purge: Purge) -> None:
        """Give what no pool takes back to the free space: the kernel's list has the latest first."""
        if self._past.kernel.lazy_merges:
            self._release_merged(purge.left)
        else:
            for area in reversed(purge.left):
                self._state.free.release(area.va_start, area.va_end)
        purge.left = []

    def _put_away(self, purge: Purge, node: int, area: Held) -> None:
        """Hand an area to its node's pool, or keep it for the free space (`purge_vmap_node`)."""
        if area.node != NOWHERE and not purge.full and area.size_class < self._past.kernel.pool_limit:
            self._state.push(node, area)
        else:
            purge.left.append(area)
            self._state.undoing(purge.left.pop)

    def _take_lazy(self, purge: Purge, node: int, now: bool) -> bool:
        """Take the lazy list of a node: as it is now, or the chosen part; then frees may have to come first."""
        state, past = self._state, self._past
        if now:
            taken = [state.remove_lazy(va_start) for va_start in list(state.lazy_of[node])]
            purge.areas = None
            if not self._can_end(purge, node, len(taken)):
                return False
        else:
            taken = []
            for index in self._choose(purge, node):
                if not past.done[index]:
                    if not past.all_before(index):
                        return False
                    past.free(index)
                va_start = past.free_event(index).va_start
                if va_start in state.lazy:
                    taken.append(state.remove_lazy(va_start))
        taken.sort(key=lambda area: area.va_start)
        purge.taken = {**purge.taken, node: taken}
        if node + 1 == state.nr_nodes:
            purge.by_start = {area.va_start: area for areas in purge.taken.values() for area in areas}
            purge.steps = purge.steps + [
                (1, number, va_start)
                for number, areas in purge.taken.items()
                if areas
                for va_start in (*(area.va_start for area in areas), TOP)
            ]
        return True

    def _can_end(self, purge: Purge, node: int, taken: int) -> bool:
        """Whether a purge can end with as many areas as its line says, having taken the lists up to `node` now."""
        wanted = self.wanted(purge.number) - taken
        later = sum(len(self._state.lazy_of[other]) for other in range(node + 1, self._state.nr_nodes))
        return wanted == 0 if node + 1 == self._state.nr_nodes else wanted >= later

    # -- which areas it takes ---------------------------------------------------------------------

    def _choose(self, purge: Purge, node: int) -> list[int]:
        """Give the frees that a purge takes from a node's lazy list; chosen for all nodes that are left at once."""
        if purge.areas is None:
            number = purge.number
            areas = self.pinned.get(number)
            if areas is None:
                # What a purge may take does not depend on how much has been printed, only on what has been purged.
                key = (number, self._purged_frees, *map(_print_of, purge.taken.values()))
                areas = self._likeliest.get(key)
                if areas is None:
                    areas = self._likeliest[key] = likeliest(self._candidates(number), self._known(number))
            self.chosen[number] = areas
            purge.areas = {}
            for free in areas:
                purge.areas.setdefault(self._past.node_of_free(free), []).append(free)
        return purge.areas.get(node, [])

    def choices(
        self, number: int, taken: Set[int] = frozenset(), spared: Set[int] = frozenset()
    ) -> Iterator[tuple[int, ...]]:
        """Give the sets of frees that purge `number` can take from now on, likeliest first.

        Areas that start at `taken` are among them, those at `spared` are not.
        """
        return choices(self._candidates(number), self._known(number, taken, spared))

    def _known(self, number: int, taken: Set[int] = frozenset(), spared: Set[int] = frozenset()) -> Known:
        """Give what is known of what purge `number` takes from now on."""
        index = self.index(number)
        event = self._past.recording.events[index]
        assert isinstance(event, PurgeEvent), "only purges take lazy areas"
        pages = self._past.recording.purged_pages.get(index)
        if pages is not None:
            pages -= self._purged_pages + sum(map(_pages_of, self._taken(number).values()))
        return Known(self.wanted(number), (event.start, event.end), pages, taken, spared)

    def _candidates(self, number: int) -> list[Candidate]:
        """Give the frees that purge `number` may take from now on, in the order of their lines."""
        state, had = self._state, self._taken(number)
        candidates = [
            Candidate(area.freed, node, area.va_start, (area.va_end - area.va_start) // PAGE_SIZE)
            for area in sorted(state.lazy.values(), key=_freed)
            if (node := state.lazy_node(area)) not in had
        ]
        for free in self._frees_to_come(number):
            area = self._past.area_of_free(free)
            va_start = self._past.free_event(free).va_start
            node = state.home(va_start) if area is None else state.lazy_node(area)
            if node not in had:
                candidates.append(Candidate(free, node, va_start, 0 if area is None else area.size_class + 1))
        return candidates

    def _frees_to_come(self, number: int) -> list[int]:
        """Give the frees that are printed later and that purge `number` may take."""
        recording, done = self._past.recording, self._past.done
        line = self.index(number)
        before = self.index(number - 1) if number else -1
        to_come = [index for index in between(recording.frees, before, line) if not done[index]]
        late = [
            index
            for index in between(recording.frees, line, line + LATE)
            if not done[index] and recording.previous[index] < line
        ]
        return to_come + late

    def _taken(self, number: int) -> dict[int, list[Held]]:
        return self.purge.taken if self.purge is not None and self.purge.number == number else {}

    def wanted(self, number: int) -> int:
        """Count the areas that a purge has still to take."""
        event = self._past.recording.events[self.index(number)]
        assert isinstance(event, PurgeEvent), "only purges take lazy areas"
        return event.num_purged - sum(map(len, self._taken(number).values()))


def _freed(area: Held) -> int:
    return area.freed


def _restore(purge: Purge, *before: object) -> None:
    for name, value in zip(
        ("position", "areas", "detached", "decayed", "taken", "by_start", "left", "steps"), before, strict=True
    ):
        setattr(purge, name, value)


def _pages_of(areas: Sequence[Held]) -> int:
    return sum(area.size_class + 1 for area in areas)


def _print_of(areas: Sequence[Held]) -> int:
    """Give a number that tells sets of freed areas apart."""
    return sum((area.freed + 1) ** 3 for area in areas)
