"""The kernel's state with a way back: free space, pools, lazy and busy areas, and what undoes each change.

`mark` says where the state is, `rollback` brings it back there exactly, the shape of the free tree included.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from attrs import define

from protocol.area import PAGE_SIZE, VmapArea
from protocol.free_machine import SPACE
from protocol.free_space import FreeSpace

POOL_CLASSES = 256
NOWHERE = -1


@define
class Held:
    """An area and the node that the allocating CPU recorded in it, `NOWHERE` if none (`decode_vn_id`)."""

    va_start: int
    va_end: int
    node: int
    freed: int = -1
    """The event that freed it."""

    @property
    def size_class(self) -> int:
        """The pool it would go to: pages, the guard page included, less one."""
        return (self.va_end - self.va_start) // PAGE_SIZE - 1


Undo: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]

BASE_EVERY = 128
"""Operations on the free space between two copies of it."""


class FreeRanges:
    """The free space, its operations in order, and copies now and then: going back is starting from a copy."""

    def __init__(self) -> None:
        self._space = FreeSpace(*SPACE)
        self._stale = False
        self._first = 0
        self._operations: list[tuple[bool, int, int]] = []
        self._copies: list[tuple[int, FreeSpace]] = [(0, self._space.copy())]

    @property
    def space(self) -> FreeSpace:
        """The free space as it is now."""
        if self._stale:
            made, copy = self._copies[-1]
            self._space = copy.copy()
            self._stale = False
            for taken, va_start, va_end in self._operations[made - self._first :]:
                if taken:
                    self._space.take(va_start, va_end)
                else:
                    self._space.release(VmapArea(va_start, va_end))
        return self._space

    def mark(self) -> int:
        """Give a number for the present state, to go back to."""
        return self._first + len(self._operations)

    def rollback(self, mark: int) -> None:
        """Go back to what was at `mark`."""
        if mark == self.mark():
            return
        del self._operations[mark - self._first :]
        while self._copies[-1][0] > mark:
            self._copies.pop()
        self._stale = True

    def forget(self, mark: int) -> None:
        """Give up the way back to what was before `mark`."""
        while len(self._copies) > 1 and self._copies[1][0] <= mark:
            del self._copies[0]
        made = self._copies[0][0]
        del self._operations[: made - self._first]
        self._first = made

    def take(self, va_start: int, va_end: int) -> None:
        """Take out a range that is free."""
        self.space.take(va_start, va_end)
        self._note((True, va_start, va_end))

    def allocate_at(self, va_start: int, size: int, align: int, vstart: int, vend: int) -> bool:
        """Take out what an allocation would get, if that starts at `va_start`; else nothing changes."""
        if not self.space.allocate_at(va_start, size, align, vstart, vend):
            return False
        self._note((True, va_start, va_start + size))
        return True

    def release(self, va_start: int, va_end: int) -> None:
        """Make a range free that is not."""
        self.space.release(VmapArea(va_start, va_end))
        self._note((False, va_start, va_end))

    def _note(self, operation: tuple[bool, int, int]) -> None:
        self._operations.append(operation)
        if self._first + len(self._operations) - self._copies[-1][0] >= BASE_EVERY:
            self._copies.append((self.mark(), self._space.copy()))


class KernelState:
    """What `nr_nodes` nodes and the free space hold. Pools are lists whose head is their end."""

    def __init__(self, nr_nodes: int, zone_size: int) -> None:
        self.nr_nodes = nr_nodes
        self.zone_size = zone_size
        self.free = FreeRanges()
        self.pools: list[list[list[Held]]] = [[[] for _ in range(POOL_CLASSES)] for _ in range(nr_nodes)]
        self.lazy: dict[int, Held] = {}
        self.lazy_of: list[dict[int, Held]] = [{} for _ in range(nr_nodes)]
        """The lazy areas of each node."""
        self.busy: dict[int, Held] = {}
        self.aside: dict[int, tuple[int, int]] = {}
        """Ranges that proved not to be free, nobody's for a while: their ends, and how many purges were over then.
        No way back: corrections set them."""
        self._undo: list[Undo] = []
        self._first = 0

    # -- the way back -----------------------------------------------------------------------------

    def mark(self) -> tuple[int, int]:
        """Give what `rollback` takes to come back here."""
        return self._first + len(self._undo), self.free.mark()

    def rollback(self, mark: tuple[int, int]) -> None:
        """Undo everything since `mark`."""
        undo = self._undo
        keep = mark[0] - self._first
        assert keep >= 0, "that way back has been given up"
        while len(undo) > keep:
            function, arguments = undo.pop()
            function(*arguments)
        self.free.rollback(mark[1])

    def forget(self, mark: tuple[int, int]) -> None:
        """Give up the way back to what was before `mark`."""
        del self._undo[: mark[0] - self._first]
        self._first = mark[0]
        self.free.forget(mark[1])

    def undoing(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Remember what undoes a change."""
        self._undo.append((function, arguments))

    # -- changes ----------------------------------------------------------------------------------

    def add_busy(self, area: Held) -> None:
        """Put an area among the busy ones."""
        self.busy[area.va_start] = area
        self.undoing(self.busy.pop, area.va_start)

    def remove_busy(self, va_start: int) -> Held:
        """Take an area from the busy ones."""
        area = self.busy.pop(va_start)
        self.undoing(self.busy.__setitem__, va_start, area)
        return area

    def add_lazy(self, area: Held, freed: int) -> None:
        """Put an area among the lazy ones, freed by the event of that number."""
        area.freed = freed
        self._add_lazy(area)
        self.undoing(self._remove_lazy, area.va_start)

    def remove_lazy(self, va_start: int) -> Held:
        """Take an area from the lazy ones."""
        area = self._remove_lazy(va_start)
        self.undoing(self._add_lazy, area)
        return area

    def _add_lazy(self, area: Held) -> None:
        self.lazy[area.va_start] = self.lazy_of[self.lazy_node(area)][area.va_start] = area

    def _remove_lazy(self, va_start: int) -> Held:
        area = self.lazy.pop(va_start)
        del self.lazy_of[self.lazy_node(area)][va_start]
        return area

    def push(self, node: int, area: Held) -> None:
        """Add an area at the head of its pool."""
        pool = self.pools[node][area.size_class]
        pool.append(area)
        self.undoing(pool.pop)

    def pop(self, node: int, size_class: int) -> Held:
        """Take the head of a pool."""
        pool = self.pools[node][size_class]
        area = pool.pop()
        self.undoing(pool.append, area)
        return area

    def rotate(self, node: int, size_class: int) -> None:
        """Move the head of a pool to its tail."""
        pool = self.pools[node][size_class]
        pool.insert(0, pool.pop())
        self.undoing(_unrotate, pool)

    def replace(self, node: int, size_class: int, areas: list[Held]) -> None:
        """Let a pool hold other areas."""
        pool = self.pools[node][size_class]
        before = pool.copy()
        pool[:] = areas
        self.undoing(pool.__setitem__, slice(None), before)

    # -- questions --------------------------------------------------------------------------------

    def home(self, va_start: int) -> int:
        """Give the node of an address."""
        return va_start // self.zone_size % self.nr_nodes

    def lazy_node(self, area: Held) -> int:
        """Give the node in whose lazy list an area is."""
        return self.home(area.va_start) if area.node == NOWHERE else area.node


def _unrotate(pool: list[Held]) -> None:
    pool.append(pool.pop(0))
