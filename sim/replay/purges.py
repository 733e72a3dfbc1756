"""Which areas a purge took, and what it did with them step by step.

`num_purged` says how many. Each node's lazy list is taken at an instant of its own, node after node, so a purge
took of each node all that was freed before that instant: `choices` gives the sets of areas that this allows, the
ones with the instants closest together first.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import accumulate, islice
from types import MappingProxyType
from typing import NamedTuple

from attrs import frozen

from protocol.area import ULONG_MAX

TOP = ULONG_MAX + 1
"""Above all addresses: the step at which a node's leftovers go back to the free space."""

Step = tuple[int, int, int]
"""Stage 0, node, part: a pool is detached (twice its class), decays and is attached again (twice its class and 1),
the decayed are free (`MERGE`), the lazy list is taken (`TAKE`). Stage 1, node, address: an area goes to its pool;
after those of a node (`TOP`) what no pool takes is free."""

MERGE = 2**20
TAKE = MERGE + 1

END: Step = (2, 0, 0)
"""After all steps."""

NEAR = 40
"""Frees on either side of the likely end of a purge that are looked at for other sets."""

MOST_CHOICES = 400
"""Sets that are looked at for one purge."""


class Candidate(NamedTuple):
    """A free that a purge may have taken: its number, the node whose lazy list it went to, and its address."""

    free: int
    node: int
    va_start: int
    pages: int


@frozen
class Known:
    """What is known of the areas that a purge took."""

    count: int
    """How many there are."""
    within: tuple[int, int]
    """What their starts are in: the purge's start and end."""
    pages: int | None = None
    """The pages in them, None where that cannot be seen."""
    taken: Set[int] = frozenset()
    """Starts of areas that are among them."""
    spared: Set[int] = frozenset()
    """Starts of areas that are not."""


def choices(candidates: Sequence[Candidate], known: Known) -> Iterator[tuple[int, ...]]:
    """Give the sets of frees that one pass over the nodes can have taken, the likeliest first.

    Candidates are in the order of their lines. Of the sets that do not fit what is known, one is given where
    none fits. If there are too few candidates, the only set is all of them.
    """
    if len(candidates) <= known.count:
        yield tuple(candidate.free for candidate in candidates)
        return
    head, near, left = _parted(candidates, known)
    found = False
    for positions in _fitting(near, left):
        found = True
        yield head + tuple(near[position].free for position in positions)
    if not found and not known.taken and not known.spared:
        yield head + tuple(one.free for one in near[: left.count])


def likeliest(candidates: Sequence[Candidate], known: Known) -> tuple[int, ...]:
    """Give the first of the `choices`, for an unbounded purge."""
    if len(candidates) <= known.count:
        return tuple(candidate.free for candidate in candidates)
    head, near, left = _parted(candidates, known)
    positions = next(_fitting(near, left), range(left.count))
    return head + tuple(near[position].free for position in positions)


def _parted(candidates: Sequence[Candidate], known: Known) -> tuple[tuple[int, ...], tuple[Candidate, ...], Known]:
    """Part those that are taken for certain from the near ones, and say what is known of these."""
    certain = max(0, known.count - NEAR)
    first = candidates[:certain]
    pages = None if known.pages is None else known.pages - sum(one.pages for one in first)
    left = Known(known.count - certain, known.within, pages, known.taken, known.spared)
    return tuple(one.free for one in first), tuple(candidates[certain : known.count + NEAR]), left


def _fitting(near: Sequence[Candidate], known: Known) -> Iterator[tuple[int, ...]]:
    """Give the positions of the candidates in each set that fits what is known."""
    first, end = known.within
    outside = {position for position, one in enumerate(near) if not first <= one.va_start < end}
    all_inside = min(outside, default=len(near))
    pages = [one.pages for one in near]
    pages_below = [0, *accumulate(pages)]
    least, most = _bounds(near, known)
    for low, taken in islice(_windows([one.node for one in near], known.count, least, most), MOST_CHOICES):
        if (
            low <= all_inside
            and outside.isdisjoint(taken)
            and known.pages in (None, pages_below[low] + sum(map(pages.__getitem__, taken)))
        ):
            yield (*range(low), *taken)


