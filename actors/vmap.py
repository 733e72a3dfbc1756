"""What the flows of vmalloc share: the global variables of mm/vmalloc.c, and who serves what.

One `Vmap` per world. The flows themselves are functions with the kernel's names, in `vmalloc.py`, `purge.py`,
`vread.py`, `vmap_block.py`, `percpu.py` and `proc.py`; each takes the `Vmap` and the port of the script that runs
it.
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from actors.lock import FifoLock
from actors.mutex import Mutex
from actors.router import Router
from actors.workqueue import Workqueue
from actors.world import Address, Port
from protocol.area import PAGE_SIZE, VMALLOC_END, VMALLOC_START, VmapArea, ZoneLayout, decode_vn_id
from protocol.kernel import Kernel, lazy_max_pages
from protocol.vmap_block import VmapBlocks


@frozen
class Window:
    """Where vmalloc's areas go: `[start, end]`, as the kernel's VMALLOC_START and VMALLOC_END."""

    start: int = VMALLOC_START
    end: int = VMALLOC_END


MODULES: Final = Window(0xFFFF_FFFF_C000_0000, 0xFFFF_FFFF_FF00_0000)
"""x86_64's range for modules (Documentation/arch/x86/x86_64/mm.rst): neither pools nor node ids are for it."""


@frozen
class Purge:
    """A purge that is over, as `trace_purge_vmap_area_lazy` records it: its range, areas, nodes, helpers."""

    end_ns: int
    start: int
    end: int
    npurged: int
    nodes: int
    helpers: int
    drain: bool
    """Whether `drain_vmap_work` did it."""


@define(eq=False)
class Vmap:
    """The state of vmalloc that belongs to no node."""

    kernel: Kernel
    router: Router
    online_cpus: int
    purge_lock: Mutex
    workqueue: Workqueue
    blocks: VmapBlocks
    drain_vmap_work: "WorkFunction"
    """What is queued when too much is lazily freed: `purge.drain_vmap_area_work` (kernel: DECLARE_WORK)."""
    window: Window = Window()
    page_size: int = PAGE_SIZE
    lazy_scale: int = 1
    """By how much less may be lazily freed than in the kernel: for runs that hold as many times fewer areas."""
    lazy_max_pages: int = field(init=False)
    """See `protocol.kernel.lazy_max_pages`; scaled, rounded up."""
    flush_ns: Callable[[], int] = lambda: 0
    """Says what the next flush of all TLBs takes; asked once per flush."""
    flush_idle_ns: int = 0
    """What it takes besides where a CPU is idle, which has to wake first."""
    any_idle: Callable[[], bool] = lambda: False
    """Tells whether a CPU is idle, where somebody knows."""
    drain_is_pending: bool = False
    """Whether drain_vmap_work is queued and not begun."""
    drain_is_running: bool = False
    drains_queued: int = 0
    purges: list[Purge] = field(factory=list)
    nr_lazy_highest: int = 0
    """The most pages that a free found lazily freed, its own included."""
    undrained_excess: int = 0
    """Lazy pages above the bound that a free found and no drain has begun after; 0 if there are none."""
    vmap_notify_list: "list[PurgeNotifier]" = field(factory=list)
    """Who is asked to free what they can spare when there is no room (kernel: register_vmap_purge_notifier())."""
    lock_stat: Callable[[], Sequence[FifoLock]] = tuple
    """Gives all locks with their statistics (kernel: /proc/lock_stat)."""
    warnings: Counter[str] = field(factory=Counter)
    """What the kernel would have printed, and how often."""

    @lazy_max_pages.default
    def _lazy_max_pages(self) -> int:
        return -(-lazy_max_pages(self.online_cpus, self.page_size) // self.lazy_scale)

    def count_lazy(self, port: Port, nr_lazy: int) -> None:
        """Take note that a free made `nr_lazy` pages lazily freed; above the bound `drain_vmap_work` is queued.

        It is queued once at a time (kernel: `schedule_work(&drain_vmap_work)`), and again as soon as it runs, but
        then it waits for its own end: a work item never runs twice at once (kernel/workqueue.c).
        """
        self.nr_lazy_highest = max(self.nr_lazy_highest, nr_lazy)
        if nr_lazy > self.lazy_max_pages:
            self.undrained_excess = nr_lazy
            if not self.drain_is_pending:
                self.drain_is_pending = True
                self.drains_queued += 1
                if not self.drain_is_running:
                    self._queue_drain(port)

    def begin_drain(self) -> None:
        """Take note that `drain_vmap_work` has begun."""
        assert not self.drain_is_running, "drain_vmap_work runs twice at once"
        self.drain_is_running = True
        self.drain_is_pending = False
        self.undrained_excess = 0

    def end_drain(self, port: Port) -> None:
        """Take note that `drain_vmap_work` is over; if it was queued meanwhile it runs again, on the same CPU."""
        self.drain_is_running = False
        if self.drain_is_pending:
            self._queue_drain(port)

    def _queue_drain(self, port: Port) -> None:
        if self.kernel.helpers == "unbound":
            self.workqueue.queue_unbound(partial(self.drain_vmap_work, self))
        else:
            self.workqueue.queue_on(port.cpu, partial(self.drain_vmap_work, self))

    @property
    def layout(self) -> ZoneLayout:
        """How the address space is dealt out to nodes."""
        return self.router.layout

    def address(self, node_id: int) -> Address:
        """Give where a node is served."""
        return self.router.addresses[node_id]

    def home(self, addr: int) -> int:
        """Give the node of an address (kernel: `addr_to_node`)."""
        return self.layout.addr_to_node_id(addr)

    def this_node(self, cpu: int) -> int:
        """Give the node whose pools a CPU allocates from: `raw_smp_processor_id() % nr_vmap_nodes` (v6.9)."""
        return cpu % self.layout.nr_nodes

    def lazy_node(self, area: VmapArea) -> int:
        """Give the node whose lazy tree a freed area goes to: the one in its flags, else its address's (v6.9)."""
        if self.kernel.lazy == "global":
            return 0
        node_id = decode_vn_id(area.flags)
        valid = node_id is not None and node_id < self.layout.nr_nodes
        return node_id if valid and node_id is not None else self.home(area.va_start)


WorkFunction: TypeAlias = Callable[[Vmap, Port], Coroutine[Any, Any, None]]
"""A flow that a kworker can run."""

PurgeNotifier: TypeAlias = Callable[[Vmap, Port], Coroutine[Any, Any, int]]
"""Frees areas for the one who finds no room, and gives how many pages they had."""
