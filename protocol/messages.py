"""The messages: what a node or the free space can be asked, and what it answers.

A closed set. Adding a kind is a class here, a `case` in the machine that serves it and a number in
`codec.KINDS`; mypy (`assert_never`) and the codec's tests show every place that forgot it.

Requests that name a node are served by the actor that owns that node's tree; requests that carry an
area or a start address go to the home node of that address. Messages are values: nobody changes one
after its creation (`define`, not `frozen`: they are made on the hot path).
"""

from typing import Final, TypeAlias, get_args

from attrs import define

from protocol.area import VmapArea, VmStruct

POPULATE_MOST = 16
"""Areas that one `PopulatePools` gives to pools.

The kernel takes the pool's lock for each of them, and others get it in between; here they get it every so many.
"""

LIST_MOST = 32_768
"""Most areas in one listing, whatever the request allows: its reply fits a frame."""

# -- requests to a node ---------------------------------------------------------------------------


@define
class Find:
    """Find the area of node `node_id` that contains `addr` (kernel: `__find_vmap_area`)."""

    node_id: int
    addr: int


@define
class FindExceed:
    """Find the first area of node `node_id` that ends above `addr`.

    Kernel: `__find_vmap_area_exceed_addr`.
    """

    node_id: int
    addr: int


@define
class FindUnlink:
    """Find the area of node `node_id` that contains `addr` and take it out under the same hold."""

    node_id: int
    addr: int


@define
class Insert:
    """Insert `area` into the busy tree of its home node (kernel: `insert_vmap_area`)."""

    area: VmapArea


@define
class InsertBatch:
    """Insert all of `areas` under one hold of the lock, or none of them."""

    areas: tuple[VmapArea, ...]


@define
class Unlink:
    """Take out the area that starts at `va_start` (kernel: `unlink_va`)."""

    va_start: int


@define
class ListAreas:
    """List at most `limit` areas of node `node_id` that start at or above `start`, in address order."""

    node_id: int
    start: int
    limit: int


@define
class GetStatistics:
    """Ask node `node_id` for its counters."""

    node_id: int


@define
class FindRange:
    """List the areas of node `node_id` that overlap `[addr, end)`, under one hold (vread_iter() up to v6.8)."""

    node_id: int
    addr: int
    end: int


@define
class TryFind:
    """Find the area of node `node_id` that contains `addr` if the lock is free at once (`vmalloc_dump_obj`)."""

    node_id: int
    addr: int


@define
class SetupVm:
    """Say what the area that starts at `va_start` is used for (kernel: `setup_vmalloc_vm`)."""

    va_start: int
    vm: VmStruct


@define
class PoolTake:
    """Take an area out of the pool of node `node_id` (kernel: `node_pool_del_va`)."""

    node_id: int
    size: int
    align: int


@define
class LazyInsert:
    """Put `area`, which is in no tree, into the lazy tree of node `node_id` (`free_vmap_area_noflush`)."""

    node_id: int
    area: VmapArea


@define
class DetachLazy:
    """Move the lazy tree of node `node_id` to its purge list (kernel: `__purge_vmap_area_lazy`)."""

    node_id: int


@define
class PopulatePools:
    """Empty the purge list of node `node_id`, with `populate` into its pools (kernel: `purge_vmap_node`).

    With `populate` it takes up the next `POPULATE_MOST` areas only. Who empties the list gives what no pool has
    taken, in the order in which it goes to the free space.
    """

    node_id: int
    populate: bool


@define
class DecayPools:
    """Shrink the pools of node `node_id` or, if `full`, empty them (kernel: `decay_va_pool_node`).

    Gives what left the pools, merged, in address order.
    """

    node_id: int
    full: bool


@define
class CollectReclaimed:
    """Give what did not fit into the answer to `PopulatePools` or `DecayPools`; it is in no tree."""

    node_id: int


@define
class CountPools:
    """Count the areas in the pools of node `node_id` (kernel: `vmap_node_shrink_count`)."""

    node_id: int


@define
class ListLazy:
    """List the areas in the lazy tree of node `node_id` from `start` on (kernel: `show_purge_info`)."""

    node_id: int
    start: int


@define
class ListPools:
    """List what is in the node's pools from `start` on, in address order; the kernel shows it nowhere."""

    node_id: int
    start: int


# -- requests about areas that are elsewhere (`protocol.beside`); no kernel has them ---------------


@define
class Refer:
    """Note in node `node_id` that `areas`, which live in other nodes, reach into its zones."""

    node_id: int
    areas: tuple[VmapArea, ...]


@define
class Adopt:
    """Insert `area` into the busy tree of node `node_id`, which is not its home."""

    node_id: int
    area: VmapArea


@define
class Migrate:
    """Take the area that starts at `va_start` out of node `node_id`, its home, and forward to node `to` then."""

    node_id: int
    va_start: int
    to: int


@define
class Forget:
    """Drop what node `node_id` knows of the area that starts at `va_start` and is not in its tree."""

    node_id: int
    va_start: int


@define
class ListMoved:
    """List at most `limit` areas whose home is node `node_id`, start at or above `start`, and live elsewhere."""

    node_id: int
    start: int
    limit: int


# -- requests to the free space -------------------------------------------------------------------


