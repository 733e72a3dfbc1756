"""What a request touches under its lock, in a kernel that has no messages: which lines, and where.

Counted in mm/vmalloc.c (v6.8): a line of another area that is read or written because of where an area is in its
tree and list. What only the requester touches (the area at hand, its vm_struct) is in its own cache and costs
nothing. Areas that are elsewhere (`protocol.beside`), which no kernel has, count like those of a tree; one that
migrates leaves its tree and comes to them after one search.
"""

from collections.abc import Sequence

from attrs import frozen

from protocol.messages import (
    AddLazyPages,
    Adopt,
    Allocate,
    Allocated,
    AllocatePercpu,
    Areas,
    Find,
    FindExceed,
    FindRange,
    FindUnlink,
    Forget,
    Insert,
    InsertBatch,
    LazyInsert,
    Migrate,
    PoolTake,
    ReadLazyPages,
    Refer,
    Release,
    ReleaseMany,
    Reply,
    Request,
    SetupVm,
    SubtractLazyPages,
    TryFind,
    Unlink,
)


@frozen
class Touched:
    """What a request touches: `lines` around each of `addrs`, after a search for each if it `searches`."""

    addrs: Sequence[int]
    searches: bool
    lines: int
    writes: bool = True
    atomic: bool = False
    """Whether the lock is one atomic counter: a single line, which is all that moves."""


READ = 1
"""find_vmap_area(): the line of the area that is found, with its ends and its vm."""

INSERTED = 3
"""insert_vmap_area(): the parent (link_va, rb_insert_color), the areas before and after in the list (list_add)."""

UNLINKED = 4
"""unlink_va(): parent and child (rb_erase), the areas before and after in the list (list_del_init)."""

CLIPPED = 2
"""va_clip(): the free range that is cut, and its parent (augment_tree_propagate_from)."""

RELEASED = 5
"""merge_or_add_vmap_area_augment(): the area itself, which its freer wrote last, and as when one is inserted and
its parents' maxima are mended."""

POOLED = 1
"""node_alloc(), decay_va_pool_node(), purge_vmap_node(): the first entry of a list, or each area that is moved."""

_NOTHING = Touched((), False, 0)
_COUNTER = Touched((), False, 0, atomic=True)
_HEAD = Touched((0,), False, 1)


def touched(request: Request, reply: Reply) -> Touched:
    """Say what serving `request` touched; requests that are not listed touch their lists' heads."""
    match request:
        case Find(addr=addr) | FindExceed(addr=addr) | TryFind(addr=addr) | FindRange(addr=addr):
            return Touched((addr,), True, READ, writes=False)
        case Insert(area=area) | LazyInsert(area=area) | Adopt(area=area):
            return Touched((area.va_start,), True, INSERTED)
        case InsertBatch(areas=areas) | Refer(areas=areas):
            return Touched([area.va_start for area in areas], True, INSERTED)
        case FindUnlink(addr=addr) | Unlink(va_start=addr) | Forget(va_start=addr):
            return Touched((addr,), True, UNLINKED)
        case Migrate(va_start=addr):
            return Touched((addr,), True, UNLINKED + INSERTED)
        case SetupVm():
            return _NOTHING
        case Allocate():
            return Touched((reply.area.va_start,) if isinstance(reply, Allocated) else (0,), True, CLIPPED)
        case AllocatePercpu(offsets=offsets):
            areas = reply.areas if isinstance(reply, Areas) else ()
            return Touched([area.va_start for area in areas] or offsets, True, CLIPPED)
        case Release(area=area):
            return Touched((area.va_start,), True, RELEASED)
        case ReleaseMany(areas=areas):
            return Touched([area.va_start for area in areas], True, RELEASED)
        case AddLazyPages() | SubtractLazyPages() | ReadLazyPages():
            return _COUNTER
        case PoolTake():
            return Touched((0,), False, POOLED)
        case _:
            return _HEAD
