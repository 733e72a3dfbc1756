"""The router: addr_to_node, then the policy's nodes until one has the area.

Mirrors `find_vmap_area()` and `find_unlink_vmap_area()` of mm/vmalloc.c since v6.9. The search is not
atomic: each node is locked and unlocked before the next is asked, so areas can move while it is under
way; what its answers are worth is judged by the check `answers_true`.
"""

from collections.abc import Callable, Generator, Sequence
from types import coroutine
from typing import Any

from actors.errors import RequestRefused
from actors.world import Address, Command, Port
from protocol.area import VmapArea, ZoneLayout
from protocol.messages import Find, FindUnlink, Found, NotFound, Refused, Reply, Request, Unlinked
from protocol.policies import Policy, Rounds


class Router:
    """Knows where each node is served and in which order to ask. Stateless: all clients share one."""

    def __init__(self, layout: ZoneLayout, policy: Policy, addresses: Sequence[Address]) -> None:
        assert len(addresses) == layout.nr_nodes, "one address per node"
        self.layout = layout
        self.addresses = tuple(addresses)
        self._policy = policy
        self._rounds: dict[int, Rounds] = {}

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
        addresses = self.addresses
        home = self.layout.addr_to_node_id(addr)
        area = None
        for nodes in self._rounds.get(home) or self._rounds_from(home):
            port.probes += len(nodes)
            if len(nodes) == 1:
                node_id = nodes[0]
                request = ask(node_id, addr)
                reply = yield addresses[node_id], request
                if type(reply) is not NotFound:
                    area = _area_in(reply, request)
                    break
            else:
                requests = [ask(node_id, addr) for node_id in nodes]
                replies = yield [
                    (addresses[node_id], request) for node_id, request in zip(nodes, requests, strict=True)
                ]
                found = [
                    _area_in(reply, request)
                    for request, reply in zip(requests, replies, strict=True)
                    if type(reply) is not NotFound
                ]
                if found:
                    area = found[0]
                    break
        if operation is not None:
            if area is None and ask is Find:
                operation = "find_miss"
            port.complete(operation, begin_ns, addr, area)
        return area

    def _rounds_from(self, home: int) -> Rounds:
        rounds = self._rounds[home] = self._policy(home, self.layout.nr_nodes)
        return rounds


def _area_in(reply: Reply, request: Request) -> VmapArea:
    if isinstance(reply, (Found, Unlinked)):
        return reply.area
    assert isinstance(reply, Refused), f"{reply!r} does not answer {request!r}"
    raise RequestRefused(request, reply)
