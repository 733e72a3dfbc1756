"""The node machine: a vmap node's busy tree, and what can be asked of it.

Mirrors `struct vmap_node` of mm/vmalloc.c since v6.9. Here is its `busy`: one request is one hold of
`busy.lock`. What it keeps of freed areas, under locks of their own, is in `freed.py`. Usually a machine owns one
node; where one lock is to guard all busy trees (the strategy `global`) one machine owns all nodes. A request for a
node that is not in its charge is refused: members that disagree about the layout find out at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, takewhile
from typing import assert_never

from attrs import define, field

from protocol.area import PAGE_SIZE, VmapArea, ZoneLayout
from protocol.beside import Beside
from protocol.busy_tree import BusyTree
from protocol.errors import AreaOverlap, BadRange, VmapsimError
from protocol.freed import FreedAreas, Served, listing
from protocol.kernel import KERNELS, Kernel
from protocol.messages import (
    LIST_MOST,
    Adopt,
    ElsewhereRequest,
    Find,
    FindExceed,
    FindRange,
    FindUnlink,
    Forget,
    Found,
    FreedRequest,
    GetStatistics,
    Insert,
    InsertBatch,
    Inserted,
    LazyInsert,
    ListAreas,
    ListMoved,
    Migrate,
    Moved,
    MovedAreas,
    NodeRequest,
    NodeStatistics,
    NotFound,
    PoolTake,
    Refer,
    Refused,
    Request,
    SetupVm,
    TryFind,
    Unlink,
    Unlinked,
)
from protocol.work import Work

NOT_FOUND = NotFound()
INSERTED_ONE = Inserted(1)

REBUILD_AREAS = 4096
"""Areas in one of the requests of `NodeMachine.rebuild`."""


class _NotMine(Exception):
    """The node with this id is not in the machine's charge."""


@define(eq=False)
class _Node:
    """A node in the machine's charge."""

    freed: FreedAreas
    tree: BusyTree = field(factory=BusyTree)
    requests: int = 0
    beside: Beside | None = None
    """What it knows of areas that are in no tree of its own; None until there is any."""
    guests: bool = False
    """Whether areas whose home is elsewhere have ever been in its tree."""


class _Nodes(dict[int, _Node]):
    """The nodes in a machine's charge by id; asking for another one raises `_NotMine`."""

    def __missing__(self, node_id: int) -> _Node:
        raise _NotMine(node_id)


