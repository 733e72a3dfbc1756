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

from attrs import define

from actors.world import Completed
from protocol.area import VmapArea

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


@define
class Life:
    """A time during which an area was there, from an insertion to, perhaps, a removal."""

    area: VmapArea
    insert_begin_ns: int
    insert_end_ns: int
    removed_ns: int = 0
    """When its removal was over; 0 while it lives."""


class History:
    """Feeds on completed operations; holds what is alive, what died lately, and the exceptions."""

    def __init__(self, cpus: Iterable[int]) -> None:
        """Make the history of a run in which `cpus` take part."""
        self.exceptions = 0
        self.first_exception: str | None = None
        self._live: dict[int, Life] = {}
        self._dead: dict[int, Life] = {}
        self._buckets: defaultdict[int, list[int]] = defaultdict(list)
        self._long: dict[int, VmapArea] = {}
        self._found_early: defaultdict[int, list[Completed]] = defaultdict(list)
        self._removed_early: dict[int, Completed] = {}
        self._missed: defaultdict[int, list[Completed]] = defaultdict(list)
        self._last_end_ns = dict.fromkeys(cpus, 0)

    def areas(self) -> Iterator[VmapArea]:
        """Give the areas that are there, as far as the clients know, in address order."""
        return (self._live[start].area for start in sorted(self._live))

    def preload(self, areas: Iterable[VmapArea]) -> None:
        """Let `areas` be there from before the first operation."""
        for area in areas:
            self._be_born(Life(area, -1, -1))

    def left(self, cpu: int) -> None:
        """Note that `cpu` will complete no further operation."""
        self._last_end_ns.pop(cpu, None)

    def extend(self, operations: Sequence[Completed]) -> None:
        """Judge and add operations, in the order in which they ended."""
        for operation in operations:
            name, answer = operation[0], operation[8]
            if name in INSERTING:
                self._insert(operation)
            elif name in SILENT:
                pass
            elif answer is None:
                self._judge_miss(operation)
            elif name in REMOVING:
                self._remove(operation)
            else:
                self._judge_hit(operation)
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
            life = Life(area, begin_ns, end_ns)
            if start in self._removed_early:
                life.removed_ns = self._removed_early.pop(start)[3]
                self._dead[start] = life
            else:
                self._be_born(life)

    def _remove(self, operation: Completed) -> None:
        begin_ns, end_ns, area = operation[2], operation[3], operation[8]
        assert isinstance(area, VmapArea)
        start = area.va_start
        life = self._live.get(start)
        if life is None or life.area != area:
            self._removed_early[start] = operation
            return
        del self._live[start]
        if start in self._long:
            del self._long[start]
        else:
            self._buckets[start >> BUCKET_BITS].remove(start)
        life.removed_ns = end_ns
        self._dead[start] = life
        if start in self._missed:
            for lookup in self._missed.pop(start):
                if lookup[3] < begin_ns:
                    self._object_to_miss(lookup, life)

    def _be_born(self, life: Life) -> None:
        area = life.area
        start = area.va_start
        self._live[start] = life
        if (area.va_end - start) >> BUCKET_BITS >= LONG_BUCKETS:
            self._long[start] = area
        else:
            self._buckets[start >> BUCKET_BITS].append(start)

    # -- what was answered ----------------------------------------------------------------------

    def _judge_hit(self, operation: Completed) -> None:
        _name, _cpu, begin_ns, end_ns, _probes, _queue_ns, _service_ns, addr, area = operation
        assert isinstance(area, VmapArea)
        if not area.va_start <= addr < area.va_end:
            self._object(operation, "which does not contain it")
            return
        start = area.va_start
        life = self._live.get(start)
        if life is not None and life.area == area and life.insert_begin_ns <= end_ns:
            return
        life = self._dead.get(start)
        if life is not None and life.area == area and life.removed_ns >= begin_ns:
            return
        self._found_early[start].append(operation)

    def _judge_miss(self, operation: Completed) -> None:
        begin_ns, addr = operation[2], operation[7]
        life = self._around(addr)
        if life is not None and life.insert_end_ns < begin_ns:
            self._missed[life.area.va_start].append(operation)

    def _around(self, addr: int) -> Life | None:
        """Give the life of the area that is around `addr` as far as is known."""
        last = addr >> BUCKET_BITS
        for bucket in range(last, last - LONG_BUCKETS - 1, -1):
            for start in self._buckets.get(bucket, ()):
                if start <= addr < self._live[start].area.va_end:
                    return self._live[start]
        return next((self._live[start] for start, area in self._long.items() if addr in area), None)

    def _object(self, operation: Completed, why: str) -> None:
        name, cpu, begin_ns, end_ns, _probes, _queue_ns, _service_ns, addr, answer = operation
        self._except(f"{name} of {addr:#x} by cpu {cpu} at {begin_ns}-{end_ns} ns gave {answer}, {why}")

    def _object_to_miss(self, operation: Completed, life: Life | None) -> None:
        name, cpu, begin_ns, end_ns, _probes, _queue_ns, _service_ns, addr, _answer = operation
        assert life is not None, "a miss is only put off while the area is alive"
        self._except(
            f"{name} of {addr:#x} by cpu {cpu} at {begin_ns}-{end_ns} ns found nothing, "
            f"but {life.area} was there all the time"
        )

    def _except(self, text: str) -> None:
        self.exceptions += 1
        if self.first_exception is None:
            self.first_exception = text

    def _settle(self, oldest_ns: int) -> None:
        """Judge what was put off and forget the dead: all under way began at `oldest_ns` or later."""
        for _start, operation in _take_older(self._found_early, oldest_ns):
            self._object(operation, "which nobody had inserted")
        for start in [
            start for start, operation in self._removed_early.items() if operation[3] < oldest_ns
        ]:
            self._object(self._removed_early.pop(start), "which nobody had inserted")
        for start, operation in _take_older(self._missed, oldest_ns):
            self._object_to_miss(operation, self._live.get(start))
        self._dead = {start: life for start, life in self._dead.items() if life.removed_ns >= oldest_ns}


def _take_older(
    pending: defaultdict[int, list[Completed]], oldest_ns: int
) -> Iterator[tuple[int, Completed]]:
    """Take out and give the operations, with their keys, that ended before `oldest_ns`."""
    for start in list(pending):
        operations = pending.pop(start)
        later = [operation for operation in operations if operation[3] >= oldest_ns]
        if later:
            pending[start] = later
        yield from ((start, operation) for operation in operations if operation[3] < oldest_ns)
