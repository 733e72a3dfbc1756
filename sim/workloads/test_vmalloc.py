"""The kernel's own test as a workload: the workers of lib/test_vmalloc.c as threads on CPUs.

Worker i is a thread of CPU i modulo the number of CPUs. What threads of one CPU ask goes through that CPU's port,
one operation after the other: so it is the CPU, not the thread, whose pool an allocation comes out of and who
hands locks over, as in the kernel (`raw_smp_processor_id()`), and while an operation waits for a lock no other
thread runs there, as behind a spinlock. Between two operations the thread may be preempted, when its slice is
over; it never moves to another CPU. Only kworkers, who purge and free, run beside the threads of their CPU: each
has a port of its own.

What is left to `kvfree_rcu()` is freed by a kworker of the same CPU when its grace period is over: all that is due
then in one go, once the CPU's thread has come to the end of an operation.
"""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import assert_never

from attrs import define, evolve, field

from actors.lock import FifoLock
from actors.mutex import Mutex
from actors.vmalloc_client import VmallocClient
from actors.vmap import MODULES, Window
from actors.world import Driving, Port, Signal
from protocol.area import PAGE_SIZE, VmapArea
from protocol.kernel import lazy_max_pages
from sim.chance import stream
from sim.errors import BadInput
from sim.scenario.costs import Costs
from sim.scenario.model import Scenario, VmallocTest
from sim.vmalloc_test.cases import CASES, POINTER_SIZE, Machine, no_block_alloc_test, table_of
from sim.vmalloc_test.driver import Worker
from sim.vmalloc_test.kvfree import LeftToRcu
from sim.vmalloc_test.operations import (
    Answer,
    Clock,
    KvfreeRcu,
    Loading,
    ModuleAlloc,
    Operation,
    Pause,
    PcpuFreeVmAreas,
    PcpuGetVmAreas,
    UnmapAliases,
    Vfree,
    Vmalloc,
    VmMapRam,
    VmUnmapRam,
)
from sim.vmalloc_test.percpu import PerCpuMemory
from sim.vmalloc_test.summary import report
from sim.workloads import ClientScript, Plan


def test_vmalloc(scenario: Scenario, beside: Path) -> Plan:  # noqa: ARG001 (the shape of every workload)
    """The kernel's lib/test_vmalloc.c: its tests, parameters and summary, `[workload.test_vmalloc]`."""
    if scenario.space.page_size != PAGE_SIZE:
        raise BadInput("space.page_size", str(scenario.space.page_size), f"{PAGE_SIZE}, the page of the test")
    refuse_blocking(scenario, scenario.workload.test_vmalloc)
    parameters, cpus = scenario.workload.test_vmalloc, scenario.machine.cpus
    percpu = PerCpuMemory(cpus)
    workers = [
        Worker(number, parameters, Machine(cpus, stream(scenario.seed, f"test_vmalloc/{number}"), percpu))
        for number in range(parameters.workers)
    ]
    by_cpu: dict[int, list[Worker]] = {}
    for worker in workers:
        by_cpu.setdefault(worker.number % cpus, []).append(worker)

    def scripts(world: Driving) -> Mapping[int, ClientScript]:
        barrier = Barrier(len(by_cpu), world.signal())
        one_at_a_time = Mutex(world.signal, FifoLock("global_lock")) if parameters.global_lock else None
        return {
            cpu: partial(_run, workers=by_cpu[cpu], barrier=barrier, scenario=scenario, one_at_a_time=one_at_a_time)
            for cpu in by_cpu
        }

    return Plan(
        cpus=sorted(by_cpu),
        preload=[],
        operations=parameters.workers * operations_of(parameters, cpus),
        uses_free_space=True,
        scripts=scripts,
        window=Window(),
        lazy_scale=parameters.lazy_scale,
        report=lambda: {"test_vmalloc": report(workers)},
    )


@define
class Barrier:
    """Where CPUs wait for each other before the tests: `prepare_for_test_rwsem`."""

    missing: int
    signal: Signal

    async def wait(self, client: VmallocClient) -> None:
        """Go on when all CPUs are here."""
        self.missing -= 1
        if not self.missing:
            self.signal.set()
        await client.wait(self.signal)


@define(eq=False)
class Thread:
    """A worker in the middle of its tests: what it does next, and what it is owed for its latest operation."""

    steps: Generator[Operation, Answer, None]
    answer: Answer = None


async def _run(
    client: VmallocClient,
    *,
    workers: list[Worker],
    barrier: Barrier,
    scenario: Scenario,
    one_at_a_time: Mutex | None,
) -> None:
    """Let a CPU's threads take turns until all are over, and free what kvfree_rcu() left."""
    cpu = Cpu(
        client,
        scenario.workload.test_vmalloc,
        scenario.costs,
        LeftToRcu(scenario.workload.test_vmalloc.grace_period_ns, bulk=1),
        one_at_a_time=one_at_a_time,
    )
    threads = deque(Thread(worker.steps()) for worker in workers)
    await barrier.wait(client)
    while threads:
        if await cpu.run_slice(threads[0], alone=len(threads) == 1):
            threads.popleft()
        threads.rotate(-1)
    await cpu.free_the_rest()


