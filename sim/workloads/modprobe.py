"""The kernel's own test as it is run: modprobe loads the module, its workers run on whatever CPU is free.

Where `test_vmalloc` has its workers fixed to their CPUs and kworkers beside them, here threads and kworkers share
the CPUs: loading itself allocates and purges, a drain takes time from the threads of its CPU, and a thread moves
to a CPU that is idle, where another pool is asked. All that shows in the counts of /proc/lock_stat, and
results.json has them by load, under `modprobe`.
"""

from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from attrs import define, evolve, field

from actors.lock import FifoLock
from actors.sharing import sharing
from actors.vmalloc_client import VmallocClient
from actors.vmap import Vmap, Window
from actors.world import Driving, Port
from protocol.area import PAGE_SIZE
from sim.chance import around, stream
from sim.errors import BadInput
from sim.scenario.model import ModuleLoad, Scenario, VmallocTest
from sim.vmalloc_test.cases import Machine
from sim.vmalloc_test.driver import Worker
from sim.vmalloc_test.eevdf import FairQueue
from sim.vmalloc_test.kvfree import KVFREE_BULK_MAX_ENTR, LeftToRcu
from sim.vmalloc_test.loading import Run, load
from sim.vmalloc_test.operations import Pause
from sim.vmalloc_test.percpu import PerCpuMemory
from sim.vmalloc_test.scheduling import Preempted, RunQueues, Stops, Thread, workers_done
from sim.vmalloc_test.summary import tests_of
from sim.workloads import ClientScript, Plan
from sim.workloads.test_vmalloc import Cpu, operations_of, refuse_blocking

PAUSE_STEP_NS = 1_000_000
"""How often in a pause somebody looks whether areas that were left to kvfree_rcu() are due."""


def modprobe(scenario: Scenario, beside: Path) -> Plan:  # noqa: ARG001 (the shape of every workload)
    """lib/test_vmalloc.c as modprobe loads and unloads it, several times in one boot: `[workload.modprobe]`."""
    if scenario.space.page_size != PAGE_SIZE:
        raise BadInput("space.page_size", str(scenario.space.page_size), f"{PAGE_SIZE}, the page of the test")
    if not scenario.workload.modprobe.load:
        raise BadInput("workload.modprobe.load", "none", "at least one [[workload.modprobe.load]]")
    parameters = [_parameters(scenario, asked) for asked in scenario.workload.modprobe.load]
    for own in parameters:
        refuse_blocking(scenario, own)
    boot = Boot(scenario, parameters)
    cpus = scenario.machine.cpus
    return Plan(
        cpus=list(range(cpus)),
        preload=[],
        operations=sum(own.workers * operations_of(own, cpus) * times for own, times in boot.asked()),
        uses_free_space=True,
        scripts=boot.scripts,
        window=Window(),
        report=lambda: {"modprobe": boot.files},
    )


def _parameters(scenario: Scenario, asked: ModuleLoad) -> VmallocTest:
    return evolve(
        scenario.workload.test_vmalloc,
        nr_threads=asked.nr_threads,
        run_test_mask=asked.run_test_mask,
        test_loop_count=asked.test_loop_count,
        nr_pages=asked.nr_pages,
    )


