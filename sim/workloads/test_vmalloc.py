"""The kernel's own test as a workload: the workers of lib/test_vmalloc.c as threads on CPUs.

Worker i is a thread of CPU i modulo the number of CPUs. What threads of one CPU ask goes through that CPU's port,
one operation after the other: so it is the CPU, not the thread, whose pool an allocation comes out of and who
hands locks over, as in the kernel (`raw_smp_processor_id()`), and while an operation waits for a lock no other
thread runs there, as behind a spinlock. Between two operations the thread may be preempted, when its slice is
over; it never moves to another CPU.

`kvfree_rcu()` leaves its area to a kernel worker of the same CPU, which frees what is due between two operations
of the threads, and the rest when they are over. (In the kernel the worker may run anywhere.)
"""

from collections import deque
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path

from attrs import define, field

from actors.client import Client
from actors.world import Signal, World
from protocol.area import PAGE_SIZE, VMALLOC_END, VMALLOC_START, VmapArea
from sim.chance import stream
from sim.errors import BadInput
from sim.scenario.model import Scenario, VmallocTest
from sim.vmalloc_test.cases import CASES, POINTER_SIZE, Machine, table_of
from sim.vmalloc_test.driver import Worker
from sim.vmalloc_test.operations import (
    Answer,
    Clock,
    KvfreeRcu,
    Operation,
    Vfree,
    Vmalloc,
)
from sim.vmalloc_test.percpu import PerCpuMemory
from sim.vmalloc_test.summary import report
from sim.workloads import ClientScript, Plan


def test_vmalloc(scenario: Scenario, beside: Path) -> Plan:  # noqa: ARG001 (the shape of every workload)
    """The kernel's lib/test_vmalloc.c: its tests, parameters and summary, `[workload.test_vmalloc]`."""
    if scenario.space.page_size != PAGE_SIZE:
        raise BadInput("space.page_size", str(scenario.space.page_size), f"{PAGE_SIZE}, the page of the test")
    parameters, cpus = scenario.workload.test_vmalloc, scenario.machine.cpus
    percpu = PerCpuMemory(cpus)
    workers = [
        Worker(number, parameters, Machine(cpus, stream(scenario.seed, f"test_vmalloc/{number}"), percpu))
        for number in range(parameters.workers)
    ]
    by_cpu: dict[int, list[Worker]] = {}
    for worker in workers:
        by_cpu.setdefault(worker.number % cpus, []).append(worker)

    def scripts(world: World) -> Mapping[int, ClientScript]:
        barrier = Barrier(len(by_cpu), world.signal())
        return {cpu: partial(_run, workers=by_cpu[cpu], barrier=barrier, parameters=parameters) for cpu in by_cpu}

    return Plan(
        cpus=sorted(by_cpu),
        preload=[],
        operations=parameters.workers * operations_of(parameters, cpus),
        uses_free_space=True,
        scripts=scripts,
        report=lambda: {"test_vmalloc": report(workers)},
    )


@define
class Barrier:
    """Where CPUs wait for each other before the tests: `prepare_for_test_rwsem`."""

    missing: int
    signal: Signal

    async def wait(self, client: Client) -> None:
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


async def _run(client: Client, *, workers: list[Worker], barrier: Barrier, parameters: VmallocTest) -> None:
    """Let a CPU's threads take turns until all are over, and free what kvfree_rcu() left."""
    cpu = Cpu(client, parameters)
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

    client: Client
    parameters: VmallocTest
    left_to_rcu: deque[tuple[int, VmapArea]] = field(factory=deque)
    """When each area's grace period is over, ascending, and the area."""
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
            thread.answer = await self._carry_out(operation)
            while self.left_to_rcu and self.left_to_rcu[0][0] <= port.now_ns:
                await self._free(self.left_to_rcu.popleft()[1])
        return False

    async def free_the_rest(self) -> None:
        """Wait for the grace periods that are under way, and free."""
        while self.left_to_rcu:
            over_ns, area = self.left_to_rcu.popleft()
            await self.client.sleep(over_ns - self.client.port.now_ns)
            await self._free(area)

    async def _carry_out(self, operation: Operation) -> Answer:
        client = self.client
        match operation:
            case Vmalloc():
                return await self._alloc(operation)
            case Vfree():
                return await self._free(operation.area)
            case KvfreeRcu():
                self.left_to_rcu.append((client.port.now_ns + self.parameters.grace_period_ns, operation.area))
                return None
            case Clock():
                return client.port.now_ns
            case _:
                raise AssertionError(f"{operation} was refused when the workload was planned")

    async def _alloc(self, request: Vmalloc) -> VmapArea | None:
        """Take an area for `request` and a guard page, and let the time of its pages pass.

        More pages than a page has room for pointers to need `pages[]` in an area of its own (kernel:
        `__vmalloc_area_node()`), which is had after the first and given back after it.
        """
        size = request.size + PAGE_SIZE
        area = await self.client.alloc(size, request.align, VMALLOC_START, VMALLOC_END)
        if area is None:
            return None
        pages = request.size // PAGE_SIZE
        if pages * POINTER_SIZE > PAGE_SIZE:
            table = await self._alloc(table_of(pages))
            if table is None:
                await self._free(area)
                return None
            self.tables[area.va_start] = table
        await self.client.sleep(pages * self.parameters.page_ns)
        return area

    async def _free(self, area: VmapArea) -> None:
        freed = await self.client.free(area.va_start)
        assert freed is not None, f"{area!r} was not there to be freed: each is freed once, by whom it was given to"
        table = self.tables.pop(area.va_start, None)
        if table is not None:
            await self._free(table)


def operations_of(parameters: VmallocTest, cpus: int) -> int:
    """Count the operations of one worker, about: enough for progress."""
    loops = parameters.test_loop_count
    junk = cpus.bit_length() * 8192
    each: dict[int, int] = {1: 4 * junk, 2: 30_000 + 2 * loops, 6: 92, 7: 100, 12: 2 * loops}
    total = sum(
        each.get(index, 0) + (0 if index in (6, 7) else 2 * loops)
        for index in range(len(CASES))
        if parameters.run_test_mask >> index & 1
    )
    return total * parameters.test_repeat_count
