"""Who runs where and when: threads and kworkers in the queues of their CPUs, the balance between CPUs.

Mirrors of kernel/sched/fair.c what decides from whose pools a thread allocates, and how many do so during a purge:
on each CPU EEVDF (`eevdf`), and of the rest

- a thread that is woken goes to the CPU with the least to do, to where it ran last if that is one of them (simpler
  than `select_idle_sibling()`: threads are only woken to begin, or when all others are over);
- at a tick a CPU that has nothing to do pulls the thread that has waited longest while another task of its CPU ran,
  before that CPU picks anew (`nohz_idle_balance()`; in the kernel the two race, and a thread that ran within the
  last half millisecond is left there, `task_hot()`);
- so does one that has nothing left to do, at once (`newidle_balance()`).

Nothing else moves a thread, and nothing a kworker. Each second every CPU that is not idle has something to do for a
kworker (`vmstat_update()`): one that had to wait for that is owed time when it sleeps, and preempts at once when it
is woken for the next drain.
"""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from random import Random
from typing import Any

from attrs import define, field, frozen

from actors.world import Port, Signal
from sim.chance import exponential
from sim.vmalloc_test.eevdf import FairQueue, Task

STAT_INTERVAL_NS = 1_000_000_000
"""The time between two updates of a CPU's statistics (`sysctl_stat_interval`)."""

STAT_SKEW_TICKS = 3
"""By how much earlier a CPU's update is than that of the CPU before (`round_jiffies_common()`)."""

NEVER_NS = 2**63

IDLE_NS = 10_000_000
"""A CPU that has not asked for so long had nothing to do, or has just stood still."""

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
class Stops:
    """When a CPU stands still, as a virtual one does while its host runs something else.

    One stop begins an exponentially distributed time after the one before has ended, and is exponentially
    distributed in length. It is noticed between two commands, and takes its length from then on; one that would
    have begun while the CPU was idle did not.
    """

    random: Random
    gap_ns: int
    """From stop to stop, on average."""
    length_ns: int
    """0 for none at all."""
    _next_ns: int = field(init=False)
    _until_ns: int = field(default=0, init=False)
    _asked_ns: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._next_ns = self._draw(self.gap_ns) if self.length_ns else NEVER_NS

    def left(self, now_ns: int) -> int:
        """Give how long the CPU stands still yet."""
        if now_ns < self._until_ns:
            return self._until_ns - now_ns
        idle, self._asked_ns = now_ns - self._asked_ns > IDLE_NS, now_ns
        if now_ns < self._next_ns:
            return 0
        if idle:
            self._next_ns = now_ns + self._draw(self.gap_ns)
            return 0
        self._until_ns = now_ns + self._draw(self.length_ns)
        self._next_ns = self._until_ns + self._draw(self.gap_ns)
        return self._until_ns - now_ns

    def _draw(self, mean_ns: int) -> int:
        return max(1, round(mean_ns * exponential(self.random)))


@define(eq=False)
class RunQueues:
    """The tasks of every CPU."""

    queues: list[FairQueue]
    new_signal: Callable[[], Signal]
    stops: Sequence[Stops]
    """Of each CPU."""
    every_second: Callable[[int], None] = lambda _cpu: None
    """Called with a CPU each second, or, if it is idle then, when it no longer is (a deferrable timer)."""
    threads: list[list[Thread]] = field(init=False)
    """The threads among the tasks of each CPU."""
    alive: int = 0
    """Threads that are not over, those that sleep included."""
    _more: list[Signal] = field(init=False)
    _kworkers: dict[Port, Task] = field(factory=dict)
    _update_ns: list[int] = field(init=False)
    """When each CPU's statistics are to be updated."""

    def __attrs_post_init__(self) -> None:
        self.threads = [[] for _ in self.queues]
        self._more = [self.new_signal() for _ in self.queues]
        self._update_ns = [self._next_update(cpu, 0) for cpu in range(len(self.queues))]
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
        assert thread.cpu is not None, "a thread leaves that was never woken"
        self.queues[thread.cpu].pass_ticks(now_ns)  # at a tick that is due it may be pulled first
        self._pull_if_idle(self._leave(thread, now_ns), now_ns)

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
        stopped_ns = self.stops[port.cpu].left(port.now_ns)
        if stopped_ns:
            return stopped_ns
        queue, task = self.queues[port.cpu], self._kworkers[port]
        queue.pass_ticks(port.now_ns)
        if queue.running is task:
            queue.release(port.now_ns)
        return 0 if queue.running is task else self.wait(port.cpu, port.now_ns)

    def most(self, port: Port) -> int:
        """See `actors.sharing.Sharing`: a kworker lets time pass in a flush, during which nobody preempts it."""
        self.queues[port.cpu].held = True
        return NEVER_NS

    def rest(self, port: Port) -> None:
        """See `actors.sharing.Sharing`."""
        queue, task = self.queues[port.cpu], self._kworkers[port]
        if queue.running is task:
            queue.release(port.now_ns)
        queue.sleep(task, port.now_ns)
        self._pull_if_idle(port.cpu, port.now_ns)

    def _tick(self, cpu: int, now_ns: int) -> None:
        if now_ns >= self._update_ns[cpu] and self.queues[cpu].load:
            self._update_ns[cpu] = self._next_update(cpu, now_ns)
            self.every_second(cpu)
        idle = self._idle()
        if idle is not None:
            self._pull(cpu, idle, now_ns)

    def _next_update(self, cpu: int, now_ns: int) -> int:
        """Give a second from now, rounded to whole ones, to the next from a quarter of one on."""
        skew_ns = cpu * STAT_SKEW_TICKS * self.queues[cpu].tick_ns
        seconds, rest_ns = divmod(now_ns + STAT_INTERVAL_NS + skew_ns, STAT_INTERVAL_NS)
        return (seconds + (rest_ns >= STAT_INTERVAL_NS // 4)) * STAT_INTERVAL_NS - skew_ns

    def _pull_if_idle(self, cpu: int, now_ns: int) -> None:
        for queue in self.queues:  # at a tick that is due somebody may be pulled already
            queue.pass_ticks(now_ns)
        if self.queues[cpu].load:
            return
        for busy in range(len(self.queues)):
            if self._pull(busy, cpu, now_ns):
                return

    def _pull(self, busy: int, idle: int, now_ns: int) -> bool:
        """Move the thread that has waited longest for a CPU to one that is idle; tell whether there was any."""
        running = self.queues[busy].running
        waiting = [thread for thread in self.threads[busy] if thread is not running]
        if not waiting:
            return False
        thread = min(waiting, key=lambda waits: waits.picked)
        self._leave(thread, now_ns, moves=True)
        self._enqueue(idle, thread, now_ns)
        return True

    def _idle(self) -> int | None:
        return next((cpu for cpu, queue in enumerate(self.queues) if not queue.load), None)

    def _leave(self, thread: Thread, now_ns: int, *, moves: bool = False) -> int:
        cpu = thread.cpu
        assert cpu is not None, "a thread leaves that was never woken"
        self.queues[cpu].leave(thread, now_ns, moves=moves)
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
        stopped_ns = self.queues.stops[cpu].left(port.now_ns)
        if stopped_ns:
            return stopped_ns
        running = self.queues.runs(cpu, port.now_ns)
        goes_on = running is self.thread if cpu != port.cpu else running is not None
        return 0 if goes_on else self.queues.wait(cpu, port.now_ns)

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
