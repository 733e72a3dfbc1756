"""A small workqueue: work that a script leaves to kworkers, scripts of their own on each CPU.

Mirrors what mm/vmalloc.c uses of kernel/workqueue.c: `schedule_work_on()`, an unbound queue and `flush_work()`.
Each CPU has `WORKERS` kworkers that take its work in order. Two are enough: while one sleeps in a purge that
waits for its helpers, the other one does their work (the kernel's concurrency management wakes a further worker
then), and of the work that sleeps there is at most one at a time. kworkers end when all clients are over and
nothing is left to do.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from attrs import define, field

from actors.mutex import NewSignal
from actors.sharing import Turn, sharing
from actors.world import Port, Signal

WORKERS = 2
"""kworkers of each CPU."""

Job: TypeAlias = Callable[[Port], Coroutine[Any, Any, None]]
"""What a kworker does: a function of the worker's port."""


@define(eq=False)
class _Cpu:
    """The work of one CPU that no worker has taken up."""

    more: Signal
    jobs: deque[tuple[Job, Signal]] = field(factory=deque)
    busy: int = 0


class Workqueue:
    """Work by CPU, and the kworkers that do it; `clients` is how many scripts may still queue work."""

    def __init__(self, new_signal: NewSignal, cpus: Sequence[int], clients: int) -> None:
        self._new_signal = new_signal
        self._cpus = {cpu: _Cpu(new_signal()) for cpu in cpus}
        self._clients = clients
        self._outstanding = 0
        self.turn: Turn | None = None
        """Whose turn it is where kworkers share their CPUs with threads; None where they do not."""
        self.idle: Callable[[int], None] = lambda _cpu: None
        """Called with a CPU when the last of its kworkers has nothing left to do."""

    def queue_on(self, cpu: int, job: Job) -> Signal:
        """Queue `job` for a worker of `cpu`; gives what is set when it is done (`schedule_work_on`)."""
        done = self._new_signal()
        self._outstanding += 1
        self._cpus[cpu].jobs.append((job, done))
        self._wake(self._cpus[cpu])
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
                await port.wait(mine.more)
                continue
            job, done = mine.jobs.popleft()
            mine.busy += 1
            await (job(port) if self.turn is None else sharing(job(port), port, self.turn))
            mine.busy -= 1
            if not self.busy(port.cpu):
                self.idle(port.cpu)
            done.set()
            self._outstanding -= 1
            self._wake_all_if_over()

    @property
    def _is_over(self) -> bool:
        return not self._clients and not self._outstanding

    def _wake_all_if_over(self) -> None:
        if self._is_over:
            for cpu in self._cpus.values():
                self._wake(cpu)

    def _wake(self, cpu: _Cpu) -> None:
        """Wake the workers of a CPU that wait now; who waits later waits for the next time."""
        cpu.more.set()
        cpu.more = self._new_signal()