class NodeMachine:
    """Serves requests to the nodes in its charge, one at a time.

    A request changes the trees entirely or, when it is refused, not at all.
    """

    def __init__(
        self,
        layout: ZoneLayout,
        node_ids: Sequence[int],
        lock: str,
        kernel: Kernel = KERNELS["6.16"],
        page_size: int = PAGE_SIZE,
    ) -> None:
        self._home = layout.addr_to_node_id
        self._nodes = _Nodes((node_id, _Node(FreedAreas(node_id, kernel, page_size))) for node_id in node_ids)
        self.lock = lock
        """The name of the one lock under which all requests about busy areas are served."""
        # Work is a value: that of moving one area is made once per depth of the tree.
        self._works = [Work(lock, depth, 1) for depth in range(65)]
        self._attempts = [Work(lock, depth, 1, attempt=True) for depth in range(65)]

    @property
    def node_ids(self) -> tuple[int, ...]:
        """The nodes in this machine's charge, ascending."""
        return tuple(sorted(self._nodes))

    def areas(self, node_id: int) -> Iterable[VmapArea]:
        """Give the areas of a node in address order, without counting as a request."""
        return self._nodes[node_id].tree

    def freed(self, node_id: int) -> FreedAreas:
        """Give what a node keeps of freed areas, without counting as a request."""
        return self._nodes[node_id].freed

    def moved(self, node_id: int) -> dict[int, int]:
        """Give the nodes that areas of a node have moved to, by start address, without counting as a request."""
        beside = self._nodes[node_id].beside
        return {} if beside is None else dict(beside.moved_from(0))

    def preload(self, areas: Iterable[VmapArea]) -> None:
        """Insert areas that are there before the first request (kernel: `vmalloc_init` importing `vmlist`).

        They must live in nodes of this machine's charge. Raises `AreaOverlap` and `BadRange`.
        """
        for area in areas:
            home = self._home(area.va_start)
            assert home in self._nodes, f"{area} lives in node {home}, which is not in this machine's charge"
            self._nodes[home].tree.insert(area)

    def preload_references(self, node_id: int, areas: Iterable[VmapArea]) -> None:
        """Have a node know of preloaded areas of others, before the first request. Raises as `preload` does."""
        node = self._nodes[node_id]
        node.beside = node.beside or Beside()
        node.beside.refer(areas)

    def handle(self, request: NodeRequest) -> Served:
        """Serve one request; give the reply and the work that was done under the lock."""
        try:
            # By far the most frequent request does not wait for the patterns: they cost as much as the search.
            if isinstance(request, Find):
                node = self._nodes[request.node_id]
                node.requests += 1
                tree = node.tree
                area = tree.find(request.addr)
                if area is None and node.beside is not None:
                    return self._known(node, node.beside, request.addr)
                return (NOT_FOUND if area is None else Found(area)), self._works[tree.depth]
            match request:
                # These come once for each area that vmalloc's flows allocate or free, and would be tried last.
                case PoolTake() | LazyInsert():
                    return self._handle_freed(request)
                case FindUnlink():
                    return self._find_unlink(self._nodes[request.node_id], request.addr)
                case Insert():
                    return self._insert(request.area)
                case InsertBatch():
                    return self._insert_batch(request.areas)
                case Unlink():
                    return self._unlink(self._nodes[self._home(request.va_start)], request.va_start)
                case FindExceed():
                    return self._find_exceed(self._nodes[request.node_id], request.addr)
                case FindRange():
                    return self._find_range(self._nodes[request.node_id], request)
                case TryFind():
                    return self._try_find(self._nodes[request.node_id], request.addr)
                case SetupVm():
                    return self._setup_vm(self._nodes[self._home(request.va_start)], request)
                case ListAreas():
                    return self._list_areas(self._nodes[request.node_id], request)
                case GetStatistics():
                    self._nodes[request.node_id].requests += 1
                    return self.statistics(request.node_id), self._works[0]
                case Refer() | Adopt() | Migrate() | Forget() | ListMoved():
                    return self._handle_elsewhere(self._nodes[request.node_id], request)
                case _:
                    if not isinstance(request, FreedRequest):
                        assert_never(request)
                    return self._handle_freed(request)
        except _NotMine as not_mine:
            return self._refuse(not_mine)

    def _handle_freed(self, request: FreedRequest) -> Served:
        node = self._nodes[request.node_id]
        node.requests += 1
        return node.freed.handle(request)

    def _find_unlink(self, node: _Node, addr: int) -> Served:
        node.requests += 1
        work = self._works[node.tree.depth]
        area = node.tree.find(addr)
        if area is None:
            if node.beside is None or (known := node.beside.find(addr)) is None:
                return NOT_FOUND, work
            holder = node.beside.holder(known)
            return Moved(self._home(known.va_start) if holder is None else holder), work
        node.tree.unlink(area.va_start)
        return Unlinked(area), work

    def _known(self, node: _Node, beside: Beside, addr: int) -> Served:
        """Answer a lookup that the tree has nothing for."""
        area = beside.find(addr)
        work = self._works[node.tree.depth]
        if area is None:
            return NOT_FOUND, work
        holder = beside.holder(area)
        return (Found(area) if holder is None else Moved(holder)), work

    def _handle_elsewhere(self, node: _Node, request: ElsewhereRequest) -> Served:
        """Serve one request about areas that are elsewhere."""
        node.requests += 1
        match request:
            case Refer():
                return self._refer(node, request.areas)
            case Adopt():
                return self._adopt(node, request.area)
            case Migrate():
                return self._migrate(node, request)
            case Forget():
                return self._forget(node, request.va_start)
            case ListMoved():
                return self._list_moved(node, request)
            case _:
                assert_never(request)

    def _refer(self, node: _Node, areas: tuple[VmapArea, ...]) -> Served:
        work = self._work(node.tree.depth, len(areas))
        node.beside = node.beside or Beside()
        for noted, area in enumerate(areas):
            try:
                node.beside.refer([area])
            except (AreaOverlap, BadRange) as error:
                for earlier in areas[:noted]:
                    node.beside.forget(earlier.va_start)
                return _refusal(error), work
        return Inserted(len(areas)), work

    def _adopt(self, node: _Node, area: VmapArea) -> Served:
        work = self._works[node.tree.depth]
        try:
            node.tree.insert(area)
        except (AreaOverlap, BadRange) as error:
            return _refusal(error), work
        node.guests = True
        return INSERTED_ONE, work

    def _migrate(self, node: _Node, request: Migrate) -> Served:
        work = self._works[node.tree.depth]
        area = node.tree.unlink(request.va_start)
        if area is None:
            return NOT_FOUND, work
        node.beside = node.beside or Beside()
        node.beside.forward(area, request.to)
        return Unlinked(area), work

    def _forget(self, node: _Node, va_start: int) -> Served:
        area = None if node.beside is None else node.beside.forget(va_start)
        return (NOT_FOUND if area is None else Unlinked(area)), self._works[node.tree.depth]

    def _list_moved(self, node: _Node, request: ListMoved) -> Served:
        if node.beside is None:
            return MovedAreas((), more=False), self._works[0]
        most = min(request.limit, LIST_MOST)
        found = tuple(islice(node.beside.moved_from(request.start), most + 1))
        reply = MovedAreas(found[:most], more=len(found) > most)
        return reply, self._work(node.beside.depth, max(1, len(reply.moved)))

    def _unlink(self, node: _Node, va_start: int) -> Served:
        node.requests += 1
        work = self._works[node.tree.depth]
        area = node.tree.unlink(va_start)
        return (NOT_FOUND if area is None else Unlinked(area)), work

    def _find_exceed(self, node: _Node, addr: int) -> Served:
        node.requests += 1
        area = node.tree.find_exceed(addr)
        return (NOT_FOUND if area is None else Found(area)), self._works[node.tree.depth]

    def _insert(self, area: VmapArea) -> Served:
        node = self._nodes[self._home(area.va_start)]
        node.requests += 1
        work = self._works[node.tree.depth]
        try:
            node.tree.insert(area)
        except (AreaOverlap, BadRange) as error:
            return _refusal(error), work
        return INSERTED_ONE, work

    def _insert_batch(self, areas: tuple[VmapArea, ...]) -> Served:
        homes = [self._nodes[self._home(area.va_start)] for area in areas]
        nodes = dict.fromkeys(homes)
        for node in nodes:
            node.requests += 1
        work = self._work(max((node.tree.depth for node in nodes), default=0), len(areas))
        for inserted, (node, area) in enumerate(zip(homes, areas, strict=True)):
            try:
                node.tree.insert(area)
            except (AreaOverlap, BadRange) as error:
                for earlier in range(inserted):
                    homes[earlier].tree.unlink(areas[earlier].va_start)
                return _refusal(error), work
        return Inserted(len(areas)), work

    def _find_range(self, node: _Node, request: FindRange) -> Served:
        node.requests += 1
        first = node.tree.find_exceed(request.addr)
        start = request.end if first is None else first.va_start
        reply = listing(takewhile(lambda area: area.va_start < request.end, node.tree.iterate_from(start)))
        return reply, self._work(node.tree.depth, max(1, len(reply.areas)))

    def _try_find(self, node: _Node, addr: int) -> Served:
        node.requests += 1
        area = node.tree.find(addr)
        return (NOT_FOUND if area is None else Found(area)), self._attempts[node.tree.depth]

    def _setup_vm(self, node: _Node, request: SetupVm) -> Served:
        node.requests += 1
        work = self._works[node.tree.depth]
        area = node.tree.find(request.va_start)
        if area is None or area.va_start != request.va_start:
            return NOT_FOUND, work
        area = VmapArea(area.va_start, area.va_end, area.flags, request.vm)
        node.tree.replace(area)
        return Found(area), work

    def _list_areas(self, node: _Node, request: ListAreas) -> Served:
        node.requests += 1
        reply = listing(node.tree.iterate_from(request.start), request.limit)
        return reply, self._work(node.tree.depth, max(1, len(reply.areas)))

    def rebuild(self) -> Iterator[Request] | None:
        """Give the requests that make the trees of a fresh machine equal to these; O(n).

        None while freed areas are kept: which of a pool is next depends on all that was freed before.
        """
        return self._insertions() if all(node.freed.is_empty for node in self._nodes.values()) else None

    def _insertions(self) -> Iterator[Request]:
        for node_id, node in self._nodes.items():
            areas = (area for area in node.tree if not node.guests or self._home(area.va_start) == node_id)
            while chunk := tuple(islice(areas, REBUILD_AREAS)):
                yield InsertBatch(chunk)
            if node.guests:
                yield from (Adopt(node_id, area) for area in node.tree if self._home(area.va_start) != node_id)
            for area, holder in node.beside or ():
                if holder is None:
                    yield Refer(node_id, (area,))
                else:
                    yield Insert(area)
                    yield Migrate(node_id, area.va_start, holder)

    def _work(self, depth: int, moved: int) -> Work:
        return self._works[depth] if moved == 1 else Work(self.lock, depth, moved)

    def _refuse(self, not_mine: _NotMine) -> Served:
        mine = ", ".join(map(str, self.node_ids))
        return Refused("wrong-node", f"node {not_mine} is not among mine: {mine}"), self._works[0]

    def statistics(self, node_id: int) -> NodeStatistics:
        """Give the counters of a node, without counting as a request."""
        node = self._nodes[node_id]
        return NodeStatistics(node_id, len(node.tree), node.tree.bytes_busy, node.requests)

    def _check(self) -> None:
        """Assert that every tree is sound and every area at home; O(n)."""
        for node_id, node in self._nodes.items():
            node.tree._check()
            node.freed._check()
            for area in node.tree:
                assert node.guests or self._home(area.va_start) == node_id, f"{area} is not at home"


def _refusal(error: VmapsimError) -> Refused:
    return Refused("bad-range" if isinstance(error, BadRange) else "overlap", str(error))
