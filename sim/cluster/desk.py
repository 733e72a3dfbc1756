"""The desk: a run's own questions to the members, before and after its clients'."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from actors.cluster.link import Link
from actors.cluster.world import ClusterWorld
from actors.errors import expect
from actors.lock import FifoLock
from actors.patience import Patience
from actors.world import Address, Observer, Port
from protocol.area import VmapArea
from protocol.messages import Areas, ListMoved, MovedAreas, Reply, Request

T = TypeVar("T")


class Desk:
    """Asks on the run's own behalf, without faults, patiently, one request after the other."""

    @classmethod
    @asynccontextmanager
    async def open(cls, links: Mapping[Address, Link], patience: Patience) -> "AsyncIterator[Desk]":
        """Have a desk while the body runs."""
        desk = cls(links, patience)
        async with trio.open_nursery() as nursery:
            await nursery.start(desk._world.keep_time)
            yield desk
            nursery.cancel_scope.cancel()

    def __init__(self, links: Mapping[Address, Link], patience: Patience) -> None:
        nobody = Observer(lambda _: None, lambda _: None, FifoLock)
        self._world = ClusterWorld(links, patience, nobody, lambda: None)
        self._port = Port(0, lambda _: None)

    async def ask(self, to: Address, request: Request, kind: type[T]) -> T:
        """Ask for a reply of one kind. Raises `RequestRefused` for a refusal, `NoAnswer` for none."""
        replies: list[Reply] = []

        async def script(port: Port) -> None:
            replies.append(await port.call(to, request))

        await self._world.run_script(script, self._port)
        return expect(replies[0], kind)

    async def list_areas(self, to: Address, listing: Callable[[int], Request]) -> list[VmapArea]:
        """List areas, however many requests that takes."""
        found: list[VmapArea] = []
        more = True
        while more:
            areas = await self.ask(to, listing(found[-1].va_start + 1 if found else 0), Areas)
            found += areas.areas
            more = areas.more
        return found

    async def list_moved(self, to: Address, node_id: int, limit: int) -> dict[int, int]:
        """List which areas of node `node_id` live elsewhere: the node, by start address; `limit` in a request."""
        found: dict[int, int] = {}
        start, more = 0, True
        while more:
            reply = await self.ask(to, ListMoved(node_id, start, limit), MovedAreas)
            found.update(reply.moved)
            start, more = (reply.moved[-1][0] + 1 if reply.moved else start), reply.more
        return found
