"""Who runs where and when: threads on the run queues of CPUs, kworkers between them, the balance between CPUs.

Mirrors of kernel/sched/fair.c what decides from whose pools a thread allocates, and how many do so during a purge:

- a thread that is woken goes to the CPU with the least to do, to where it ran last if that is one of them;
- a kworker that is woken preempts a thread that is alone on its CPU at once; one of several has just got its turn,
  and keeps it (`RUN_TO_PARITY`) until the next tick;
- at a tick a CPU that has nothing to do pulls a thread from one with more than one thing to do, kworkers counted;
- at a tick the next one of the CPU has its turn, if the one that runs has had its slice.

Nothing else moves a thread.
"""

from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from attrs import define, field

from actors.world import Signal


@define(eq=False)
class Thread:
    """A thread: what it does next, what it is owed for its latest operation, and who waits for its end."""

    steps: Generator[Any, Any, None]
    page_ns: int
    """How long a page of its allocations takes besides the area."""
    answer: Any = None
    over: Callable[[], None] = lambda: None
    cpu: int | None = None
    """Where it runs, or ran last."""


POLL_NS = 50_000
"""How often a thread that was preempted looks whether the kworker is done."""


@define(eq=False)
class RunQueues:
    """The threads of every CPU, the one that runs at the head."""

    queues: list[deque[Thread]]
    new_signal: Callable[[], Signal]
    tick_ns: int
    """The time between two ticks."""
    slice_ns: int
    """What a turn lasts at least."""
    busy: Callable[[int], int] = lambda _cpu: 0
    """How many kworkers of a CPU have something to do."""
    _more: list[Signal] = field(init=False)
    _preempted_ns: dict[int, int] = field(factory=dict)
    """When kworkers of a CPU that have something to do have begun, preempting its threads, or will."""
    alive: int = 0
    """Threads that are not over, those that sleep included."""

    def __attrs_post_init__(self) -> None:
        self._more = [self.new_signal() for _ in self.queues]

    def load(self, cpu: int) -> int:
        """Give how much a CPU has to do."""
        return len(self.queues[cpu]) + self.busy(cpu)

    def any_idle(self) -> bool:
        """Tell whether a CPU has nothing to do."""
        return any(not self.load(cpu) for cpu in range(len(self.queues)))

    def more(self, cpu: int) -> Signal:
        """Give what is set when a CPU may have got something to do."""
        return self._more[cpu]

    def wake(self, thread: Thread) -> None:
        """Let a thread run where there is least to do: of such CPUs on that where it ran last, or on the lowest."""
        cpus = range(len(self.queues))
        self._enqueue(min(cpus, key=lambda cpu: (self.load(cpu), cpu != thread.cpu, cpu)), thread)

    def turn(self, cpu: int, now_ns: int) -> int:
        """Give how long a kworker of `cpu` has to wait; see `actors.sharing`."""
        threads = len(self.queues[cpu])
        since_ns = self._since(cpu, now_ns)
        if not threads:
            return 0
        if since_ns > now_ns:
            return since_ns - now_ns
        turns, left_ns = self._turns(since_ns, now_ns)
        return left_ns if turns % (threads + 1) else 0

    def wait(self, cpu: int, now_ns: int) -> int:
        """Give how long the thread at the head of `cpu` has to wait for kworkers, at most `POLL_NS` at once."""
        if not self.busy(cpu):
            return 0
        since_ns = self._since(cpu, now_ns)
        if since_ns > now_ns:
            return 0
        turns, left_ns = self._turns(since_ns, now_ns)
        return 0 if turns % (len(self.queues[cpu]) + 1) else min(left_ns, POLL_NS)

    def idle(self, cpu: int) -> None:
        """Take note that no kworker of `cpu` has anything left to do: who is woken next preempts anew."""
        self._preempted_ns.pop(cpu, None)

    def _since(self, cpu: int, now_ns: int) -> int:
        """Give when kworkers of a CPU, which have something to do now, have begun or will."""
        alone = len(self.queues[cpu]) < 2
        begins_ns = now_ns if alone else (now_ns // self.tick_ns + 1) * self.tick_ns
        return self._preempted_ns.setdefault(cpu, begins_ns)

    def puller(self, cpu: int, now_ns: int) -> int | None:
        """Give the CPU that pulls the thread at the head of `cpu`: an idle one, once a tick has come."""
        since_ns = self._preempted_ns.get(cpu, now_ns)
        if self.load(cpu) < 2 or since_ns // self.tick_ns == now_ns // self.tick_ns:
            return None
        return next((other for other in range(len(self.queues)) if not self.load(other)), None)

    def ticked(self, since_ns: int, now_ns: int) -> bool:
        """Tell whether a turn that began then is over by now."""
        return self._turns(since_ns, now_ns)[0] > 0

    def _turns(self, since_ns: int, now_ns: int) -> tuple[int, int]:
        """Give the turns that have ended since then, the first after a slice, and the time to the next tick."""
        ended = max(0, now_ns // self.tick_ns - (since_ns + self.slice_ns) // self.tick_ns)
        return ended, self.tick_ns - now_ns % self.tick_ns

    def move(self, cpu: int, to: int) -> None:
        """Move the thread at the head of `cpu` to another CPU."""
        self._enqueue(to, self.queues[cpu].popleft())

    def end(self) -> None:
        """Take note that a thread is over; with the last one all CPUs are woken."""
        self.alive -= 1
        if not self.alive:
            for cpu in range(len(self.queues)):
                self._signal(cpu)

    def _enqueue(self, cpu: int, thread: Thread) -> None:
        thread.cpu = cpu
        self.queues[cpu].append(thread)
        self._signal(cpu)

    def _signal(self, cpu: int) -> None:
        self._more[cpu].set()
        self._more[cpu] = self.new_signal()


def workers_done(count: int, then: Callable[[], None]) -> Callable[[], None]:
    """Give what each of `count` threads calls when it is over; the last call calls `then`."""
    missing = count

    def one() -> None:
        nonlocal missing
        missing -= 1
        if not missing:
            then()

    return one
