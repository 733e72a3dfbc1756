"""The history of a run as its clients saw it: which areas were there, and which answers can be true.

Knows nothing of trees and nodes. An insertion or removal took effect at some instant between its call
and its return; an answer is *true* if the windows allow an instant, between the lookup's own call and
return, at which it held (each lookup by itself: Herlihy & Wing's windows, 1990). So:

- "found A" is false if A was certainly not there throughout: every insertion of A began after the
  lookup ended, or its removal was over before the lookup began;
- "nothing there" is false if some area that contains the address certainly was there throughout: its
  insertion was over before the lookup began, and its removal had not begun when the lookup ended.

No clock but the clients' is needed, so the same judge serves virtual time, threads and machines. Operations
are fed in the order in which they ended. A verdict that hangs on an operation still under way is put off
until that ends, or `finish`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from actors.world import Completed
from protocol.area import VmapArea

FINDING = frozenset({"find", "find_interior", "find_miss"})
"""Operations whose answer is the area they found, or none."""

INSERTING = frozenset({"insert", "insert_batch", "alloc"})
"""Operations whose answer is what they inserted."""

REMOVING = frozenset({"unlink", "free"})
"""Operations whose answer is what they took out; without an answer they are lookups that found nothing."""

SILENT = frozenset({"reserve"})
"""Operations that say nothing about what is in the trees."""

BUCKET_BITS = 16
"""Starts are bucketed by 64 KiB of address, to find the area around an address."""

LONG_BUCKETS = 16
"""Areas that reach over more buckets than this are kept in a list of their own."""


NEVER = 2**63
"""A time after all others."""

Life: TypeAlias = tuple[VmapArea, int, int]
"""An area that is there, and the window within which it was inserted: begin_ns, end_ns."""

Death: TypeAlias = tuple[VmapArea, int]
"""An area that is no longer there, and when its removal was over."""


class History:
    """Feeds on completed operations; holds what is alive, what died lately, and the exceptions."""

    def __init__(self, cpus: Iterable[int]) -> None:
        """Make the history of a run in which `cpus` take part."""
        self.exceptions = 0
        self.first_exception: str | None = None
        self._live: dict[int, Life] = {}
        self._dead: dict[int, Death] = {}
        self._surroundings: Surroundings | None = None
        self._found_early: defaultdict[int, list[Completed]] = defaultdict(list)
        self._removed_early: dict[int, Completed] = {}
        self._missed: defaultdict[int, list[Completed]] = defaultdict(list)
        self._last_end_ns = dict.fromkeys(cpus, 0)

    def areas(self) -> Iterator[VmapArea]:
        """Give the areas that are there, as far as the clients know, in address order."""
        return (self._live[start][0] for start in sorted(self._live))

    def preload(self, areas: Iterable[VmapArea]) -> None:
        """Let `areas` be there from before the first operation."""
        for area in areas:
            self._be_born((area, -1, -1))

    def left(self, cpu: int) -> None:
        """Note that `cpu` will complete no further operation."""
        self._last_end_ns.pop(cpu, None)

    def extend(self, operations: Sequence[Completed]) -> None:
        """Judge and add operations, in the order in which they ended."""
        live = self._live
        for operation in operations:
            name, _cpu, _begin_ns, end_ns, _probes, _queue_ns, _service_ns, addr, answer = operation
            if name in FINDING:
                if type(answer) is VmapArea:
                    start = answer.va_start
                    life = live.get(start)
                    # The common case, and all of it: the very area is there, and was when it was found.
                    if (
                        life is None
                        or life[0] is not answer
                        or life[1] > end_ns
                        or not start <= addr < answer.va_end
                    ):
                        self._judge_hit(operation)
                else:
                    self._judge_miss(operation)
            elif name in INSERTING:
                self._insert(operation)
            elif name in REMOVING:
                self._remove(operation)
            else:
                assert name in SILENT, f"nobody knows what {name} does to areas"
        for operation in operations:
            self._last_end_ns[operation[1]] = operation[3]
        self._settle(min(self._last_end_ns.values(), default=NEVER))

    def finish(self) -> None:
        """Judge what was put off: nothing else is under way any more."""
        self._settle(NEVER)

    # -- what happened to areas -----------------------------------------------------------------

    def _insert(self, operation: Completed) -> None:
        begin_ns, end_ns, answer = operation[2], operation[3], operation[8]
        if answer is None:
            return
        for area in answer if isinstance(answer, tuple) else (answer,):
            start = area.va_start
            if start in self._found_early:
                for lookup in self._found_early.pop(start):
                    if lookup[3] < begin_ns or lookup[8] != area:
                        self._object(lookup, "which was inserted later")
            if start in self._removed_early:
                self._dead[start] = (area, self._removed_early.pop(start)[3])
            else:
                self._be_born((area, begin_ns, end_ns))

    def _remove(self, operation: Completed) -> None:
        begin_ns, end_ns, area = operation[2], operation[3], operation[8]
        if not isinstance(area, VmapArea):
            self._judge_miss(operation)
            return
        start = area.va_start
        life = self._live.get(start)
        if life is None or life[0] != area:
            self._removed_early[start] = operation
            return
        del self._live[start]
        if self._surroundings is not None:
            self._surroundings.remove(area)
        self._dead[start] = (area, end_ns)
        if start in self._missed:
            for lookup in self._missed.pop(start):
                if lookup[3] < begin_ns:
                    self._object_to_miss(lookup, area)

    def _be_born(self, life: Life) -> None:
        area = life[0]
        self._live[area.va_start] = life
        if self._surroundings is not None:
            self._surroundings.add(area)

    # -- what was answered ----------------------------------------------------------------------

    def _judge_hit(self, operation: Completed) -> None:
        _name, _cpu, begin_ns, end_ns, _probes, _queue_ns, _service_ns, addr, area = operation
        assert isinstance(area, VmapArea)
        if addr not in area:
            self._object(operation, "which does not contain it")
            return
        start = area.va_start
        life = self._live.get(start)
        if life is not None and life[0] == area and life[1] <= end_ns:
            return
        death = self._dead.get(start)
        if death is not None and death[0] == area and death[1] >= begin_ns:
            return
        self._found_early[start].append(operation)

    def _judge_miss(self, operation: Completed) -> None:
        begin_ns, addr = operation[2], operation[7]
        if self._surroundings is None:
            self._surroundings = Surroundings(life[0] for life in self._live.values())
        start = self._surroundings.start_around(addr)
        if start is not None and self._live[start][2] < begin_ns:
            self._missed[start].append(operation)

    def _object(self, operation: Completed, why: str) -> None:
        name, cpu, begin_ns, end_ns, _probes, _queue_ns, _service_ns, addr, answer = operation
        self._except(f"{name} of {addr:#x} by cpu {cpu} at {begin_ns}-{end_ns} ns gave {answer}, {why}")

    def _object_to_miss(self, operation: Completed, area: VmapArea) -> None:
        name, cpu, begin_ns, end_ns, _probes, _queue_ns, _service_ns, addr, _answer = operation
        self._except(
            f"{name} of {addr:#x} by cpu {cpu} at {begin_ns}-{end_ns} ns found nothing, "
            f"but {area} was there all the time"
        )

    def _except(self, text: str) -> None:
        self.exceptions += 1
        if self.first_exception is None:
            self.first_exception = text

    def _settle(self, oldest_ns: int) -> None:
        """Judge what was put off and forget the dead: all under way began at `oldest_ns` or later."""
        for _start, operation in _take_older(self._found_early, oldest_ns):
            self._object(operation, "which nobody had inserted")
        for start in [start for start, operation in self._removed_early.items() if operation[3] < oldest_ns]:
            self._object(self._removed_early.pop(start), "which nobody had inserted")
        for start, operation in _take_older(self._missed, oldest_ns):
            self._object_to_miss(operation, self._live[start][0])
        self._dead = {start: death for start, death in self._dead.items() if death[1] >= oldest_ns}


class Surroundings:
    """Finds the area around an address; made for the first lookup that finds nothing, kept up after."""

    def __init__(self, areas: Iterable[VmapArea]) -> None:
        self._buckets: defaultdict[int, dict[int, VmapArea]] = defaultdict(dict)
        self._long: dict[int, VmapArea] = {}
        for area in areas:
            self.add(area)

    def add(self, area: VmapArea) -> None:
        """Take note of an area."""
        self._place_of(area)[area.va_start] = area

    def remove(self, area: VmapArea) -> None:
        """Forget an area."""
        del self._place_of(area)[area.va_start]

    def start_around(self, addr: int) -> int | None:
        """Give the start of the area that contains `addr`, None if there is none."""
        last = addr >> BUCKET_BITS
        for bucket in range(last, last - LONG_BUCKETS - 1, -1):
            if bucket in self._buckets:
                for start, area in self._buckets[bucket].items():
                    if addr in area:
                        return start
        return next((start for start, area in self._long.items() if addr in area), None)

    def _place_of(self, area: VmapArea) -> dict[int, VmapArea]:
        if (area.va_end - area.va_start) >> BUCKET_BITS >= LONG_BUCKETS:
            return self._long
        return self._buckets[area.va_start >> BUCKET_BITS]


def _take_older(pending: defaultdict[int, list[Completed]], oldest_ns: int) -> Iterator[tuple[int, Completed]]:
    """Take out and give the operations, with their keys, that ended before `oldest_ns`."""
    for start in list(pending):
        operations = pending.pop(start)
        later = [operation for operation in operations if operation[3] >= oldest_ns]
        if later:
            pending[start] = later
        yield from ((start, operation) for operation in operations if operation[3] < oldest_ns)
