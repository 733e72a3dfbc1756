"""The history of a run as its clients saw it: which areas were there, and which answers can be true.

Knows nothing of trees and nodes. An insertion or removal took effect at some instant between its call
and its return, its *window*; an answer is false only if no choice of instants makes it true at any instant of
its own window (each lookup by itself; windows as in Herlihy & Wing, 1990). Instants need not be known: an area is
there as often as it was inserted, less as often as it was removed, so

- "found A" is false if, of A, the insertions that can have happened by the end of the lookup are no more than the
  removals that certainly happened before its beginning;
- "nothing there" is false if, of an area around the address, the insertions that certainly happened before the
  beginning are more than the removals that can have happened by the end;
- whenever nothing happens to an area, it is there once or not at all: no insertion found it there, no removal
  took out what was not.

*Certainly before* means: over before it, or on the same CPU before it at the same nanosecond. No clock but the
clients' is needed, so the same judge serves virtual time, threads and machines. Operations are fed in the order in
which they ended. An operation that had to wait for its CPU begins before the one ahead of it ends: its window is
then wider than need be, which can excuse an answer and never condemn one. A verdict that an operation still
under way could change is put off until none can.

What a failed operation was to do may have happened at any time since it began, or never: it counts wherever that
helps an answer to be true. An insertion that was refused, though nothing can have been in its way, is an exception.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import TypeAlias

from attrs import define

from actors.world import Completed, Failure
from protocol.area import VmapArea

FINDING = frozenset({"find", "find_interior", "find_miss"})
"""Operations whose answer is the area they found, or none."""

INSERTING = frozenset({"insert", "insert_batch", "alloc", "vm_map_ram", "new_vmap_block", "pcpu_get_vm_areas"})
"""Operations whose answer is what they inserted."""

REMOVING = frozenset({"unlink", "free", "vm_unmap_ram", "free_vmap_block", "pcpu_free_vm_areas"})
"""Operations whose answer is what they took out; without an answer they are lookups that found nothing."""

SILENT = frozenset(
    {
        "reserve",
        "migrate",
        "alloc_failed",
        "setup_vmalloc_vm",
        "vb_alloc",
        "vb_free",
        "find_vmap_area_exceed_addr",
        "vread",
        "vmallocinfo",
        "vmalloc_dump_obj",
        "_vm_unmap_aliases",
        "vmap_node_shrink_scan",
        "drain_vmap_area_work",
        "purge_vmap_node",
    }
)
"""Operations that say nothing about what is in the trees. They may be parts of others, or a kworker's, which shares
its CPU with a client: so they do not tell how far their CPU has come."""

BUCKET_BITS = 16
"""Starts are bucketed by 64 KiB of address, to find the areas around an address."""

LONG_BUCKETS = 16
"""Areas that reach over more buckets than this are kept in a list of their own."""

NEVER = 2**63
"""A time after all others."""

Window: TypeAlias = tuple[int, int, int]
"""Within which something took effect: begin_ns, end_ns, cpu."""

Key: TypeAlias = tuple[int, int]
"""Which area: va_start, va_end."""


@define(eq=False)
class Life:
    """The insertions and removals of an area: those long over as a balance, the recent ones as windows."""

    key: Key
    area: VmapArea
    there: int = 0
    """Insertions less removals that were over before anything that is still judged began."""
    inserted: tuple[Window, ...] = ()
    removed: tuple[Window, ...] = ()
    maybe_inserted: tuple[Window, ...] = ()
    """Insertions that failed: nobody knows whether they happened."""
    maybe_removed: tuple[Window, ...] = ()

    def can_be_there(self, begin_ns: int, end_ns: int, cpu: int) -> bool:
        """Tell whether the area can have been there at some instant between begin and end."""
        times = self.there
        for window in self.inserted:
            times += window[0] <= end_ns
        for window in self.removed:
            times -= _certainly_before(window, begin_ns, cpu)
        for window in self.maybe_inserted:
            times += window[0] <= end_ns
        return times > 0

    def must_be_there(self, begin_ns: int, end_ns: int, cpu: int) -> bool:
        """Tell whether the area was certainly there at every instant between begin and end."""
        times = self.there
        for window in self.inserted:
            times += _certainly_before(window, begin_ns, cpu)
        for window in self.removed:
            times -= window[0] <= end_ns
        for window in self.maybe_removed:
            times -= window[0] <= end_ns
        return times > 0

    def settle(self, window: Window) -> None:
        """Turn a window that no judgement will look at any more into balance; the oldest go first."""
        if self.inserted and self.inserted[0] is window:
            self.inserted = self.inserted[1:]
            self.there += 1
        elif self.removed and self.removed[0] is window:
            self.removed = self.removed[1:]
            self.there -= 1

    def rests_after(self, end_ns: int) -> bool:
        """Tell whether nothing happened to the area just after `end_ns`, up to which all has been settled."""
        return all(window[0] > end_ns for window in self.inserted) and all(
            window[0] > end_ns for window in self.removed
        )


class History:
    """Feeds on completed operations; holds what is there, what happened lately, and the exceptions."""

    def __init__(self, cpus: Iterable[int]) -> None:
        """Make the history of a run in which `cpus` take part."""
        self.exceptions = 0
        self.first_exception: str | None = None
        self._there: dict[int, VmapArea] = {}
        """The areas that are there for sure, and to which nothing happens: by va_start. They have no `Life`."""
        self._lives: dict[Key, Life] = {}
        """The areas to which something has happened lately, or may have."""
        self._unsettled: deque[tuple[Window, Life]] = deque()
        self._doubtful: list[Completed] = []
        self._surroundings: Surroundings | None = None
        self._last_end_ns = dict.fromkeys(cpus, 0)
        self._left: list[int] = []
        self._failed_removals: list[Failure] = []

    def areas(self) -> Iterator[VmapArea]:
        """Give the areas that are there for sure, as far as the clients know, in address order."""
        return self._in_order(
            life.area
            for life in self._lives.values()
            if life.there + len(life.inserted) - len(life.removed) - len(life.maybe_removed) > 0
        )

    def possible_areas(self) -> Iterator[VmapArea]:
        """Give the areas that may be there, in address order: failed operations may have left them."""
        return self._in_order(
            life.area
            for life in self._lives.values()
            if life.there + len(life.inserted) - len(life.removed) + len(life.maybe_inserted) > 0
        )

    def _in_order(self, changing: Iterable[VmapArea]) -> Iterator[VmapArea]:
        return iter(sorted(chain(self._there.values(), changing), key=attrgetter("va_start", "va_end")))

    def preload(self, areas: Iterable[VmapArea]) -> None:
        """Let `areas` be there from before the first operation."""
        for area in areas:
            if self._there.setdefault(area.va_start, area) != area:
                self._life_of(area).there = 1

    def left(self, cpu: int) -> None:
        """Note that `cpu` begins no further operation; those it has completed may still come."""
        self._left.append(cpu)

    def extend(self, operations: Sequence[Completed]) -> None:
        """Judge and add operations, in the order in which they ended."""
        there, last_end_ns = self._there, self._last_end_ns
        for operation in operations:
            name, cpu, _begin_ns, end_ns, _probes, _queue_ns, _service_ns, addr, answer = operation
            if name in FINDING:
                if type(answer) is VmapArea:
                    # The common case: the area has long been there, and nothing has happened to it lately.
                    known = there.get(answer.va_start)
                    if known is None or not known.va_start <= addr < known.va_end == answer.va_end:
                        self._judge_hit(operation)
                else:
                    self._judge_miss(operation)
            elif name in INSERTING:
                self._insert(operation)
            elif name in REMOVING:
                self._remove(operation)
            else:
                assert name in SILENT, f"nobody knows what {name} does to areas"
                continue
            last_end_ns[cpu] = end_ns
        for cpu in self._left:
            self._last_end_ns.pop(cpu, None)
        self._settle(min(self._last_end_ns.values(), default=NEVER))

    def fail(self, failure: Failure) -> None:
        """Add an operation that failed, before any that its CPU completed later."""
        window = (failure.begin_ns, NEVER, failure.cpu)
        if failure.refused:
            self._judge_refusal(failure)
        elif failure.operation in INSERTING:
            for area in failure.areas:
                self._life_of(area).maybe_inserted += (window,)
        elif failure.operation in REMOVING:
            self._failed_removals.append(failure)
            for area in [area for area in self._there.values() if failure.addr in area]:
                self._life_of(area)
            for life in self._lives.values():
                if failure.addr in life.area:
                    life.maybe_removed += (window,)

    def finish(self) -> None:
        """Judge what was put off: nothing else is under way any more."""
        self._settle(NEVER)

    # -- what happened to areas -----------------------------------------------------------------

    def _insert(self, operation: Completed) -> None:
        _name, cpu, begin_ns, end_ns, _probes, _queue_ns, _service_ns, _addr, answer = operation
        if answer is None:
            return
        for area in answer if type(answer) is tuple else (answer,):
            assert type(area) is VmapArea
            window = (begin_ns, end_ns, cpu)
            life = self._life_of(area)
            life.inserted += (window,)
            self._unsettled.append((window, life))

    def _remove(self, operation: Completed) -> None:
        _name, cpu, begin_ns, end_ns, _probes, _queue_ns, _service_ns, addr, answer = operation
        if type(answer) is tuple:
            for area in answer:
                self._remove((*operation[:7], area.va_start, area))
            return
        if type(answer) is not VmapArea:
            self._judge_miss(operation)
            return
        life = self._life_of(answer)
        if life.there < 1 or life.removed or not answer.va_start <= addr < answer.va_end:
            self._judge_hit(operation)
        window = (begin_ns, end_ns, cpu)
        life.removed += (window,)
        self._unsettled.append((window, life))

    def _life_of(self, area: VmapArea) -> Life:
        """Give the life of an area, one that begins now if there is none."""
        key = (area.va_start, area.va_end)
        life = self._lives.get(key)
        if life is not None:
            return life
        life = self._lives[key] = Life(key, area)
        if self._is_settled(area):
            del self._there[area.va_start]
            life.there = 1
        else:
            for failure in self._failed_removals:
                if failure.addr in area:
                    life.maybe_removed += ((failure.begin_ns, NEVER, failure.cpu),)
            if self._surroundings is not None:
                self._surroundings.add(area)
        return life

    # -- what was answered ----------------------------------------------------------------------

    def _judge_hit(self, operation: Completed) -> None:
        addr, area = operation[7], operation[8]
        assert isinstance(area, VmapArea)
        if addr not in area:
            self._object(operation, f"gave {area}, which does not contain it")
        elif not self._hit_can_be_true(operation):
            self._doubtful.append(operation)

    def _judge_miss(self, operation: Completed) -> None:
        if self._missed(operation) is not None:
            self._doubtful.append(operation)

    def _judge_refusal(self, failure: Failure) -> None:
        """Object to an insertion refused though nothing can have been there; its own earlier copy must not be."""
        window = (failure.begin_ns, failure.end_ns, failure.cpu)
        for area in failure.areas:
            if any(_overlap(area, known) for known in self._there.values()):
                return
            for life in self._lives.values():
                if _overlap(area, life.area) and life.can_be_there(*window):
                    return
        what = f"{failure.operation} of {failure.addr:#x} by cpu {failure.cpu}"
        self._except(f"{what} at {failure.begin_ns}-{failure.end_ns} ns was refused: {failure.reason}")

    def _hit_can_be_true(self, operation: Completed) -> bool:
        """Tell whether the area found can have been there; more insertions to come can only help."""
        _name, cpu, begin_ns, end_ns, _probes, _queue_ns, _service_ns, _addr, area = operation
        assert isinstance(area, VmapArea)
        life = self._lives.get((area.va_start, area.va_end))
        if life is None:
            return self._is_settled(area)
        return life.can_be_there(begin_ns, end_ns, cpu)

    def _missed(self, operation: Completed) -> VmapArea | None:
        """Give an area that was around the address all the time; more removals to come can only help."""
        _name, cpu, begin_ns, end_ns, _probes, _queue_ns, _service_ns, addr, _answer = operation
        if self._surroundings is None:
            changing = (life.area for life in self._lives.values())
            self._surroundings = Surroundings(chain(self._there.values(), changing))
        for area in self._surroundings.around(addr):
            life = self._lives.get((area.va_start, area.va_end))
            if life is None or life.must_be_there(begin_ns, end_ns, cpu):
                return area
        return None

    def _is_settled(self, area: VmapArea) -> bool:
        """Tell whether an area is there for sure, and nothing happens to it."""
        known = self._there.get(area.va_start)
        return known is not None and known.va_end == area.va_end

    def _settle(self, oldest_ns: int) -> None:
        """Judge what was put off and forget what is over: all under way began at `oldest_ns` or later."""
        due = [operation for operation in self._doubtful if operation[3] < oldest_ns]
        self._doubtful = [operation for operation in self._doubtful if operation[3] >= oldest_ns]
        for operation in due:
            self._judge_at_last(operation)
        horizon_ns = min([oldest_ns, *(operation[2] for operation in self._doubtful)])
        unsettled = self._unsettled
        while unsettled and unsettled[0][0][1] < horizon_ns:
            window, life = unsettled.popleft()
            life.settle(window)
            if not (life.inserted or life.removed) or life.rests_after(window[1]):
                self._balance(life)

    def _judge_at_last(self, operation: Completed) -> None:
        area = operation[8]
        if isinstance(area, VmapArea):
            if not self._hit_can_be_true(operation):
                self._object(operation, f"gave {area}, which was not there")
                if operation[0] in REMOVING:
                    self._take_back_removal(operation)
        elif (missed := self._missed(operation)) is not None:
            self._object(operation, f"found nothing, but {missed} was there all the time")

    def _take_back_removal(self, operation: Completed) -> None:
        """Let a removal of what was not there not have been: it has been objected to."""
        area = operation[8]
        assert isinstance(area, VmapArea)
        life = self._lives[area.va_start, area.va_end]
        window = (operation[2], operation[3], operation[1])
        life.removed = tuple(other for other in life.removed if other != window)

    def _balance(self, life: Life) -> None:
        """Judge how often an area was there at an instant at which nothing happened to it."""
        if life.maybe_inserted or life.maybe_removed:
            return  # how often it was there is anybody's guess; what is left of it is judged by where it is
        if life.there not in (0, 1):
            often = "inserted where it was" if life.there > 1 else "removed more often than inserted"
            self._except(f"{life.area} was {often}")
            life.there = max(0, min(1, life.there))
        if life.inserted or life.removed or self._lives.get(life.key) is not life:
            return
        if not life.there:
            if self._surroundings is not None:
                self._surroundings.remove(life.area)
        elif self._there.setdefault(life.area.va_start, life.area) is not life.area:
            return  # another one that begins there is there, too
        del self._lives[life.key]

    def _object(self, operation: Completed, what: str) -> None:
        name, cpu, begin_ns, end_ns, _probes, _queue_ns, _service_ns, addr, _answer = operation
        self._except(f"{name} of {addr:#x} by cpu {cpu} at {begin_ns}-{end_ns} ns {what}")

    def _except(self, text: str) -> None:
        self.exceptions += 1
        if self.first_exception is None:
            self.first_exception = text


def _certainly_before(window: Window, begin_ns: int, cpu: int) -> bool:
    """Tell whether what happened within `window` was over when an operation of `cpu` began.

    Of two operations of a CPU that take no time, in the same nanosecond, nobody can tell; there are such only
    where nothing costs anything.
    """
    if window[1] == begin_ns:
        return window[2] == cpu and window[0] < begin_ns
    return window[1] < begin_ns


def _overlap(one: VmapArea, other: VmapArea) -> bool:
    return one.va_start < other.va_end and other.va_start < one.va_end


class Surroundings:
    """Finds the areas around an address; made for the first lookup that finds nothing, kept up after."""

    def __init__(self, areas: Iterable[VmapArea]) -> None:
        self._buckets: defaultdict[int, dict[Key, VmapArea]] = defaultdict(dict)
        self._long: dict[Key, VmapArea] = {}
        for area in areas:
            self.add(area)

    def add(self, area: VmapArea) -> None:
        """Take note of an area."""
        place = self._long if _is_long(area) else self._buckets[area.va_start >> BUCKET_BITS]
        place[area.va_start, area.va_end] = area

    def remove(self, area: VmapArea) -> None:
        """Forget an area."""
        if _is_long(area):
            del self._long[area.va_start, area.va_end]
            return
        bucket = area.va_start >> BUCKET_BITS
        del self._buckets[bucket][area.va_start, area.va_end]
        if not self._buckets[bucket]:
            del self._buckets[bucket]

    def around(self, addr: int) -> Iterator[VmapArea]:
        """Give the areas that contain `addr`."""
        last = addr >> BUCKET_BITS
        for bucket in range(last, last - LONG_BUCKETS - 1, -1):
            if bucket in self._buckets:
                yield from (area for area in self._buckets[bucket].values() if addr in area)
        yield from (area for area in self._long.values() if addr in area)


def _is_long(area: VmapArea) -> bool:
    return (area.va_end - area.va_start) >> BUCKET_BITS >= LONG_BUCKETS
