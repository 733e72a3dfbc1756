"""What a request touches under its lock, in a kernel that has no messages: which lines, and where.

Counted in mm/vmalloc.c (v6.8): a line of another area that is read or written because of where an area is in its
tree and list. What only the requester touches (the area at hand, its vm_struct) is in its own cache and costs
nothing. Areas that are elsewhere (`protocol.beside`), which no kernel has, count like those of a tree; one that
migrates leaves its tree and comes to them after one search.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
class Touch:
    """What a kind of request touches: `lines` around each of its addresses, if it `searches` after a search."""

    lines: int
    addrs: Callable[[Any, Any], Sequence[int]] = lambda _request, _reply: ()
    """Gives the addresses, of a request and its reply."""
    searches: bool = True
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


def _addr(request: Find | FindExceed | TryFind | FindRange | FindUnlink, _reply: Reply) -> Sequence[int]:
    return (request.addr,)


def _va_start(request: Unlink | Forget | Migrate, _reply: Reply) -> Sequence[int]:
    return (request.va_start,)


def _area(request: Insert | LazyInsert | Adopt | Release, _reply: Reply) -> Sequence[int]:
    return (request.area.va_start,)


def _areas(request: InsertBatch | Refer | ReleaseMany, _reply: Reply) -> Sequence[int]:
    return [area.va_start for area in request.areas]


def _allocated(_request: Allocate, reply: Reply) -> Sequence[int]:
    return (reply.area.va_start,) if isinstance(reply, Allocated) else (0,)


def _allocated_percpu(request: AllocatePercpu, reply: Reply) -> Sequence[int]:
    areas = reply.areas if isinstance(reply, Areas) else ()
    return [area.va_start for area in areas] or request.offsets


def _head(_request: Request, _reply: Reply) -> Sequence[int]:
    return (0,)


_LOOKUP = Touch(READ, _addr, writes=False)
_UNLINK = Touch(UNLINKED, _va_start)
_INSERTION = Touch(INSERTED, _area)
_INSERTIONS = Touch(INSERTED, _areas)
_COUNTER = Touch(0, searches=False, atomic=True)

TOUCHES: Mapping[type[Request], Touch] = {
    Find: _LOOKUP,
    FindExceed: _LOOKUP,
    TryFind: _LOOKUP,
    FindRange: _LOOKUP,
    Insert: _INSERTION,
    LazyInsert: _INSERTION,
    Adopt: _INSERTION,
    InsertBatch: _INSERTIONS,
    Refer: _INSERTIONS,
    FindUnlink: Touch(UNLINKED, _addr),
    Unlink: _UNLINK,
    Forget: _UNLINK,
    Migrate: Touch(UNLINKED + INSERTED, _va_start),
    SetupVm: Touch(0, searches=False),
    Allocate: Touch(CLIPPED, _allocated),
    AllocatePercpu: Touch(CLIPPED, _allocated_percpu),
    Release: Touch(RELEASED, _area),
    ReleaseMany: Touch(RELEASED, _areas),
    AddLazyPages: _COUNTER,
    SubtractLazyPages: _COUNTER,
    ReadLazyPages: _COUNTER,
    PoolTake: Touch(POOLED, _head, searches=False),
}
"""By kind of request; those that are not listed touch their lists' heads."""

HEAD = Touch(1, _head, searches=False)
