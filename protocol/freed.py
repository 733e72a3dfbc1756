"""What a vmap node keeps of freed areas: pools, a lazy tree, and what is being purged.

Mirrors `pool`, `lazy` and `purge_list` of `struct vmap_node` and the parts of `free_vmap_area_noflush()`,
`__purge_vmap_area_lazy()`, `purge_vmap_node()`, `decay_va_pool_node()` and `vmap_node_shrink_count()` of
mm/vmalloc.c that touch them, since v6.9. Each lock guards its own: "pool/3" and "lazy/3". Areas that have left the
lazy tree and are in no pool and not yet free are in `purge_list` or in `reclaimed`, so that every byte always has
one place.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TypeAlias, assert_never

from protocol.area import PAGE_SIZE, ULONG_MAX, VmapArea
from protocol.errors import AreaOverlap
from protocol.kernel import Kernel
from protocol.lazy import LazyTree
from protocol.messages import (
    LIST_MOST,
    POPULATE_MOST,
    Allocated,
    Areas,
    CollectReclaimed,
    Counted,
    CountPools,
    DecayPools,
    Detached,
    DetachLazy,
    FreedRequest,
    Inserted,
    LazyInsert,
    ListLazy,
    ListPools,
    NotFound,
    PoolTake,
    PopulatePools,
    Refused,
    Reply,
)
from protocol.pools import Pools
from protocol.work import Work, without_lock

REPLY_BYTES = 1_000_000
"""Most bytes of areas in one reply: it fits a frame (`codec.MAX_FRAME`)."""

RULES = ("pools", "pool_limit", "decay", "lazy_merges")
"""The choices of a kernel that are for nodes to follow; all others are for those who ask them."""

Served: TypeAlias = tuple[Reply, Work]

_MISS = NotFound()
_ONE = Inserted(1)
_UNLOCKED = without_lock(1)


class FreedAreas:
    """The freed areas of node `node_id`, under the rules of `kernel`."""

    def __init__(self, node_id: int, kernel: Kernel, page_size: int = PAGE_SIZE) -> None:
        self._kernel = kernel
        self._page_size = page_size
        self.pools = Pools(kernel.pool_limit, page_size)
        self.lazy = LazyTree(merges=kernel.lazy_merges)
        self.purge_list: list[VmapArea] = []
        """What the present purge has detached, in address order."""
        self.passed_over: deque[VmapArea] = deque()
        """What the present purge has found no pool for (kernel: `local_list`, which is filled at its head)."""
        self.reclaimed: deque[VmapArea] = deque()
        """What did not fit into the last reply, on its way to the free space."""
        self._pool_lock = f"pool/{node_id}"
        self._lazy_lock = f"lazy/{node_id}"
        self._pool_work = Work(self._pool_lock, 1, 1)
        self._lazy_works = [Work(self._lazy_lock, depth, 1) for depth in range(65)]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept: as it was when it was made."""
        return not (self.pools or self.lazy or self.purge_list or self.passed_over or self.reclaimed)

    @property
    def in_purge(self) -> list[VmapArea]:
        """What a purge has taken up and not brought to its end."""
        return [*self.purge_list, *self.passed_over, *self.reclaimed]

    def __iter__(self) -> Iterator[VmapArea]:
        """Iterate over all that is kept, in no order."""
        return chain(self.pools, self.lazy, self.in_purge)

    def handle(self, request: FreedRequest) -> Served:
        """Serve one request; give the reply and the work that was done."""
        match request:
            case PoolTake():
                return self._pool_take(request.size, request.align)
            case LazyInsert():
                return self._lazy_insert(request.area)
            case DetachLazy():
                return self._detach_lazy()
            case PopulatePools():
                return self._populate_pools(request.populate)
            case DecayPools():
                return self._decay_pools(request.full)
            case CollectReclaimed():
                return self._next_reclaimed(), _UNLOCKED
            case CountPools():
                return Counted(len(self.pools)), _UNLOCKED
            case ListLazy():
                return self._list_lazy(request.start)
            case ListPools():
                return self._list_pools(request.start)
            case _:
                assert_never(request)

    def _pool_take(self, size: int, align: int) -> Served:
        """Look whether the class is empty without the lock, as the kernel does, and only then take it."""
        if self.pools.holds_none(size):
            return _MISS, _UNLOCKED
        area = self.pools.take(size, align)
        return (_MISS if area is None else Allocated(area)), self._pool_work

    def _lazy_insert(self, area: VmapArea) -> Served:
        work = self._lazy_works[self.lazy.depth]
        try:
            self.lazy.add(area)
        except AreaOverlap as overlap:
            return Refused("overlap", str(overlap)), work
        return _ONE, work

    def _detach_lazy(self) -> Served:
        """Take the lock only if there is something, as the kernel does (`RB_EMPTY_ROOT`)."""
        if not self.lazy:
            return Detached(0, 0, ULONG_MAX, 0), _UNLOCKED
        pages = self.lazy.bytes // self._page_size
        areas = self.lazy.detach()
        self.purge_list += areas
        # A list changes its owner: the work does not depend on its length.
        return Detached(len(areas), pages, areas[0].va_start, areas[-1].va_end), self._lazy_works[0]

    def _populate_pools(self, populate: bool) -> Served:
        """Take the lock once for each area that goes to a pool."""
        count = POPULATE_MOST if populate else len(self.purge_list)
        purged = self.purge_list[:count]
        del self.purge_list[:count]
        pooled = 0
        for area in purged:
            if populate and area.flags >> 8 and self.pools.add(area):
                pooled += 1
            elif self._kernel.pools:
                self.passed_over.appendleft(area)
            else:
                self.passed_over.append(area)
        if not self.purge_list:
            self.reclaimed += self.passed_over
            self.passed_over.clear()
        return self._next_reclaimed(), self._pool_works(pooled, len(purged))

    def _decay_pools(self, full: bool) -> Served:
        """Take the lock to detach each class that has areas, and again to attach what is left of it."""
        classes, areas = len(self.pools.lengths), len(self.pools)
        if not classes:
            return self._next_reclaimed(), _UNLOCKED
        self.reclaimed += self.pools.decay(full, self._kernel.decay)
        holds = classes + len(self.pools.lengths)
        return self._next_reclaimed(), self._pool_works(holds, areas - len(self.pools))

    def _next_reclaimed(self) -> Areas:
        count = min(len(self.reclaimed), LIST_MOST)
        areas = tuple([self.reclaimed.popleft() for _ in range(count)])
        return Areas(areas, bool(self.reclaimed))

    def _list_lazy(self, start: int) -> Served:
        reply = listing(area for area in self.lazy if area.va_start >= start)
        moved = len(reply.areas)
        depth = self.lazy.depth
        return reply, (Work(self._lazy_lock, depth, moved) if moved > 1 else self._lazy_works[depth])

    def _list_pools(self, start: int) -> Served:
        above = sorted((area for area in self.pools if area.va_start >= start), key=lambda area: area.va_start)
        reply = listing(above)
        return reply, self._pool_works(1, len(reply.areas))

    def _pool_works(self, holds: int, moved: int) -> Work:
        if not holds:
            return _UNLOCKED
        return self._pool_work if moved <= 1 and holds == 1 else Work(self._pool_lock, 1, max(moved, 2), holds)

    def _check(self) -> None:
        """Assert that pools and lazy tree are sound; O(n)."""
        self.pools._check()
        self.lazy._check()


def rules_of(kernel: Kernel, page_size: int) -> str:
    """Put into words what `FreedAreas` takes of a kernel: nodes with the same rules keep the same areas."""
    choices = {"page_size": page_size, **{name: getattr(kernel, name) for name in RULES}}
    return " ".join(f"{name}={str(value).lower()}" for name, value in choices.items())


def listing(areas: Iterable[VmapArea], limit: int = LIST_MOST) -> Areas:
    """Give the first of `areas` that fit a reply, at most `limit` of them."""
    listed: list[VmapArea] = []
    left = REPLY_BYTES
    for area in areas:
        # An area takes at most 25 bytes, its vm 40 and up to four for each letter of the caller's name.
        left -= 25 if area.vm is None else 65 + 4 * len(area.vm.caller)
        if left < 0 or len(listed) == min(limit, LIST_MOST):
            return Areas(tuple(listed), True)
        listed.append(area)
    return Areas(tuple(listed), False)