def _bounds(near: Sequence[Candidate], known: Known) -> tuple[dict[int, int], dict[int, int]]:
    """Give for nodes how many of their frees are taken at least, and at most."""
    least: dict[int, int] = {}
    most: dict[int, int] = {}
    seen: Counter[int] = Counter()
    for one in near:
        if one.va_start in known.spared:
            most.setdefault(one.node, seen[one.node])
        seen[one.node] += 1
        if one.va_start in known.taken:
            least[one.node] = seen[one.node]
    return least, most


def _prefixes(
    nodes: Sequence[int],
    wanted: int,
    least: Mapping[int, int] = MappingProxyType({}),
    most: Mapping[int, int] = MappingProxyType({}),
) -> Iterator[tuple[int, ...]]:
    """Give the ways to take `wanted` positions: a prefix of each node's, no shorter than those of lower nodes."""
    for low, taken in _windows(nodes, wanted, least, most):
        yield (*range(low), *taken)


def _windows(
    nodes: Sequence[int], wanted: int, least: Mapping[int, int], most: Mapping[int, int]
) -> Iterator[tuple[int, list[int]]]:
    """Give each of the `_prefixes` as a number of positions all of which are taken, and those above.

    Of a node are taken `least` at least and `most` at most. Each way is what is taken of a window between the first
    position that is left and the last that is taken; the narrowest windows come first.
    """
    bounded = bool(least or most)
    from_level, above_level = _counts(nodes)
    if 0 <= wanted <= len(nodes) and not (bounded and _out_of_bounds(Counter(nodes[:wanted]), (), least, most)):
        yield wanted, []
    for spread in range(2, len(nodes) + 1):
        for low in range(max(0, wanted - spread), min(wanted, len(nodes) - spread) + 1):
            # The list of the first one's node was taken before those of higher nodes; so were the last one's.
            first, last, end = nodes[low], nodes[low + spread - 1], low + spread
            if not first < last:
                continue
            sure = from_level[last][end] - from_level[last][low]
            most_others = above_level[first][end] - above_level[first][low] - sure
            if not 0 <= wanted - low - sure <= most_others:
                continue
            window = nodes[low:end]
            before = Counter(nodes[:low]) if bounded else Counter[int]()
            if bounded and _out_of_bounds(before, window, least, most):
                continue
            bounds = [
                (node, least.get(node, 0) - before[node], most.get(node, len(nodes)) - before[node])
                for node in sorted(set(window))
                if first < node < last
            ]
            all_taken = [position for position, node in enumerate(window) if node >= last]
            for taken in _in_window(window, bounds, 0, wanted - low - sure):
                yield low, [low + position for position in sorted((*all_taken, *taken))]


def _counts(nodes: Sequence[int]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Count, for each node, positions of it or higher nodes, and of higher ones, below each position."""
    return (
        {level: [0, *accumulate(node >= level for node in nodes)] for level in set(nodes)},
        {level: [0, *accumulate(node > level for node in nodes)] for level in set(nodes)},
    )


def _out_of_bounds(
    before: Counter[int], window: Sequence[int], least: Mapping[int, int], most: Mapping[int, int]
) -> bool:
    """Tell whether a window takes too many or too few of some node, whatever it takes of those in between."""
    own = Counter(window)
    return (
        any(before[node] > count for node, count in most.items())
        or any(before[node] + own[node] < count for node, count in least.items())
        or any(least.get(node, 0) > before[node] for node in own if node <= window[0])
        or any(before[node] + own[node] > most[node] for node in own if node >= window[-1] and node in most)
    )


def _in_window(
    window: Sequence[int], bounds: Sequence[tuple[int, int, int]], low: int, wanted: int
) -> Iterator[tuple[int, ...]]:
    """Give the positions that nodes take of a window, within their bounds and up to instants at `low` or later."""
    if not bounds:
        if not wanted:
            yield ()
        return
    (node, least, most), *others = bounds
    own = [position for position, other in enumerate(window) if other == node]
    for count in range(max(0, least), min(len(own), wanted, most) + 1):
        # The earliest instant that takes so many of them, and the latest that takes no more.
        if count < len(own) and own[count] < low:
            continue
        earliest = max(low, own[count - 1] + 1 if count else low)
        for rest in _in_window(window, others, earliest, wanted - count):
            yield (*own[:count], *rest)