@define
class Allocate:
    """Take the lowest `size` free bytes aligned to `align` (kernel: `__alloc_vmap_area`).

    The area starts at or above `vstart` and ends at or below `vend`.
    """

    size: int
    align: int
    vstart: int
    vend: int


@define
class Release:
    """Give `area` back (kernel: `merge_or_add_vmap_area`)."""

    area: VmapArea


@define
class ReleaseMany:
    """Give all of `areas` back, in this order and under one hold (kernel: `reclaim_list_global`)."""

    areas: tuple[VmapArea, ...]


@define
class AllocatePercpu:
    """Take an area at each of `offsets` from one base as high as possible (kernel: `pcpu_get_vm_areas`)."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    align: int
    vstart: int
    vend: int


@define
class GetFreeStatistics:
    """Ask the free space for its counters."""


@define
class ListFree:
    """List at most `limit` free ranges that start at or above `start`, in address order."""

    start: int
    limit: int


# -- requests to the counter of lazy pages --------------------------------------------------------


@define
class AddLazyPages:
    """Count `pages` more as lazily freed (kernel: `atomic_long_add_return(…, &vmap_lazy_nr)`)."""

    pages: int


@define
class SubtractLazyPages:
    """Count `pages` less, in `times` atomic operations (kernel: `atomic_long_sub`)."""

    pages: int
    times: int


@define
class ReadLazyPages:
    """Ask for the pages that are lazily freed (kernel: `atomic_long_read`)."""


# -- requests to the sessions in front of a machine (`protocol.sessions`) -------------------------


@define
class OpenSession:
    """Ask for a new session: a number under which requests are carried out once."""


# -- replies --------------------------------------------------------------------------------------


@define
class Found:
    """The area asked for; it is still in the tree."""

    area: VmapArea


@define
class NotFound:
    """No such area in this node, or no room in the free space."""


@define
class Inserted:
    """`count` areas are in their trees now."""

    count: int


@define
class Unlinked:
    """The area was taken out of its tree."""

    area: VmapArea


@define
class Moved:
    """The area is known here and lives in node `to`: ask there."""

    to: int


@define
class Areas:
    """Areas in address order; `more` says that the listing was cut at its limit."""

    areas: tuple[VmapArea, ...]
    more: bool


@define
class MovedAreas:
    """Starts of areas in address order, each with the node where it lives; `more` as in `Areas`."""

    moved: tuple[tuple[int, int], ...]
    more: bool


@define
class NodeStatistics:
    """Counters of a node: areas and bytes in its tree, requests served since its start."""

    node_id: int
    areas: int
    bytes_busy: int
    requests: int


@define
class Allocated:
    """The range that was taken out of the free space."""

    area: VmapArea


@define
class Released:
    """The range is free again."""


@define
class FreeStatistics:
    """Counters of the free space: separate ranges, bytes in them, the largest, requests served."""

    ranges: int
    bytes_free: int
    largest: int
    requests: int


@define
class SessionOpened:
    """The number of the new session, never given before."""

    session: int


@define
class Busy:
    """The lock was held: nothing was done."""


@define
class Detached:
    """What the purge list holds now: areas, the pages in them, and the range `[start, end)` they lie in."""

    areas: int
    pages: int
    start: int
    end: int


@define
class Counted:
    """So many areas."""

    count: int


@define
class LazyPages:
    """The pages that are lazily freed, after the request."""

    pages: int


@define
class Refused:
    """The request could not be served and changed nothing.

    `reason` is "wrong-node" (not in this machine's charge), "overlap" (an area, or free space, is there
    already) or "bad-range" (no such range of addresses); a session refuses with "unknown-session", "late" or
    "window" (`protocol.sessions`). `detail` says more, for people.
    """

    reason: str
    detail: str


BusyRequest: TypeAlias = (
    Find
    | FindUnlink
    | Insert
    | InsertBatch
    | Unlink
    | FindExceed
    | FindRange
    | TryFind
    | SetupVm
    | ListAreas
    | GetStatistics
)
ElsewhereRequest: TypeAlias = Refer | Adopt | Migrate | Forget | ListMoved
FreedRequest: TypeAlias = (
    PoolTake
    | LazyInsert
    | DetachLazy
    | PopulatePools
    | DecayPools
    | CollectReclaimed
    | CountPools
    | ListLazy
    | ListPools
)
NodeRequest: TypeAlias = BusyRequest | ElsewhereRequest | FreedRequest
FreeSpaceRequest: TypeAlias = Allocate | Release | ReleaseMany | AllocatePercpu | GetFreeStatistics | ListFree
LazyPagesRequest: TypeAlias = AddLazyPages | SubtractLazyPages | ReadLazyPages
Request: TypeAlias = NodeRequest | FreeSpaceRequest | LazyPagesRequest | OpenSession
Reply: TypeAlias = (
    Found
    | NotFound
    | Inserted
    | Unlinked
    | Moved
    | Areas
    | MovedAreas
    | NodeStatistics
    | Allocated
    | Released
    | FreeStatistics
    | SessionOpened
    | Busy
    | Detached
    | Counted
    | LazyPages
    | Refused
)
Message: TypeAlias = Request | Reply
REQUESTS: Final = get_args(Request)
REPLIES: Final = get_args(Reply)
"""The kinds of requests and of replies, for `isinstance`."""
