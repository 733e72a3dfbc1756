"""Which slices of a CPU lie in which, and which need a lane of their own.

Operations are noted when they end: a part (`setup_vmalloc_vm`, a `free` by a notifier, `free_vmap_block`) before
the operation around it, which is the first that is noted later, on the same CPU, that it lies within, and that can
have parts. Where operations take turns (`Timeline.in_turn`) one that came while its CPU was busy begins when the
one before it ends; elsewhere those that overlap, a kworker's or another thread's, have lanes of their own.

Of a request only the CPU is noted. It belongs to the operation that began last of those that it lies within, beside
whose other requests it fits: so where two scripts of a CPU ask for locks at once, it may stand with the other. A
mutex is held while other locks are asked for: these requests, and parts, lie in its slice.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from attrs import define, field

from sim.timeline.recording import NEVER, Grant, Operation

KWORKERS = frozenset({"drain_vmap_area_work", "purge_vmap_node"})
"""Operations that only kworkers carry out."""

WITHOUT_PARTS = KWORKERS | {"free"}
"""Operations that never have parts, and that may overlap with another script's."""


@define(eq=False)
class Slice:
    """A stretch of a track; those within it follow each other, between its ends."""

    name: str
    begin_ns: int
    end_ns: int
    inner: "list[Slice]" = field(factory=list)
    notes: dict[str, int] = field(factory=dict)
    flow: int = 0
    """Where an arrow begins or ends; 0 where there is none."""
    inner_from_ns: int = NEVER
    """From when on others may lie within it."""


def _begin_ns(one: Slice) -> int:
    return one.begin_ns


def _end_ns(one: Slice) -> int:
    return one.end_ns


def put(lane: list[Slice], new: Slice, *, nested: bool = True) -> bool:
    """Put a slice between those of `lane`, with `nested` also into one or around some; tell whether it fits.

    What lies around a new slice, or in it, is found in O(log slices) at each depth.
    """
    first = bisect_right(lane, new.begin_ns, key=_end_ns)
    last = bisect_left(lane, new.end_ns, first, key=_begin_ns)
    among = lane[first:last]
    if among and not nested:
        return False
    if len(among) == 1 and among[0].inner_from_ns <= new.begin_ns and new.end_ns <= among[0].end_ns:
        return put(among[0].inner, new)
    if any(one.begin_ns < new.inner_from_ns or one.end_ns > new.end_ns for one in among):
        return False
    new.inner += among
    lane[first:last] = [new]
    return True


def lanes_of(
    operations: Iterable[Operation], grants: Iterable[Grant], flows: Mapping[int, int], *, in_turn: bool
) -> list[list[Slice]]:
    """Give the slices of a CPU: a lane of operations with what is in them, then lanes for what is beside these.

    All are of one CPU, operations in the order in which they ended; `in_turn` as in `Timeline`; `flows` numbers
    grants by their identity. Every request is on one of the lanes.
    """
    whole = _in_turn(operations) if in_turn else _with_parts(operations)
    whole.sort(key=_begin_ns)
    lanes: list[list[Slice]] = [[]]
    for one in sorted(whole, key=lambda one: one.name in KWORKERS):
        _put_beside(lanes, one)
    latest_ns = list(accumulate(map(_end_ns, whole), max))
    beside: list[list[Slice]] = []
    for grant in sorted(grants, key=lambda grant: (not grant.sleeping, grant.arrival_ns)):
        request = _request(grant, flows[id(grant)])
        if not _put_into_one(whole, latest_ns, request):
            _put_beside(beside, request)
    return lanes + beside


def _in_turn(operations: Iterable[Operation]) -> list[Slice]:
    """Give operations of which each begins when the one before it is over."""
    slices, free_ns = [], 0
    for operation in operations:
        begin_ns = max(operation.begin_ns, free_ns)
        free_ns = operation.end_ns
        slices.append(_operation(operation, begin_ns))
    return slices


def _with_parts(operations: Iterable[Operation]) -> list[Slice]:
    """Put operations that are parts of later ones into these; give the others."""
    whole: list[Slice] = []
    parts: list[Slice] = []
    for operation in operations:
        one = _operation(operation, operation.begin_ns)
        if one.name not in WITHOUT_PARTS:
            parts = [part for part in parts if not (_lies_in(part, one) and put(one.inner, part, nested=False))]
        (parts if operation.part else whole).append(one)
    return whole + parts  # these are parts of what is left out


def _lies_in(part: Slice, whole: Slice) -> bool:
    return whole.begin_ns <= part.begin_ns and part.end_ns <= whole.end_ns


def _put_into_one(whole: Sequence[Slice], latest_ns: Sequence[int], request: Slice) -> bool:
    """Put a request into the operation that began last of those where it fits; tell whether there is one.

    `latest_ns` has for each operation the latest end up to it: before that nothing is long enough.
    """
    place = bisect_right(whole, request.begin_ns, key=_begin_ns) - 1
    while place >= 0 and latest_ns[place] >= request.end_ns:
        if whole[place].end_ns >= request.end_ns and put(whole[place].inner, request):
            return True
        place -= 1
    return False


def _put_beside(lanes: list[list[Slice]], one: Slice) -> None:
    """Put a slice on the first lane where nothing else is at its time."""
    if not any(put(lane, one, nested=False) for lane in lanes):
        lanes.append([one])


def _operation(operation: Operation, begin_ns: int) -> Slice:
    notes = {"nodes asked": operation.probes, "address": operation.addr}
    if begin_ns > operation.begin_ns:
        notes["waited for its CPU (ns)"] = begin_ns - operation.begin_ns
    return Slice(operation.name, begin_ns, operation.end_ns, notes=notes, inner_from_ns=begin_ns)


def _request(grant: Grant, flow: int) -> Slice:
    waiting = [Slice("wait", grant.arrival_ns, grant.start_ns)] if grant.start_ns > grant.arrival_ns else []
    inner_from_ns = grant.start_ns if grant.sleeping else NEVER
    return Slice(grant.lock, grant.arrival_ns, grant.end_ns, waiting, flow=flow, inner_from_ns=inner_from_ns)
