"""Who runs where and when: threads and kworkers in the queues of their CPUs, the balance between CPUs.

Mirrors of kernel/sched/fair.c what decides from whose pools a thread allocates, and how many do so during a purge:
on each CPU EEVDF (`eevdf`), and of the rest

- a thread that is woken goes to the CPU with the least to do, to where it ran last if that is one of them;
- at a tick a CPU that has nothing to do pulls a thread that waits while another task of its CPU runs, before that
  CPU picks anew (`nohz_idle_balance()`; in the kernel the two race);
- so does one that has nothing left to do, at once (`newidle_balance()`).

Nothing else moves a thread, and nothing a kworker. Each second every CPU that is not idle has something to do for a
kworker (`vmstat_update()`): one that had to wait for that is owed time when it sleeps, and preempts at once when it
is woken for the next drain.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from attrs import define, field, frozen

from actors.world import Port, Signal
from sim.vmalloc_test.eevdf import FairQueue, Task

STAT_INTERVAL_NS = 1_000_000_000
"""The time between two updates of a CPU's statistics (`sysctl_stat_interval`)."""

STAT_SKEW_TICKS = 3
"""By how much later a CPU's update is than that of the CPU before (`round_jiffies_common()`)."""

NEVER_NS = 2**63

POLL_NS = 50_000
"""How often who waits for a CPU looks whether it is free."""


@define(eq=False)
class Thread(Task):
    """A thread: what it does next, what it is owed for its latest operation, and who waits for its end."""

    steps: Generator[Any, Any, None]
    page_ns: int
    """How long a page of its allocations takes besides the area."""
    answer: Any = None
    over: Callable[[int], None] = lambda _now_ns: None
    """Told when it is over."""
    cpu: int | None = None
    """Where it runs, or ran last."""
    in_operation: bool = False
    """Whether a CPU carries out an operation of it."""


