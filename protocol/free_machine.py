"""The free-space machine: what no area occupies, behind one lock.

Mirrors `free_vmap_area_root` under `free_vmap_area_lock`: `__alloc_vmap_area()` and
`merge_or_add_vmap_area()`. The kernel's lock guards the whole kernel address space, not just the vmalloc
window, and so does this machine (`vmap_init_free_space`: [1, ULONG_MAX)).
"""

from collections.abc import Sequence
from itertools import islice, pairwise
from typing import assert_never

from protocol.area import PAGE_SIZE, ULONG_MAX, VmapArea
from protocol.errors import AreaOverlap, BadRange
from protocol.free_space import FreeSpace
from protocol.messages import (
    LIST_MOST,
    Allocate,
    Allocated,
    AllocatePercpu,
    Areas,
    FreeSpaceRequest,
    FreeStatistics,
    GetFreeStatistics,
    ListFree,
    NotFound,
    Refused,
    Release,
    Released,
    ReleaseMany,
    Reply,
)
from protocol.work import Work

LOCK = "free"
"""The one lock of the free space (kernel: `free_vmap_area_lock`)."""

SPACE = (1, ULONG_MAX)
"""What `vmap_init_free_space` makes free before anything else: [start, end)."""


class FreeSpaceMachine:
    """Serves the free space, one request at a time; a refused request changes nothing.

    Not `Rebuildable`: where it places an area can depend on the shape of its tree, and that on its whole history.
    """

    def __init__(self, taken: Sequence[VmapArea] = (), page_size: int = PAGE_SIZE) -> None:
        """Make all free but `taken`, a vmlist in address order (kernel: `vmap_init_free_space`)."""
        self.space = FreeSpace(*SPACE, taken, page_size=page_size)
        self._requests = 0
        self._works = [Work(LOCK, depth, 1) for depth in range(65)]

    def handle(self, request: FreeSpaceRequest) -> tuple[Reply, Work]:
        """Serve one request; give the reply and the work that was done under the lock."""
        work = self._works[len(self.space).bit_length()]
        self._requests += 1
        match request:
            case Allocate():
                return self._allocate(request), work
            case Release():
                return self._release(request), work
            case ReleaseMany():
                moved = len(request.areas)
                released = Work(LOCK, work.visited, moved, released=moved) if moved > 1 else work
                return self._release_many(request.areas), released
            case AllocatePercpu():
                return self._allocate_percpu(request), self._work(work, len(request.offsets))
            case GetFreeStatistics():
                return self.statistics(), work
            case ListFree():
                return self._list(request)
            case _:
                assert_never(request)

    def _allocate(self, request: Allocate) -> Reply:
        if request.size <= 0 or request.align <= 0 or request.align & (request.align - 1):
            return Refused("bad-range", f"size {request.size} with align {request.align}")
        if request.vstart > request.vend:
            return Refused("bad-range", f"vstart {request.vstart:#x} above vend {request.vend:#x}")
        area = self.space.allocate(request.size, request.align, request.vstart, request.vend)
        return NotFound() if area is None else Allocated(area)

    def _release(self, request: Release) -> Reply:
        try:
            self.space.release(request.area)
        except AreaOverlap as overlap:
            return Refused("overlap", str(overlap))
        except BadRange as bad:
            return Refused("bad-range", str(bad))
        return Released()

    def _list(self, request: ListFree) -> tuple[Reply, Work]:
        limit = min(request.limit, LIST_MOST)
        above = (area for area in self.space if area.va_start >= request.start)
        listed = tuple(islice(above, limit + 1))
        more = len(listed) > limit
        return Areas(listed[:limit], more), Work(LOCK, len(self.space).bit_length(), max(1, len(listed) - more))

    def _release_many(self, areas: tuple[VmapArea, ...]) -> Reply:
        for done, area in enumerate(areas):
            refusal = self._release(Release(area))
            if not isinstance(refusal, Released):
                for earlier in areas[:done]:
                    self.space.take(earlier.va_start, earlier.va_end)
                return refusal
        return Released()

    def _allocate_percpu(self, request: AllocatePercpu) -> Reply:
        offsets, sizes, align = request.offsets, request.sizes, request.align
        if len(offsets) != len(sizes) or not offsets or min(sizes) <= 0 or align <= 0 or align & (align - 1):
            return Refused("bad-range", f"offsets {offsets} with sizes {sizes}, align {align}")
        if any((offset | size) & (align - 1) for offset, size in zip(offsets, sizes, strict=True)):
            return Refused("bad-range", f"offsets {offsets} and sizes {sizes} are no multiples of {align}")
        groups = sorted(zip(offsets, sizes, strict=True))
        if any(offset + size > following for (offset, size), (following, _size) in pairwise(groups)):
            return Refused("bad-range", f"offsets {offsets} with sizes {sizes} overlap")
        areas = self.space.allocate_percpu(offsets, sizes, align, request.vstart, request.vend)
        return NotFound() if areas is None else Areas(tuple(areas), False)

    def _work(self, one: Work, moved: int) -> Work:
        return one if moved <= 1 else Work(LOCK, one.visited, moved)

    def statistics(self) -> FreeStatistics:
        """Give the counters, without counting as a request."""
        space = self.space
        return FreeStatistics(len(space), space.bytes_free, space.largest, self._requests)

    def _check(self) -> None:
        """Assert that the free space is sound; O(n)."""
        self.space._check()
