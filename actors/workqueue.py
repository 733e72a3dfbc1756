"""A small workqueue: work that a script leaves to kworkers, scripts of their own on each CPU.

Mirrors what mm/vmalloc.c uses of kernel/workqueue.c: `schedule_work_on()`, an unbound queue and `flush_work()`.
Each CPU has `WORKERS` kworkers that take its work in order; of those that have nothing to do the one that was at
work last is woken (`first_idle_worker()`). Two are enough: while one sleeps in a purge that waits for its helpers,
the other one does their work (the kernel's concurrency management wakes a further worker then), and of the work
that sleeps there is at most one at a time. kworkers end when all clients are over and nothing is left to do.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from attrs import define, field

from actors.mutex import NewSignal
from actors.sharing import Sharing, sharing
from actors.world import Port, Signal

WORKERS = 2
"""kworkers of each CPU."""

Job: TypeAlias = Callable[[Port], Coroutine[Any, Any, None]]
"""What a kworker does: a function of the worker's port."""


@define(eq=False)
class _Cpu:
    """The work of one CPU that no worker has taken up."""

    jobs: deque[tuple[Job, Signal]] = field(factory=deque)
    idle: list[Signal] = field(factory=list)
    """What wakes each kworker that has nothing to do, in the order in which they had done their work."""
    busy: int = 0


class Workqueue:
    """Work by CPU, and the kworkers that do it; `clients` is how many scripts may still queue work."""

    def __init__(self, new_signal: NewSignal, cpus: Sequence[int], clients: int) -> None:
        self._new_signal = new_signal
        self._cpus = {cpu: _Cpu() for cpu in cpus}
        self._clients = clients
        self._outstanding = 0
        self.sharing: Sharing | None = None
        """Who has the CPUs, where kworkers share them with threads; None where they do not."""

    def queue_on(self, cpu: int, job: Job) -> Signal:
        """Queue `job` for a worker of `cpu`; gives what is set when it is done (`schedule_work_on`)."""
        done = self._new_signal()
        self._outstanding += 1
        mine = self._cpus[cpu]
        mine.jobs.append((job, done))
        if mine.idle:
            mine.idle.pop().set()
        return done

    def queue_unbound(self, job: Job) -> Signal:
        """Queue `job` on the CPU whose workers have least to do, the lowest of those (`WQ_UNBOUND`)."""
        cpu = min(self._cpus, key=lambda cpu: (len(self._cpus[cpu].jobs) + self._cpus[cpu].busy, cpu))
        return self.queue_on(cpu, job)

    def busy(self, cpu: int) -> int:
        """Give how many kworkers of `cpu` are at work or have to begin."""
        return self._cpus[cpu].busy + len(self._cpus[cpu].jobs)

    def has_cpu(self, cpu: int) -> bool:
        """Tell whether `cpu` is there to work (kernel: `cpumask_test_cpu(cpu, cpu_online_mask)`)."""
        return cpu in self._cpus

    def client_is_over(self) -> None:
        """Note that one of the clients will queue nothing more."""
        self._clients -= 1
        self._wake_all_if_over()

    async def work(self, port: Port) -> None:
        """Be a kworker of the port's CPU, until all is over."""
        mine = self._cpus[port.cpu]
        while not self._is_over:
            if not mine.jobs:
                woken = self._new_signal()
                mine.idle.append(woken)
                await port.wait(woken)
                continue
            job, done = mine.jobs.popleft()
            mine.busy += 1
            await (job(port) if self.sharing is None else sharing(job(port), port, self.sharing))
            mine.busy -= 1
            if self.sharing is not None and not mine.jobs:
                self.sharing.rest(port)
            done.set()
            self._outstanding -= 1
            self._wake_all_if_over()

    @property
    def _is_over(self) -> bool:
        return not self._clients and not self._outstanding

    def _wake_all_if_over(self) -> None:
        if self._is_over:
            for cpu in self._cpus.values():
                while cpu.idle:
                    cpu.idle.pop().set()