@define(eq=False)
class RunQueues:
    """The tasks of every CPU."""

    queues: list[FairQueue]
    new_signal: Callable[[], Signal]
    every_second: Callable[[int], None] = lambda _cpu: None
    """Called with a CPU that is not idle, each second."""
    threads: list[list[Thread]] = field(init=False)
    """The threads among the tasks of each CPU."""
    alive: int = 0
    """Threads that are not over, those that sleep included."""
    _more: list[Signal] = field(init=False)
    _kworkers: dict[Port, Task] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.threads = [[] for _ in self.queues]
        self._more = [self.new_signal() for _ in self.queues]
        for cpu, queue in enumerate(self.queues):
            queue.at_tick = partial(self._tick, cpu)

    def any_idle(self) -> bool:
        """Tell whether a CPU has nothing to do."""
        return self._idle() is not None

    def more(self, cpu: int) -> Signal:
        """Give what is set when a CPU may have got a thread to run."""
        return self._more[cpu]

    def wake(self, thread: Thread, now_ns: int) -> None:
        """Let a thread run where there is least to do: of such CPUs on that where it ran last, or on the lowest."""
        cpus = range(len(self.queues))
        self._enqueue(min(cpus, key=lambda cpu: (self.queues[cpu].load, cpu != thread.cpu, cpu)), thread, now_ns)

    def leave(self, thread: Thread, now_ns: int) -> None:
        """Take a thread out of its CPU's queue, to sleep or because it is over."""
        cpu = self._leave(thread, now_ns)
        self._pull_if_idle(cpu, now_ns)

    def runs(self, cpu: int, now_ns: int) -> Thread | None:
        """Give the thread that runs on a CPU, if one does."""
        queue = self.queues[cpu]
        queue.pass_ticks(now_ns)
        return queue.running if isinstance(queue.running, Thread) else None

    def wait(self, cpu: int, now_ns: int) -> int:
        """Give how long who waits for a CPU has to wait until something may have changed."""
        return min(POLL_NS, self.queues[cpu].ticked_ns + self.queues[cpu].tick_ns - now_ns)

    def end(self) -> None:
        """Take note that a thread is over; with the last one all CPUs are woken."""
        self.alive -= 1
        if not self.alive:
            for cpu in range(len(self.queues)):
                self._signal(cpu)

    def begin(self, port: Port) -> None:
        """See `actors.sharing.Sharing`."""
        task = self._kworkers.setdefault(port, Task())
        queue = self.queues[port.cpu]
        if task.delayed or task not in queue.tasks:
            queue.wake(task, port.now_ns)

    def turn(self, port: Port) -> int:
        """See `actors.sharing.Sharing`."""
        queue = self.queues[port.cpu]
        queue.pass_ticks(port.now_ns)
        return 0 if queue.running is self._kworkers[port] else self.wait(port.cpu, port.now_ns)

    def most(self, port: Port) -> int:  # noqa: ARG002 (the shape of `Sharing`)
        """See `actors.sharing.Sharing`: a kworker lets time pass in a flush, which is not preempted."""
        return NEVER_NS

    def rest(self, port: Port) -> None:
        """See `actors.sharing.Sharing`."""
        self.queues[port.cpu].sleep(self._kworkers[port], port.now_ns)
        self._pull_if_idle(port.cpu, port.now_ns)

    def _tick(self, cpu: int, now_ns: int) -> None:
        tick_ns = self.queues[cpu].tick_ns
        since_ns = now_ns - cpu * STAT_SKEW_TICKS * tick_ns
        if since_ns // STAT_INTERVAL_NS != (since_ns - tick_ns) // STAT_INTERVAL_NS and self.queues[cpu].load:
            self.every_second(cpu)
        idle = self._idle()
        if idle is not None:
            self._pull(cpu, idle, now_ns)

    def _pull_if_idle(self, cpu: int, now_ns: int) -> None:
        if not self.queues[cpu].load:
            any(self._pull(busy, cpu, now_ns) for busy in range(len(self.queues)))

    def _pull(self, busy: int, idle: int, now_ns: int) -> bool:
        """Move the first thread that waits for a CPU to one that is idle; tell whether there was any."""
        running = self.queues[busy].running
        waits = next((thread for thread in self.threads[busy] if thread is not running), None)
        if waits is None:
            return False
        self._leave(waits, now_ns)
        self._enqueue(idle, waits, now_ns)
        return True

    def _idle(self) -> int | None:
        return next((cpu for cpu, queue in enumerate(self.queues) if not queue.load), None)

    def _leave(self, thread: Thread, now_ns: int) -> int:
        cpu = thread.cpu
        assert cpu is not None, "a thread leaves that was never woken"
        self.queues[cpu].leave(thread, now_ns)
        self.threads[cpu].remove(thread)
        return cpu

    def _enqueue(self, cpu: int, thread: Thread, now_ns: int) -> None:
        thread.cpu = cpu
        self.queues[cpu].wake(thread, now_ns)
        self.threads[cpu].append(thread)
        self._signal(cpu)

    def _signal(self, cpu: int) -> None:
        self._more[cpu].set()
        self._more[cpu] = self.new_signal()


@frozen
class Preempted:
    """How a thread shares its CPU with kworkers in the middle of an operation: see `actors.sharing.Sharing`.

    Another thread has its turn when the operation is over. A thread that is pulled has it brought to its end by the
    CPU where it began.
    """

    thread: Thread
    queues: RunQueues

    def begin(self, port: Port) -> None:
        """Nothing: it has been woken."""

    def turn(self, port: Port) -> int:
        """See `actors.sharing.Sharing`."""
        self.queues.queues[port.cpu].pass_ticks(port.now_ns)  # at a tick it may be pulled
        cpu = self.thread.cpu
        assert cpu is not None, "a thread runs that was never woken"
        return 0 if self.queues.runs(cpu, port.now_ns) is not None else self.queues.wait(cpu, port.now_ns)

    def most(self, port: Port) -> int:
        """See `actors.sharing.Sharing`."""
        queue = self.queues.queues[port.cpu]
        return queue.ticked_ns + queue.tick_ns - port.now_ns

    def rest(self, port: Port) -> None:
        """Nothing: a thread that waits keeps its CPU."""


def workers_done(count: int, then: Callable[[int], None]) -> Callable[[int], None]:
    """Give what each of `count` threads calls when it is over; the last call calls `then`."""
    missing = count

    def one(now_ns: int) -> None:
        nonlocal missing
        missing -= 1
        if not missing:
            then(now_ns)

    return one
