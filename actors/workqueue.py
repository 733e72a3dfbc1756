"""A small workqueue: work that a script leaves to kworkers, scripts of their own on each CPU.

Mirrors what mm/vmalloc.c uses of kernel/workqueue.c: `schedule_work_on()`, an unbound queue and `flush_work()`.
Each CPU has `WORKERS` kworkers that take its work in order; of those that have nothing to do the one that was at
work last is woken (`first_idle_worker()`). Two are enough: while one sleeps in a purge that waits for its helpers,
the other one does their work, and of the work that sleeps there is at most one at a time. Where kworkers share
their CPU with threads, one of them at a time is at work, and does not sleep (concurrency management, `nr_running`);
work for an unbound queue is not managed. kworkers end when all clients are over and nothing is left to do.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeAlias

from attrs import define, field, frozen

from actors.mutex import NewSignal
from actors.sharing import Sharing, sharing
from actors.world import Port, Signal

WORKERS = 2
"""kworkers of each CPU."""

Job: TypeAlias = Callable[[Port], Coroutine[Any, Any, None]]
"""What a kworker does: a function of the worker's port."""


@frozen(eq=False)
class _Work:
    """Something to do, and what is set when it is done (`struct work_struct`)."""

    job: Job
    done: Signal
    managed: bool


@define(eq=False)
class _Cpu:
    """The work of one CPU that no worker has taken up."""

    queue: deque[_Work] = field(factory=deque)
    running: int = 0
    """How many kworkers are at managed work and do not sleep (kernel: `nr_running`)."""
    idle: list[Signal] = field(factory=list)
    """What wakes each kworker that has nothing to do, in the order in which they had done their work."""
    busy: int = 0


@frozen
class _Managed:
    """How a kworker shares its CPU: whoever does keeps count, and when one sleeps another one may begin."""

    cpus: Sharing
    mine: _Cpu
    kick: Callable[[], None]

    def begin(self, port: Port) -> None:
        """See `Sharing`."""
        self.mine.running += 1
        self.cpus.begin(port)

    def turn(self, port: Port) -> int:
        """See `Sharing`."""
        return self.cpus.turn(port)

    def most(self, port: Port) -> int:
        """See `Sharing`."""
        return self.cpus.most(port)

    def rest(self, port: Port) -> None:
        """See `Sharing`."""
        self.mine.running -= 1
        self.cpus.rest(port)
        self.kick()


class Workqueue:
    """Work by CPU, and the kworkers that do it; `clients` is how many scripts may still queue work."""

    def __init__(self, new_signal: NewSignal, cpus: Sequence[int], clients: int) -> None:
        self._new_signal = new_signal
        self._cpus = {cpu: _Cpu() for cpu in cpus}
        self._clients = clients
        self._outstanding = 0
        self.sharing: Sharing | None = None
        """Who has the CPUs, where kworkers share them with threads; None where they do not."""

    def queue_on(self, cpu: int, job: Job, *, managed: bool = True) -> Signal:
        """Queue `job` for a worker of `cpu`; gives what is set when it is done (`schedule_work_on`)."""
        done = self._new_signal()
        self._outstanding += 1
        mine = self._cpus[cpu]
        mine.queue.append(_Work(job, done, managed))
        self._kick(mine)
        return done

    def queue_unbound(self, job: Job) -> Signal:
        """Queue `job` on the CPU whose workers have least to do, the lowest of those (`WQ_UNBOUND`)."""
        cpu = min(self._cpus, key=lambda cpu: (len(self._cpus[cpu].queue) + self._cpus[cpu].busy, cpu))
        return self.queue_on(cpu, job, managed=False)

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
        at_work = False
        while not self._is_over:
            work = self._next(mine)
            if work is None:
                if at_work and self.sharing is not None:
                    self.sharing.rest(port)
                at_work, woken = False, self._new_signal()
                mine.idle.append(woken)
                await port.wait(woken)
                continue
            mine.queue.remove(work)
            at_work = True
            mine.busy += 1
            await self._do(work, port, mine)
            mine.busy -= 1
            work.done.set()
            self._outstanding -= 1
            self._wake_all_if_over()

    async def _do(self, work: _Work, port: Port, mine: _Cpu) -> None:
        if self.sharing is None:
            await work.job(port)
        elif not work.managed:
            await sharing(work.job(port), port, self.sharing)
        else:
            await sharing(work.job(port), port, _Managed(self.sharing, mine, partial(self._kick, mine)))
            mine.running -= 1

    def _next(self, mine: _Cpu) -> _Work | None:
        """Give the first work that may begin (`need_more_worker()`)."""
        return next((work for work in mine.queue if not (work.managed and mine.running)), None)

    def _kick(self, mine: _Cpu) -> None:
        """Wake a kworker if one is idle and there is something to do (`kick_pool()`)."""
        if mine.idle and self._next(mine) is not None:
            mine.idle.pop().set()

    @property
    def _is_over(self) -> bool:
        return not self._clients and not self._outstanding

    def _wake_all_if_over(self) -> None:
        if self._is_over:
            for cpu in self._cpus.values():
                while cpu.idle:
                    cpu.idle.pop().set()
