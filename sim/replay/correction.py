"""After a difference the state is set to the kernel's, so that one difference breeds no others.

What is known then: the allocation's range was given out, so whoever the model thought had it did not; and the
address that the model expected was not to be had. A free range that proves not to be free is set aside until the
second purge from then, or until an allocation shows that somebody had it; areas found above the true one in its
pool were not there, and are lazy again.
"""

from collections.abc import Iterable

from sim.replay.line import Line
from sim.replay.state import Held
from sim.traces.events import AllocEvent

LARGEST_ASIDE = 1 << 24
"""Bytes of the largest free range that is set aside: above is the part of the space that was never used."""

PURGES_ASIDE = 2


class Correction:
    """Sets the state to the kernel's; there is no way back to before."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._aside = line.state.aside
        self._doubted: dict[tuple[int, int], int] = {}
        """The heads of pools that were expected once and not taken."""

    def correct(self, index: int, event: AllocEvent, expected: int | None) -> str:
        """Let an allocation have its range; say who the model thought had it."""
        state = self._line.state
        va_start, va_end = event.va_start, event.va_start + event.size
        owners = self._evict(event)
        if not owners:
            self._doubt_pool(event)
            if expected is not None and expected < va_start:
                self._set_aside(expected, va_start)
        if state.free.space.holds(va_start, va_end):
            self._line.happen_by_force(index, event)
        else:
            self._line.past.settle(index)  # it is outside of the space, or somebody's whom we do not know
        self._line.settle_here()
        return ", ".join(owners) or "free"

    def untraced(self, va_start: int, va_end: int, node: int) -> None:
        """Let a range be somebody's whose allocation no line tells of."""
        self._line.state.free.take(va_start, va_end)
        self._line.state.add_busy(Held(va_start, va_end, node))
        self._line.settle_here()

    def purge_ended(self) -> None:
        """Give back what has been set aside long enough."""
        ended = self._line.purging.ended
        for va_start, (va_end, since) in list(self._aside.items()):
            if ended - since >= PURGES_ASIDE:
                del self._aside[va_start]
                self._line.state.free.release(va_start, va_end)
                self._line.settle_here()

    def aside(self) -> list[tuple[int, int]]:
        """Give the ranges that are set aside."""
        return [(va_start, va_end) for va_start, (va_end, _since) in self._aside.items()]

    def _set_aside(self, expected: int, below: int) -> None:
        """Let the free range around an address that proved not to be free be nobody's for a while."""
        block = self._line.state.free.space.block(expected)
        if block is not None and block.size <= LARGEST_ASIDE and block.va_end <= below:
            self._line.state.free.take(block.va_start, block.va_end)
            self._aside[block.va_start] = (block.va_end, self._line.purging.ended)

    def _doubt_pool(self, event: AllocEvent) -> None:
        """Let the head of a pool be lazy again if it has been expected twice, and the free space served instead."""
        asked = self._line.past.pool_of(event, event.cpu)
        if asked is None or not (pool := self._line.state.pools[asked[0]][asked[1]]):
            return
        if self._doubted.get(asked) == pool[-1].va_start:
            head = self._line.state.pop(*asked)
            self._line.state.add_lazy(head, head.freed)
        if pool:
            self._doubted[asked] = pool[-1].va_start

    def _evict(self, event: AllocEvent) -> list[str]:
        """Make a range free by taking whatever touches it from whoever has it; say who had something."""
        state = self._line.state
        va_start, va_end = event.va_start, event.va_start + event.size
        owners: dict[str, None] = {}

        def touching(areas: Iterable[Held]) -> list[Held]:
            return [area for area in areas if area.va_start < va_end and va_start < area.va_end]

        def free(low: int, high: int, owner: str) -> None:
            owners[owner] = None
            state.free.release(low, high)

        exact = state.lazy.get(va_start)
        if exact is not None and exact.va_end == va_end:
            state.remove_lazy(va_start)
            free(va_start, va_end, "lazy")
        if state.free.space.holds(va_start, va_end):
            return list(owners)  # nobody else can have any of it
        for area in touching(state.lazy.values()):
            state.remove_lazy(area.va_start)
            free(area.va_start, area.va_end, "lazy")
        for area in touching(state.busy.values()):
            state.remove_busy(area.va_start)
            free(area.va_start, area.va_end, "busy")
        asked = self._line.past.pool_of(event, event.cpu)
        decaying = asked is None or not state.pools[asked[0]][asked[1]]
        for node, pools in enumerate(state.pools):
            for size_class, pool in enumerate(pools):
                for area in touching(pool):
                    own = (node, size_class) == asked and area.va_start == va_start
                    taken = self._take_from_pool(node, size_class, area, own=own, decaying=decaying)
                    for gone in taken:
                        free(gone.va_start, gone.va_end, "the pool that was asked" if own else "another pool")
        for low, (high, _since) in list(self._aside.items()):
            if low < va_end and va_start < high:
                del self._aside[low]
                free(low, high, "set aside")
        for area in touching(self._line.purging.drop(va_start, va_end)):
            free(area.va_start, area.va_end, "a purge")
        return list(owners)

    def _take_from_pool(self, node: int, size_class: int, area: Held, *, own: bool, decaying: bool) -> list[Held]:
        """Take an area out of a pool; give what is free then.

        The CPU that asked its `own` pool found the area on top: what is above was not there, and is lazy again. If
        the area is among the newest quarter, a purge has taken it from the pool, and before it all above.
        """
        state = self._line.state
        pool = state.pools[node][size_class].copy()
        position = next((at for at, one in enumerate(pool) if one is area), None)
        if position is None:
            return []  # it went with one below
        above = pool[position + 1 :]
        if own:
            state.replace(node, size_class, pool[:position])
            for one in above:
                state.add_lazy(one, one.freed)
            return [area]
        if decaying and len(above) < len(pool) // 4:
            state.replace(node, size_class, pool[:position])
            self._line.purging.has_decayed(node, size_class)
            return [area, *above]
        state.replace(node, size_class, pool[:position] + above)
        return [area]
