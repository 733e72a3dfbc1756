"""The router: addr_to_node, then the policy's nodes until one has the area.

Mirrors `find_vmap_area()` and `find_unlink_vmap_area()` of mm/vmalloc.c since v6.9. The search is not
atomic: each node is locked and unlocked before the next is asked, so areas can move while it is under
way; what its answers are worth is judged by the check `answers_true`.
"""

from collections.abc import Callable, Generator, Sequence
from types import coroutine
from typing import Any, TypeAlias

from actors.errors import RequestRefused, expect
from actors.world import Address, Call, Command, Port
from protocol.area import VmapArea, ZoneLayout
from protocol.messages import (
    Adopt,
    Find,
    FindUnlink,
    Forget,
    Found,
    Insert,
    Inserted,
    Migrate,
    Moved,
    NotFound,
    Refer,
    Reply,
    Unlinked,
)
from protocol.policies import Policy, PolicyBroken, breach, told_by

Place: TypeAlias = tuple[Address, int]
"""Where a node is served, and its id."""

Round: TypeAlias = tuple[Place, tuple[Place, ...]]
"""The first node of a round, and those that are asked with it."""


class Router:
    """Knows where each node is served and in which order to ask. Stateless: all clients share one."""

    def __init__(self, layout: ZoneLayout, policy: Policy, addresses: Sequence[Address]) -> None:
        assert len(addresses) == layout.nr_nodes, "one address per node"
        self.layout = layout
        self.addresses = tuple(addresses)
        self._policy = policy
        self.told = told_by(policy)
        """Gives the other nodes that are told of an area, where the policy has them told."""
        self._rounds: dict[int, tuple[Round, ...]] = {}

    @coroutine
    def search(
        self, port: Port, addr: int, ask: Callable[[int, int], Find | FindUnlink], operation: str | None
    ) -> Generator[Command, Any, VmapArea | None]:
        """Find the area that contains `addr`, None if no node that was asked has it.

        `ask` makes the request for a node: `Find`, or `FindUnlink` to take the area out under the same hold
        of the lock. Records itself as `operation` unless that is None, a find of nothing as "find_miss".
        Raises `RequestRefused` when a node says it is the wrong one.
        """
        begin_ns = port.now_ns
        area = None
        home = self.layout.addr_to_node_id(addr)
        for first, others in self._rounds.get(home) or self._rounds_from(home):
            port.probes += 1
            address, node_id = first
            if others:
                area = yield from self._ask_all(port, (first, *others), addr, ask)
            else:
                reply = yield address, ask(node_id, addr)
                if type(reply) is Found or type(reply) is Unlinked:
                    area = reply.area
                elif type(reply) is not NotFound:
                    area = yield from self._follow(port, node_id, reply, addr, ask)
            if area is not None:
                break
        if self.told is not None and area is not None and ask is FindUnlink:
            yield from self._forget(port, area, self.told(area, self.layout))
        if operation is not None:
            if area is None and ask is Find:
                operation = "find_miss"
            port.complete(operation, begin_ns, addr, area)
        return area

    @coroutine
    def insert(self, port: Port, area: VmapArea, operation: str | None) -> Generator[Command, Any, None]:
        """Insert `area` into its home node; records itself as `operation` unless that is None.

        Raises `RequestRefused` when something is there already.
        """
        begin_ns = port.now_ns
        port.probes += 1
        expect((yield self.addresses[self.layout.addr_to_node_id(area.va_start)], Insert(area)), Inserted)
        if self.told is not None:
            yield from self._tell(port, [area])
        if operation is not None:
            port.complete(operation, begin_ns, area.va_start, area)

    @coroutine
    def tell(self, port: Port, areas: Sequence[VmapArea]) -> Generator[Command, Any, None]:
        """Tell other nodes of `areas`, which are in their trees, where the policy has them told."""
        if self.told is not None:
            yield from self._tell(port, areas)

    @coroutine
    def migrate(self, port: Port, area: VmapArea, to: int) -> Generator[Command, Any, bool]:
        """Move `area` from its home to node `to`, while lookups go on: "migrate"; tell whether it was there.

        It is in the tree of `to` before its home lets go of it and forwards: whoever asks its home finds it there,
        or where the home says. Only whoever may take it out may move it, and once. Raises `RequestRefused`.
        """
        begin_ns = port.now_ns
        home = self.layout.addr_to_node_id(area.va_start)
        assert to != home, "an area moves to another node"
        port.probes += 2
        expect((yield self.addresses[to], Adopt(to, area)), Inserted)
        reply = yield self.addresses[home], Migrate(home, area.va_start, to)
        if type(reply) is not Unlinked:
            yield self.addresses[to], FindUnlink(to, area.va_start)
        port.complete("migrate", begin_ns, area.va_start, None)
        return type(reply) is Unlinked

    def _follow(
        self, port: Port, node_id: int, reply: Reply, addr: int, ask: Callable[[int, int], Find | FindUnlink]
    ) -> Generator[Command, Any, VmapArea | None]:
        """Ask where node `node_id` says by its `reply` that the area is.

        A home that forwards to where the area is taken out forgets it then.
        """
        forwarding = []
        while type(reply) is Moved:
            forwarding.append(node_id)
            node_id = reply.to
            port.probes += 1
            reply = yield self.addresses[node_id], ask(node_id, addr)
        if type(reply) is NotFound:
            return None
        area = _area_in(reply)
        if ask is FindUnlink:
            yield from self._forget_forward(port, area, forwarding)
        return area

    def _forget_forward(
        self, port: Port, area: VmapArea, forwarding: Sequence[int]
    ) -> Generator[Command, Any, None]:
        """Have the home of an area that was taken out elsewhere forget it, if it is among those that forwarded."""
        home = self.layout.addr_to_node_id(area.va_start)
        if home in forwarding:
            yield from self._forget(port, area, [home])

    def _forget(self, port: Port, area: VmapArea, node_ids: Sequence[int]) -> Generator[Command, Any, None]:
        """Have nodes forget an area that is out of its tree."""
        if node_ids:
            port.probes += len(node_ids)
            yield [(self.addresses[node_id], Forget(node_id, area.va_start)) for node_id in node_ids]

    def _tell(self, port: Port, areas: Sequence[VmapArea]) -> Generator[Command, Any, None]:
        """Tell each node of all that concerns it, all nodes at once."""
        assert self.told is not None, "the policy has nodes told"
        by_node: dict[int, list[VmapArea]] = {}
        for area in areas:
            for node_id in self.told(area, self.layout):
                by_node.setdefault(node_id, []).append(area)
        if by_node:
            port.probes += len(by_node)
            calls: list[Call] = [
                (self.addresses[node_id], Refer(node_id, tuple(known))) for node_id, known in by_node.items()
            ]
            for reply in (yield calls):
                expect(reply, Inserted)

    def _ask_all(
        self, port: Port, nodes: Sequence[Place], addr: int, ask: Callable[[int, int], Find | FindUnlink]
    ) -> Generator[Command, Any, VmapArea | None]:
        """Ask several nodes at once; one may have what another says has moved."""
        port.probes += len(nodes) - 1
        replies = yield [(address, ask(node_id, addr)) for address, node_id in nodes]
        moved = [
            (node_id, reply)
            for (_address, node_id), reply in zip(nodes, replies, strict=True)
            if type(reply) is Moved
        ]
        for reply in replies:
            if type(reply) is not NotFound and type(reply) is not Moved:
                area = _area_in(reply)
                if ask is FindUnlink and moved:
                    yield from self._forget_forward(port, area, [node_id for node_id, _reply in moved])
                return area
        for node_id, reply in moved:
            followed = yield from self._follow(port, node_id, reply, addr, ask)
            if followed is not None:
                return followed
        return None

    def _rounds_from(self, home: int) -> tuple[Round, ...]:
        """Ask the policy and keep its answer; raises `PolicyBroken` when that is not as policies have to answer."""
        asked = self._policy(home, self.layout.nr_nodes)
        if broken := breach(asked, home, self.layout.nr_nodes):
            raise PolicyBroken(self._policy, home, self.layout.nr_nodes, broken)
        places = [(address, node_id) for node_id, address in enumerate(self.addresses)]
        rounds = self._rounds[home] = tuple(
            (places[nodes[0]], tuple(places[node_id] for node_id in nodes[1:])) for nodes in asked
        )
        return rounds


def _area_in(reply: Reply) -> VmapArea:
    if isinstance(reply, (Found, Unlinked)):
        return reply.area
    raise RequestRefused(reply)
