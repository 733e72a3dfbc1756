"""A machine with vmalloc, in a world without time: every node, the free space, the counter, kworkers."""

from collections.abc import Coroutine, Sequence
from typing import Any

from actors.addresses import FREE_SPACE, LAZY_PAGES
from actors.batch_inserter import BatchInserter
from actors.lock import FifoLock
from actors.mutex import Mutex
from actors.purge import drain_vmap_area_work
from actors.router import Router
from actors.vmalloc_client import VmallocClient
from actors.vmap import Vmap, Window
from actors.workqueue import WORKERS, Workqueue
from protocol import policies, strategies
from protocol.area import PAGE_SIZE, VmapArea, ZoneLayout
from protocol.free_machine import FreeSpaceMachine
from protocol.kernel import KERNELS, Kernel
from protocol.lazy_pages import LazyPagesMachine
from protocol.machine import Machine
from protocol.node import NodeMachine
from protocol.vmap_block import VmapBlocks
from tests.twins.at_once import AtOnce, Flag


class Rig:
    """A kernel on `cpus` CPUs; `client(cpu)` uses it, `run` carries out what a client does."""

    def __init__(
        self,
        kernel: str | Kernel = "6.16",
        cpus: int = 4,
        nodes: int | None = None,
        window: Window | None = None,
        vmlist: Sequence[VmapArea] = (),
        online_cpus: int | None = None,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self.kernel = KERNELS[kernel] if isinstance(kernel, str) else kernel
        self.layout = ZoneLayout(nodes or (1 if self.kernel.nodes == "one" else cpus), 16 * page_size)
        node_ids = range(self.layout.nr_nodes)
        self.nodes = [
            NodeMachine(self.layout, [node_id], f"busy/{node_id}", self.kernel, page_size) for node_id in node_ids
        ]
        for area in vmlist:
            self.nodes[self.layout.addr_to_node_id(area.va_start)].preload([area])
        self.free_machine = FreeSpaceMachine(vmlist, page_size)
        self.lazy_pages = LazyPagesMachine()
        machines: dict[str, Machine] = {FREE_SPACE: self.free_machine, LAZY_PAGES: self.lazy_pages}
        machines |= {f"node/{node_id}": machine for node_id, machine in enumerate(self.nodes)}
        self.world = AtOnce(machines)
        self.router = Router(
            self.layout, policies.load(self.kernel.policy), [f"node/{node_id}" for node_id in node_ids]
        )
        self.purge_statistics = FifoLock("purge")
        self.vmap = Vmap(
            kernel=self.kernel,
            router=self.router,
            online_cpus=online_cpus or cpus,
            purge_lock=Mutex(Flag, self.purge_statistics),
            workqueue=Workqueue(Flag, range(cpus), clients=1),
            blocks=VmapBlocks(range(cpus), page_size),
            drain_vmap_work=drain_vmap_area_work,
            window=window or Window(),
            page_size=page_size,
        )
        for cpu in range(cpus):
            for _ in range(WORKERS):
                self.world.start(cpu, self.vmap.workqueue.work)

    def client(self, cpu: int = 0) -> VmallocClient:
        port = self.world.port(cpu)
        inserter = BatchInserter(self.router, strategies.load("per-area"), 16)
        return VmallocClient(port, self.router, inserter, self.vmap)

    def run(self, script: Coroutine[Any, Any, Any]) -> Any:
        return self.world.run(script)

    def holds(self, lock: str) -> int:
        """Count how often a lock was taken."""
        return sum(work.holds for _address, _request, work in self.world.asked if work.lock == lock)

    @property
    def busy(self) -> list[VmapArea]:
        """All busy areas, in address order."""
        areas = [area for node_id, machine in enumerate(self.nodes) for area in machine.areas(node_id)]
        return sorted(areas, key=lambda area: area.va_start)

    def pooled(self, node_id: int) -> list[VmapArea]:
        return list(self.nodes[node_id].freed(node_id).pools)

    def lazy(self, node_id: int) -> list[VmapArea]:
        return list(self.nodes[node_id].freed(node_id).lazy)

    def check(self) -> None:
        """Assert that all machines are sound and that every byte has one owner."""
        self.free_machine._check()
        for machine in self.nodes:
            machine._check()
        owned = [*self.busy, *self.free_machine.space]
        for node_id, machine in enumerate(self.nodes):
            owned += machine.freed(node_id)
        owned.sort(key=lambda area: area.va_start)
        reached = 1
        for area in owned:
            assert area.va_start == reached, f"[{reached:#x}, {area.va_start:#x}) has no owner, or two"
            reached = area.va_end
        assert reached == 2**64 - 1, "the end of the space has no owner"
        pages = sum(area.size for node_id in range(len(self.nodes)) for area in self.lazy(node_id))
        assert self.lazy_pages.pages * self.vmap.page_size == pages, "the lazy pages are miscounted"