@define
class Cpu:
    """One CPU: it carries out what its threads ask, and what a kernel worker has to do between."""

    client: VmallocClient
    parameters: VmallocTest
    costs: Costs
    left_to_rcu: LeftToRcu
    pages_take_ns: Callable[[int], int] = int
    """Gives how long pages take this time, of how long they take on average."""
    one_at_a_time: Mutex | None = None
    """Held for each allocation as a whole, where there is one."""
    tables: dict[int, VmapArea] = field(factory=dict)
    """The areas of `pages[]`, by the starts of those whose pages they list."""

    async def run_slice(self, thread: Thread, *, alone: bool) -> bool:
        """Run a thread until its slice is over, or to its end if it is alone; tell whether that was its end."""
        port = self.client.port
        ends_ns = port.now_ns + self.parameters.slice_ns
        while alone or port.now_ns < ends_ns:
            try:
                operation = thread.steps.send(thread.answer)
            except StopIteration:
                return True
            thread.answer = await self.carry_out(operation)
            if self.left_to_rcu:
                self.free_what_is_due()
        return False

    async def free_the_rest(self) -> None:
        """Wait for the grace periods that are under way, and have the areas freed."""
        while (next_ns := self.left_to_rcu.next_ns()) is not None:
            await self.client.sleep(next_ns - self.client.port.now_ns)
            self.free_what_is_due()

    def free_what_is_due(self) -> None:
        """Leave to kworkers of the CPUs that collected it what has waited for its grace period."""
        for cpu, areas in self.left_to_rcu.due(self.client.port.now_ns):
            self.client.vmap.workqueue.queue_on(cpu, partial(self._kfree_rcu_work, areas), managed=False)

    async def _kfree_rcu_work(self, areas: Sequence[VmapArea], port: Port) -> None:
        worker = VmallocClient(port, self.client.router, self.client.inserter, self.client.vmap)
        for area in areas:
            await _vfree(worker, area)

    async def carry_out(self, operation: Operation | Loading) -> Answer:
        """Do what a thread asks, on this CPU."""
        client = self.client
        match operation:
            case Vmalloc() if self.one_at_a_time is not None:
                await self.one_at_a_time.acquire(client.port)
                area = await self._vmalloc(operation)
                self.one_at_a_time.release(client.port)
                return area
            case Vmalloc():
                return await self._vmalloc(operation)
            case Vfree(area=area):
                await self._free(area)
            case KvfreeRcu(area=area):
                self.left_to_rcu.leave(client.port.cpu, client.port.now_ns, area)
            case VmMapRam(pages=pages):
                addr = await client.vm_map_ram(pages)
                return None if addr is None else VmapArea(addr, addr + pages * PAGE_SIZE)
            case VmUnmapRam(range=mapped):
                await client.vm_unmap_ram(mapped.va_start, mapped.size // PAGE_SIZE)
            case PcpuGetVmAreas(size=size, align=align):
                areas = await client.pcpu_get_vm_areas([0], [size], align)
                return areas[0] if areas else None
            case PcpuFreeVmAreas(area=area):
                await client.pcpu_free_vm_areas([area])
            case ModuleAlloc(size=size):
                return await client.vmalloc(
                    size, PAGE_SIZE, caller="module_alloc", vstart=MODULES.start, vend=MODULES.end
                )
            case UnmapAliases():
                await client.vm_unmap_aliases()
            case Pause(ns=ns):
                await client.sleep(ns)
            case Clock():
                return client.port.now_ns
            case _:
                assert_never(operation)
        return None

    async def _vmalloc(self, request: Vmalloc) -> VmapArea | None:
        """Allocate an area, and let the time of its pages pass.

        More pages than a page has room for pointers to need `pages[]` in an area of its own (kernel:
        `__vmalloc_area_node()`), which is had after the first and given back after it.
        """
        area = await self.client.vmalloc(
            request.size, request.align, caller="test_vmalloc", may_block=request.may_block
        )
        if area is None:
            return None
        pages = request.size // PAGE_SIZE
        if pages * POINTER_SIZE > PAGE_SIZE:
            table = await self._vmalloc(evolve(table_of(pages), may_block=request.may_block))
            if table is None:
                await self._free(area)
                return None
            self.tables[area.va_start] = table
        await self.client.sleep(self.pages_take_ns(self.costs.call_ns + pages * self.costs.page_ns))
        return area

    async def _free(self, area: VmapArea) -> None:
        """Free an area of a thread, and after it the table of its pages."""
        await _vfree(self.client, area)
        table = self.tables.pop(area.va_start, None)
        if table is not None:
            await self._free(table)


async def _vfree(client: VmallocClient, area: VmapArea) -> None:
    freed = await client.vfree(area.va_start)
    assert freed is not None, f"{area!r} was not there to be freed: each is freed once, by whom it was given to"


def refuse_blocking(scenario: Scenario, parameters: VmallocTest) -> None:
    """Refuse `no_block_alloc_test` for kernels whose allocations may sleep: there it is a bug to ask."""
    bit = 1 << CASES.index(no_block_alloc_test)
    if parameters.run_test_mask & bit and not scenario.chosen_kernel.nonblocking:
        found = f"{bit}, no_block_alloc_test, with kernel {scenario.space.kernel}, which may sleep"
        allowed = "a kernel that allocates without sleeping, as 7.1, or a mask without it"
        raise BadInput("workload.test_vmalloc.run_test_mask", found, allowed)


def operations_of(parameters: VmallocTest, cpus: int) -> int:
    """Count the operations of one worker, about: enough for progress."""
    loops = parameters.test_loop_count
    junk, busy = lazy_max_pages(cpus) // parameters.scale, 15_000 // parameters.scale
    each: dict[int, int] = {1: 4 * junk, 2: 2 * busy + 2 * loops, 6: 92, 7: 100, 12: 2 * loops}
    total = sum(
        each.get(index, 0) + (0 if index in (6, 7) else 2 * loops)
        for index in range(len(CASES))
        if parameters.run_test_mask >> index & 1
    )
    return total * parameters.test_repeat_count
