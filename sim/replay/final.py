"""What a replay leaves: areas, pools and lazy list of each node, and whether all addresses have an owner."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from attrs import frozen

from protocol.area import VmapArea
from protocol.free_machine import SPACE
from sim.checks import Verdict, verdict_of
from sim.replay.correction import Correction
from sim.replay.line import Line
from sim.replay.state import Held


@frozen
class FinalNode:
    """A node at the end: its busy and lazy areas, ascending, and its pools, by pages, from the head."""

    node: int
    busy: tuple[VmapArea, ...]
    lazy: tuple[VmapArea, ...]
    pools: dict[int, tuple[VmapArea, ...]]


@frozen
class Final:
    """The state at the end of a trace."""

    nodes: tuple[FinalNode, ...]
    free: tuple[VmapArea, ...]
    in_hand: tuple[VmapArea, ...]
    """Areas that a purge has that had not printed its line yet."""
    aside: tuple[VmapArea, ...]
    """Ranges that proved not to be free, and are nobody's that is known."""

    def conserved(self) -> Verdict:
        """Judge whether every address of the space has one owner."""
        owned = sorted(
            (
                *(area for node in self.nodes for area in (*node.busy, *node.lazy)),
                *(area for node in self.nodes for pool in node.pools.values() for area in pool),
                *self.free,
                *self.in_hand,
                *self.aside,
            ),
            key=lambda area: (area.va_start, area.va_end),
        )
        borders = [VmapArea(SPACE[0] - 1, SPACE[0]), *owned, VmapArea(SPACE[1], SPACE[1] + 1)]
        return verdict_of(
            [
                f"{area} and {following} {'overlap' if area.va_end > following.va_start else 'leave a gap'}"
                for area, following in pairwise(borders)
                if area.va_end != following.va_start
            ]
        )


def final_of(line: Line, correction: Correction) -> Final:
    """Take down the state that a replay has led to."""
    state = line.state
    busy: list[list[Held]] = [[] for _ in range(state.nr_nodes)]
    for area in state.busy.values():
        busy[state.home(area.va_start)].append(area)
    purge = line.purging.purge
    return Final(
        nodes=tuple(
            FinalNode(
                node,
                _ascending(busy[node]),
                _ascending(list(state.lazy_of[node].values())),
                {
                    size_class + 1: tuple(map(_area, reversed(pool)))
                    for size_class, pool in enumerate(state.pools[node])
                    if pool
                },
            )
            for node in range(state.nr_nodes)
        ),
        free=tuple(state.free.space),
        in_hand=_ascending(purge.in_hand()) if purge is not None else (),
        aside=tuple(VmapArea(*limits) for limits in correction.aside()),
    )


def lengths(node: FinalNode) -> Counter[int]:
    """Count the areas in a node's pools by their pages."""
    return Counter({pages: len(pool) for pages, pool in node.pools.items()})


def _ascending(areas: Sequence[Held]) -> tuple[VmapArea, ...]:
    return tuple(map(_area, sorted(areas, key=lambda area: area.va_start)))


def _area(held: Held) -> VmapArea:
    return VmapArea(held.va_start, held.va_end)
