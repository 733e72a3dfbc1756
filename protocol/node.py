"""The node machine: a vmap node's busy tree, and what can be asked of it.

Mirrors `struct vmap_node` of mm/vmalloc.c since v6.9, as far as `busy`: one request is one hold of
`busy.lock`. Usually a machine owns one node's tree; before the series one lock guarded everything, and
then one machine owns all the trees. A request for a node that is not in its charge is refused: members
that disagree about the layout find out at once.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeAlias, assert_never

from protocol.area import VmapArea, ZoneLayout
from protocol.busy_tree import BusyTree
from protocol.errors import AreaOverlap
from protocol.messages import (
    Areas,
    Find,
    FindExceed,
    FindUnlink,
    Found,
    GetStatistics,
    Insert,
    InsertBatch,
    Inserted,
    ListAreas,
    NodeRequest,
    NodeStatistics,
    NotFound,
    Refused,
    Reply,
    Unlink,
    Unlinked,
)
from protocol.work import Work

NOT_FOUND = NotFound()

Served: TypeAlias = tuple[Reply, Work]


class _NotMine(Exception):
    """The node with this id is not in the machine's charge."""


class NodeMachine:
    """Serves requests to the nodes in its charge, one at a time.

    A request changes the trees entirely or, when it is refused, not at all.
    """

    def __init__(self, layout: ZoneLayout, node_ids: Sequence[int], lock: str) -> None:
        self._layout = layout
        self._trees = {node_id: BusyTree() for node_id in node_ids}
        self._requests = dict.fromkeys(node_ids, 0)
        self._lock = lock
        self._work_of_one: list[Work] = []

    @property
    def node_ids(self) -> tuple[int, ...]:
        """The nodes in this machine's charge, ascending."""
        return tuple(sorted(self._trees))

    def areas(self, node_id: int) -> Iterable[VmapArea]:
        """Give the areas of a node in address order, without counting as a request."""
        return self._trees[node_id]

    def preload(self, areas: Iterable[VmapArea]) -> None:
        """Insert areas that are there before the first request (kernel: `vmalloc_init` importing `vmlist`).

        Raises `AreaOverlap`.
        """
        for area in areas:
            self._trees[self._layout.addr_to_node_id(area.va_start)].insert(area)

    def handle(self, request: NodeRequest) -> Served:
        """Serve one request; give the reply and the work that was done under the lock."""
        try:
            match request:
                case Find():
                    return self._find(request)
                case FindUnlink():
                    return self._find_unlink(request)
                case Insert():
                    return self._insert_batch((request.area,))
                case InsertBatch():
                    return self._insert_batch(request.areas)
                case Unlink():
                    return self._unlink(request)
                case FindExceed():
                    return self._find_exceed(request)
                case ListAreas():
                    return self._list_areas(request)
                case GetStatistics():
                    return self._get_statistics(request)
                case _:
                    assert_never(request)
        except _NotMine as not_mine:
            mine = ", ".join(map(str, self.node_ids))
            return Refused("wrong-node", f"node {not_mine} is not among mine: {mine}"), self._work(0)

    def _tree(self, node_id: int) -> BusyTree:
        """Give the tree of a node in our charge and count the request; raises `_NotMine`."""
        try:
            self._requests[node_id] += 1
        except KeyError:
            raise _NotMine(node_id) from None
        return self._trees[node_id]

    def _find(self, request: Find) -> Served:
        tree = self._tree(request.node_id)
        area = tree.find(request.addr)
        return (NOT_FOUND if area is None else Found(area)), self._work(len(tree))

    def _find_exceed(self, request: FindExceed) -> Served:
        tree = self._tree(request.node_id)
        area = tree.find_exceed(request.addr)
        return (NOT_FOUND if area is None else Found(area)), self._work(len(tree))

    def _find_unlink(self, request: FindUnlink) -> Served:
        tree = self._tree(request.node_id)
        work = self._work(len(tree))
        area = tree.find(request.addr)
        if area is None:
            return NOT_FOUND, work
        tree.unlink(area.va_start)
        return Unlinked(area), work

    def _unlink(self, request: Unlink) -> Served:
        tree = self._tree(self._layout.addr_to_node_id(request.va_start))
        work = self._work(len(tree))
        area = tree.unlink(request.va_start)
        return (NOT_FOUND if area is None else Unlinked(area)), work

    def _insert_batch(self, areas: tuple[VmapArea, ...]) -> Served:
        node_ids = [self._layout.addr_to_node_id(area.va_start) for area in areas]
        trees = {node_id: self._tree(node_id) for node_id in node_ids}
        work = self._work(sum(map(len, trees.values())), len(areas))
        inserted: list[tuple[BusyTree, VmapArea]] = []
        for node_id, area in zip(node_ids, areas, strict=True):
            try:
                trees[node_id].insert(area)
            except AreaOverlap as overlap:
                for tree, earlier in inserted:
                    tree.unlink(earlier.va_start)
                return Refused("overlap", str(overlap)), work
            inserted.append((trees[node_id], area))
        return Inserted(len(areas)), work

    def _list_areas(self, request: ListAreas) -> Served:
        tree = self._tree(request.node_id)
        listed = tuple(islice(tree.iterate_from(request.start), request.limit + 1))
        more = len(listed) > request.limit
        return Areas(listed[: request.limit], more), self._work(len(tree), max(1, len(listed) - more))

    def _get_statistics(self, request: GetStatistics) -> Served:
        self._tree(request.node_id)
        return self.statistics(request.node_id), self._work(0)

    def statistics(self, node_id: int) -> NodeStatistics:
        """Give the counters of a node, without counting as a request."""
        tree = self._trees[node_id]
        return NodeStatistics(node_id, len(tree), tree.bytes_busy, self._requests[node_id])

    def _work(self, areas: int, moved: int = 1) -> Work:
        """Give the work of a search among `areas`; for one area moved made once per depth."""
        depth = areas.bit_length()
        if moved != 1:
            return Work(self._lock, depth, moved)
        while len(self._work_of_one) <= depth:
            self._work_of_one.append(Work(self._lock, len(self._work_of_one), 1))
        return self._work_of_one[depth]

    def _check(self) -> None:
        """Assert that every tree is sound and every area at home; O(n)."""
        for node_id, tree in self._trees.items():
            tree._check()
            for area in tree:
                assert self._layout.addr_to_node_id(area.va_start) == node_id, f"{area} is not at home"