@define(eq=False)
class Boot:
    """A machine between its start and its end: loads one after the other, and what each left in /proc/lock_stat."""

    scenario: Scenario
    parameters: list[VmallocTest]
    files: list[dict[str, Any]] = field(factory=list)
    left_to_rcu: LeftToRcu = field(init=False)

    def __attrs_post_init__(self) -> None:
        use = self.scenario.workload
        self.left_to_rcu = LeftToRcu(use.test_vmalloc.grace_period_ns, KVFREE_BULK_MAX_ENTR, use.modprobe.tick_ns)

    def asked(self) -> list[tuple[VmallocTest, int]]:
        """Give the parameters of each load, and how often."""
        loads = self.scenario.workload.modprobe.load
        return [(own, asked.times) for own, asked in zip(self.parameters, loads, strict=True)]

    def scripts(self, world: Driving) -> Mapping[int, ClientScript]:
        """Make the script of each CPU."""
        cpus, use = range(self.scenario.machine.cpus), self.scenario.workload
        fair = [FairQueue(use.modprobe.tick_ns, use.test_vmalloc.slice_ns) for _ in cpus]
        queues = RunQueues(fair, world.signal, [self._stops(cpu) for cpu in cpus])
        queues.alive = 1
        return {cpu: partial(self._run, queues=queues) for cpu in cpus}

    async def _run(self, client: VmallocClient, *, queues: RunQueues) -> None:
        """Be a CPU: run what is in its queue until all threads are over."""
        vmap, port = client.vmap, client.port
        vmap.workqueue.sharing = queues
        vmap.any_idle = queues.any_idle
        queues.every_second = partial(self._vmstat, vmap)
        if port.cpu == 0:
            queues.wake(Thread(self._init(vmap), self.scenario.costs.page_ns), port.now_ns)
        test, costs = self.scenario.workload.test_vmalloc, self.scenario.costs
        mine = Cpu(client, test, costs, self.left_to_rcu, self._jitter(port.cpu))
        while queues.alive:
            thread = queues.runs(port.cpu, port.now_ns)
            if thread is not None and not thread.in_operation:
                await _step(mine, thread, queues)
            elif queues.threads[port.cpu]:
                await client.sleep(queues.wait(port.cpu, port.now_ns))
            else:
                await client.wait(queues.more(port.cpu))
        await mine.free_the_rest()

    def _init(self, vmap: Vmap) -> Generator[Any, Any, None]:
        """Yield what the boot's own thread does: one load after the other."""
        use = self.scenario.workload.modprobe
        for (own, times), asked in zip(self.asked(), use.load, strict=True):
            yield from _pauses(use.pause_ns)
            before, purges = _lock_stat(vmap), len(vmap.purges)
            ran: list[Worker] = []
            for time in range(times):
                workers = self._workers(own, f"{asked.name}/{time}")
                yield from load(Run(workers, self._paces(asked, time, own.workers)), _pauses(use.unload_ns))
                ran += workers
            after = _lock_stat(vmap)
            self.files.append(
                {
                    "name": asked.name,
                    "drains": _drains(vmap, purges),
                    "pairs": own.workers * own.test_loop_count * times,
                    "avg_usec": round(mean(data.time_us for worker in ran for _test, data in tests_of(worker))),
                    "locks": {
                        kind: {key: count - before.get(kind, {}).get(key, 0) for key, count in counts.items()}
                        for kind, counts in after.items()
                    },
                }
            )

    def _stops(self, cpu: int) -> Stops:
        use = self.scenario.workload.modprobe
        return Stops(stream(self.scenario.seed, f"modprobe/stops/{cpu}"), use.stop_gap_ns, use.stop_ns)

    def _vmstat(self, vmap: Vmap, cpu: int) -> None:
        """Let a kworker of `cpu` update the CPU's statistics, where that takes time (`vmstat_update()`)."""
        takes_ns = self.scenario.workload.modprobe.vmstat_ns
        if not takes_ns:
            return

        async def vmstat_update(kworker: Port) -> None:
            await kworker.sleep(takes_ns)

        vmap.workqueue.queue_on(cpu, vmstat_update)

    def _paces(self, asked: ModuleLoad, time: int, workers: int) -> list[int]:
        """Draw how long a page takes each worker of a run."""
        random = stream(self.scenario.seed, f"modprobe/pace/{asked.name}/{time}")
        pace = self.scenario.workload.modprobe.pace
        return [int(asked.page_ns * around(random, pace)) for _ in range(workers)]

    def _jitter(self, cpu: int) -> Callable[[int], int]:
        random = stream(self.scenario.seed, f"modprobe/pages/{cpu}")
        jitter = self.scenario.workload.modprobe.jitter
        return lambda ns: int(ns * around(random, jitter))

    def _workers(self, own: VmallocTest, user: str) -> list[Worker]:
        cpus, percpu = self.scenario.machine.cpus, PerCpuMemory(self.scenario.machine.cpus)
        return [
            Worker(number, own, Machine(cpus, stream(self.scenario.seed, f"modprobe/{user}/{number}"), percpu))
            for number in range(own.workers)
        ]


async def _step(cpu: Cpu, thread: Thread, queues: RunQueues) -> None:
    """Do the next operation of the thread that runs; it can be over, or start others and wait for them."""
    port = cpu.client.port
    try:
        operation = thread.steps.send(thread.answer)
    except StopIteration:
        queues.leave(thread, port.now_ns)
        thread.over(port.now_ns)
        queues.end()
        return
    if isinstance(operation, Run):
        _start(operation, thread, queues, port.now_ns)
        return
    if cpu.costs.page_ns != thread.page_ns:
        cpu.costs = evolve(cpu.costs, page_ns=thread.page_ns)
    thread.in_operation = True
    thread.answer = await sharing(cpu.carry_out(operation), port, Preempted(thread, queues))
    thread.in_operation = False
    cpu.free_what_is_due()


def _start(run: Run, parent: Thread, queues: RunQueues, now_ns: int) -> None:
    """Start workers, the first while `parent` runs; that goes on when all are over."""
    parent.answer = None
    over = workers_done(len(run.workers), partial(queues.wake, parent))
    queues.alive += len(run.workers)
    for number, (worker, page_ns) in enumerate(zip(run.workers, run.pages_ns, strict=True)):
        queues.wake(Thread(worker.steps(), page_ns, over=over), now_ns)
        if not number:
            queues.leave(parent, now_ns)


def _pauses(ns: int) -> list[Pause]:
    return [Pause(PAUSE_STEP_NS)] * (ns // PAUSE_STEP_NS)


def _drains(vmap: Vmap, since: int) -> list[list[int]]:
    """Give when each purge of a drain ended, in microseconds, and how many areas it purged; from a number on."""
    return [[purge.end_ns // 1000, purge.npurged] for purge in vmap.purges[since:] if purge.drain]


def _lock_stat(vmap: Vmap) -> dict[str, dict[str, int]]:
    """Add up the locks of each kind, as lockdep's classes do."""
    kinds: dict[str, list[FifoLock]] = {}
    for lock in vmap.lock_stat():
        kinds.setdefault(lock.name.partition("/")[0], []).append(lock)
    return {
        kind: {
            "acquisitions": sum(lock.acquisitions for lock in locks),
            "contended": sum(lock.contended for lock in locks),
        }
        for kind, locks in sorted(kinds.items())
    }
