"""Which areas a purge took, and what it did with them step by step.

`num_purged` says how many. Each node's lazy list is taken at an instant of its own, node after node, so a purge took of
each node all that was freed before that instant: `choices` gives the sets of areas that this allows, the ones with
the instants closest together first.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from attrs import frozen

from protocol.area import ULONG_MAX

TOP = ULONG_MAX + 1
"""Above all addresses: the step at which a node's leftovers go back to the free space."""

Step = tuple[int, int, int]
"""Stage 0, node, part: pools decay (0), the decayed are free (1), the lazy list is taken (2). Stage 1, node, address."""

END: Step = (2, 0, 0)
"""After all steps."""

NEAR = 24
"""Frees on either side of the likely end of a purge that are looked at for other sets."""

MOST_CHOICES = 400
"""Sets that are looked at for one purge."""


@frozen
class Candidate:
    """A free that a purge may have taken: its number, the node whose lazy list it went to, and its address."""

    index: int
    node: int
    va_start: int


def choices(
    candidates: Sequence[Candidate], wanted: int, within: tuple[int, int]
) -> Iterator[tuple[int, ...]]:
    """Give the sets of `wanted` frees that one pass over the nodes can have taken, at most `MOST_CHOICES`.

    Candidates are in the order of their lines. All areas of a set start within `within` (the purge's start and
    end). If there are too few candidates, the only set is all of them.
    """
    if len(candidates) <= wanted:
        yield tuple(candidate.index for candidate in candidates)
        return
    certain = max(0, wanted - NEAR)
    head = tuple(candidate.index for candidate in candidates[:certain])
    near = candidates[certain : wanted + NEAR]
    for positions in islice(_prefixes([one.node for one in near], wanted - certain), MOST_CHOICES):
        if all(within[0] <= near[position].va_start < within[1] for position in positions):
            yield head + tuple(near[position].index for position in positions)


def _prefixes(nodes: Sequence[int], wanted: int) -> Iterator[tuple[int, ...]]:
    """Give the ways to take `wanted` positions: a prefix of each node's, no shorter than those of lower nodes."""
    for spread in range(len(nodes) + 1):
        for low in range(max(0, wanted - spread), min(wanted, len(nodes) - spread) + 1):
            window = nodes[low : low + spread]
            for taken in _in_window(window, sorted(set(window)), 0, wanted - low):
                # What begins with a taken position or ends with one left was given with a smaller spread.
                if not spread or (0 not in taken and spread - 1 in taken):
                    yield (*range(low), *(low + position for position in taken))


def _in_window(window: Sequence[int], involved: list[int], low: int, wanted: int) -> Iterator[tuple[int, ...]]:
    """Give the positions that the nodes `involved` take of a window, each up to an instant at `low` or later."""
    if not involved:
        if not wanted:
            yield ()
        return
    node, *others = involved
    own = [position for position, other in enumerate(window) if other == node]
    for count in range(min(len(own), wanted) + 1):
        # The earliest instant that takes so many of them, and the latest that takes no more.
        latest = own[count] if count < len(own) else len(window)
        if latest < low:
            continue
        earliest = max(low, own[count - 1] + 1 if count else low)
        for rest in _in_window(window, others, earliest, wanted - count):
            yield tuple(sorted((*own[:count], *rest)))
