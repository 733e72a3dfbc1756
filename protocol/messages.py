"""The messages: what a node or the free space can be asked, and what it answers.

A closed set. Adding a kind is a class here, a `case` in the machine that serves it and a number in
`codec.KINDS`; mypy (`assert_never`) and the codec's tests show every place that forgot it.

Requests that name a node are served by the actor that owns that node's tree; requests that carry an
area or a start address go to the home node of that address. Messages are values: nobody changes one
after its creation (`define`, not `frozen`: they are made on the hot path).
"""

from typing import Final, TypeAlias, get_args

from attrs import define

from protocol.area import VmapArea

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
class GetFreeStatistics:
    """Ask the free space for its counters."""


@define
class ListFree:
    """List at most `limit` free ranges that start at or above `start`, in address order."""

    start: int
    limit: int


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
class Areas:
    """Areas in address order; `more` says that the listing was cut at its limit."""

    areas: tuple[VmapArea, ...]
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
class Refused:
    """The request could not be served and changed nothing.

    `reason` is "wrong-node" (not in this machine's charge), "overlap" (an area, or free space, is there
    already) or "bad-range" (no such range of addresses); a session refuses with "unknown-session", "late" or
    "window" (`protocol.sessions`). `detail` says more, for people.
    """

    reason: str
    detail: str


NodeRequest: TypeAlias = Find | FindUnlink | Insert | InsertBatch | Unlink | FindExceed | ListAreas | GetStatistics
FreeSpaceRequest: TypeAlias = Allocate | Release | GetFreeStatistics | ListFree
Request: TypeAlias = NodeRequest | FreeSpaceRequest | OpenSession
Reply: TypeAlias = (
    Found
    | NotFound
    | Inserted
    | Unlinked
    | Areas
    | NodeStatistics
    | Allocated
    | Released
    | FreeStatistics
    | SessionOpened
    | Refused
)
Message: TypeAlias = Request | Reply
REQUESTS: Final = get_args(Request)
REPLIES: Final = get_args(Reply)
"""The kinds of requests and of replies, for `isinstance`."""
