"""The router: addr_to_node, then the policy's nodes until one has the area.

Mirrors `find_vmap_area()` and `find_unlink_vmap_area()` of mm/vmalloc.c since v6.9. The search is not
atomic: each node is locked and unlocked before the next is asked, so areas can move while it is under
way; what its answers are worth is judged by the check `answers_true`.
"""

from collections.abc import Callable, Sequence

from actors.errors import RequestRefused
from actors.world import Address, Port
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

    async def search(
        self, port: Port, addr: int, ask: Callable[[int, int], Find | FindUnlink]
    ) -> VmapArea | None:
        """Find the area that contains `addr`, None if no node that was asked has it.

        `ask` makes the request for a node: `Find`, or `FindUnlink` to take the area out of its tree under the
        same hold of the lock. Raises `RequestRefused` when a node says it is the wrong one.
        """
        addresses = self.addresses
        home = self.layout.addr_to_node_id(addr)
        rounds = self._rounds.get(home)
        if rounds is None:
            rounds = self._rounds[home] = self._policy(home, self.layout.nr_nodes)
        for nodes in rounds:
            port.probes += len(nodes)
            if len(nodes) == 1:
                node_id = nodes[0]
                request = ask(node_id, addr)
                area = _area_in(await port.call(addresses[node_id], request), request)
                if area is not None:
                    return area
            else:
                requests = [ask(node_id, addr) for node_id in nodes]
                replies = await port.call_all(
                    [
                        (addresses[node_id], request)
                        for node_id, request in zip(nodes, requests, strict=True)
                    ]
                )
                for request, reply in zip(requests, replies, strict=True):
                    area = _area_in(reply, request)
                    if area is not None:
                        return area
        return None


def _area_in(reply: Reply, request: Request) -> VmapArea | None:
    if isinstance(reply, (Found, Unlinked)):
        return reply.area
    if isinstance(reply, NotFound):
        return None
    assert isinstance(reply, Refused), f"{reply!r} does not answer {request!r}"
    raise RequestRefused(request, reply)
