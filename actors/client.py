"""The client actor: a CPU that works on areas, one operation after the other.

Each method is one operation: it asks through the router and the batch inserter, and records itself at
its world's port when it is over. A workload is a script of such calls.
"""

from collections.abc import Awaitable, Sequence

from actors.addresses import FREE_SPACE
from actors.batch_inserter import BatchInserter
from actors.errors import RequestRefused, expect
from actors.router import Router
from actors.world import Port, Signal
from protocol.area import VmapArea
from protocol.errors import VmapsimError
from protocol.messages import (
    Allocate,
    Allocated,
    Find,
    FindUnlink,
    NotFound,
    Release,
    Released,
)


class Client:
    """One CPU's operations. The names under which they are recorded are those of results.json."""

    def __init__(self, port: Port, router: Router, inserter: BatchInserter, *, forgiving: bool = False) -> None:
        """Make a client; a `forgiving` one can go on after an operation that failed."""
        self.forgiving = forgiving
        self.port = port
        self.router = router
        self.inserter = inserter

    def find(self, addr: int, operation: str = "find") -> Awaitable[VmapArea | None]:
        """Find the area that contains `addr`.

        Recorded as `operation` ("find" or "find_interior"), or as "find_miss" when there was none.
        """
        return self.router.search(self.port, addr, Find, operation)

    def unlink(self, addr: int) -> Awaitable[VmapArea | None]:
        """Find the area that contains `addr` and take it out of its busy tree."""
        return self.router.search(self.port, addr, FindUnlink, "unlink")

    def insert(self, area: VmapArea) -> Awaitable[None]:
        """Insert an area that is this client's own into the busy tree of its home node."""
        return self.router.insert(self.port, area, "insert")

    def migrate(self, area: VmapArea, to: int) -> Awaitable[bool]:
        """Move an area that is this client's own to node `to`; tell whether it was in its home."""
        return self.router.migrate(self.port, area, to)

    async def insert_batch(self, areas: Sequence[VmapArea]) -> None:
        """Insert areas by the batch strategy; the latency is that of the whole batch."""
        port = self.port
        begin_ns = port.now_ns
        await self.inserter.insert(port, areas)
        port.complete("insert_batch", begin_ns, areas[0].va_start, tuple(areas))

    async def flush(self) -> None:
        """Insert what the batch inserter has collected, if anything, as one "insert_batch"."""
        port = self.port
        begin_ns = port.now_ns
        areas = await self.inserter.flush(port)
        if areas:
            port.complete("insert_batch", begin_ns, areas[0].va_start, areas)

    async def alloc(self, size: int, align: int, vstart: int, vend: int) -> VmapArea | None:
        """Take a range out of the free space and insert it into its home node; None if there is no room.

        Mirrors `alloc_vmap_area()` without pools: `free_vmap_area_lock`, then the node's `busy.lock`.
        """
        port = self.port
        begin_ns = port.now_ns
        area = await self._take(size, align, vstart, vend)
        if area is not None:
            await self.router.insert(port, area, None)
        port.complete("alloc", begin_ns, vstart, area)
        return area

    async def reserve(self, size: int, align: int, vstart: int, vend: int) -> VmapArea | None:
        """Take a range out of the free space only; a batch will insert it. None if there is no room."""
        port = self.port
        begin_ns = port.now_ns
        area = await self._take(size, align, vstart, vend)
        port.complete("reserve", begin_ns, vstart, None)
        return area

    async def free(self, addr: int) -> VmapArea | None:
        """Take the area that contains `addr` out of its node and give it back to the free space.

        Mirrors `find_unlink_vmap_area()` and `free_vmap_area()`, at once instead of lazily.
        """
        port = self.port
        begin_ns = port.now_ns
        area = await self.router.search(port, addr, FindUnlink, None)
        if area is not None:
            expect(await port.call(FREE_SPACE, Release(area)), Released)
        port.complete("free", begin_ns, addr, area)
        return area

    def give_up(
        self, operation: str, begin_ns: int, addr: int, areas: tuple[VmapArea, ...], error: VmapsimError
    ) -> None:
        """Record that an operation failed, nobody knowing how far it got; raises `error` if not `forgiving`."""
        if not self.forgiving:
            raise error
        refused = isinstance(error, RequestRefused)
        self.port.give_up(operation, begin_ns, addr, areas, refused=refused, error=error)

    def sleep(self, ns: int) -> Awaitable[None]:
        """Think for `ns` nanoseconds; recorded nowhere."""
        return self.port.sleep(ns)

    def wait(self, signal: Signal) -> Awaitable[None]:
        """Wait until `signal` is set; recorded nowhere."""
        return self.port.wait(signal)

    async def _take(self, size: int, align: int, vstart: int, vend: int) -> VmapArea | None:
        """Ask the free space for a range, within some other operation."""
        reply = await self.port.call(FREE_SPACE, Allocate(size, align, vstart, vend))
        return None if isinstance(reply, NotFound) else expect(reply, Allocated).area
