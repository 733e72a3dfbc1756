"""EEVDF: which of a CPU's tasks runs, all of nice 0.

Mirrors what kernel/sched/fair.c (v6.12) does with one queue, `struct cfs_rq`: a task's `vruntime` is the time for
which it has run. The average of all is where the queue stands, and a task is eligible that has run no longer than
that. Of those the one with the earliest deadline runs (`pick_eevdf()`):

- a task that is picked runs until it is no longer eligible or its deadline has passed (RUN_TO_PARITY); then it has
  a new deadline, a slice later. That is looked at when accounts are kept (`update_curr()`): at ticks, and whenever
  a task wakes or sleeps;
- a task that wakes is placed at the average, ahead of it by what it was owed when it went to sleep (PLACE_LAG);
- one that sleeps and has run for longer than the average stays in the queue, until it is eligible and would be
  picked (DELAY_DEQUEUE), and is owed nothing then (DELAY_ZERO).
"""

from collections.abc import Callable, Sequence

from attrs import define, field


@define(eq=False)
class Task:
    """A thread or a kworker, as the scheduler sees it (`struct sched_entity`)."""

    vruntime_ns: int = field(default=0, init=False)
    deadline_ns: int = field(default=0, init=False)
    lag_ns: int = field(default=0, init=False)
    """What it was owed when it left a queue."""
    left_ns: int | None = field(default=None, init=False)
    """How far its deadline was when it left a queue for another one (kernel: `rel_deadline`)."""
    until_ns: int = field(default=-1, init=False)
    """The deadline with which it was picked (kernel: kept in `vlag` while it runs)."""
    delayed: bool = field(default=False, init=False)
    """Whether it sleeps, and is still in the queue."""
    picked: int = field(default=0, init=False)
    """The turn at which it was last picked or put into the queue: of those that wait the lowest waits longest."""


@define(eq=False)
class FairQueue:
    """The tasks of one CPU, and which of them runs (`struct cfs_rq`). It does not go back in time."""

    tick_ns: int
    slice_ns: int
    at_tick: Callable[[int], None] = lambda _now_ns: None
    """Called at each tick, before another task may be picked."""
    tasks: list[Task] = field(factory=list)
    running: Task | None = None
    ticked_ns: int = 0
    """The latest tick."""
    held: bool = False
    """Whether the running task is not to be preempted."""
    _resched: bool = False
    """Whether another task is to be picked as soon as it may be preempted."""
    _updated_ns: int = 0
    """Up to when the running task's account is kept."""
    _average_ns: int = 0
    """Where the queue stood when its last task left it."""
    _turns: int = 0

    @property
    def load(self) -> int:
        """How many tasks do not sleep."""
        return sum(not task.delayed for task in self.tasks)

    def pass_ticks(self, now_ns: int) -> None:
        """Let the latest tick happen that is due by now, if one is; at it the running task may be preempted.

        There are several due only of a CPU that was idle or stood still, and then the timer interrupts it once.
        """
        due = (now_ns - self.ticked_ns) // self.tick_ns
        if due > 0:
            self.ticked_ns += due * self.tick_ns
            passed = self._update(self.ticked_ns)
            self.at_tick(self.ticked_ns)
            if passed and len(self.tasks) > 1:
                self._preempt()

    def release(self, now_ns: int) -> None:
        """Let the running task be preempted again, now if that is due."""
        self.pass_ticks(now_ns)
        self.held = False
        if self._resched:
            self._update(now_ns)
            self._preempt()

    def wake(self, task: Task, now_ns: int) -> None:
        """Put `task` into the queue; it runs at once if it is the one to be picked (`wakeup_preempt()`)."""
        self.pass_ticks(now_ns)
        if task.delayed:  # looked at before the account of the one that runs is kept (`requeue_delayed_entity()`)
            task.delayed = False
            if task.vruntime_ns < self._average():
                self._leave(task)
                task.lag_ns = 0
        resched = self._update(now_ns) and len(self.tasks) > 1
        if task not in self.tasks:
            self._place(task)
        if self.running is None or resched or self._pick() is task:
            self._preempt()

    def sleep(self, task: Task, now_ns: int) -> None:
        """Let `task` sleep, in the queue while it has run for longer than the average."""
        self.pass_ticks(now_ns)
        self._update(now_ns)
        if self._eligible(task):
            self._leave(task)
        else:
            task.delayed = True
        if self.running is task:
            self.running = None
            self._switch()

    def leave(self, task: Task, now_ns: int, *, moves: bool = False) -> None:
        """Take `task` out of the queue: it is over or, with what is left of its slice, `moves` to another one."""
        self.pass_ticks(now_ns)
        self._update(now_ns)
        self._leave(task)
        if moves:
            task.left_ns = task.deadline_ns - task.vruntime_ns
        if self.running is task:
            self.running = None
            self._switch()

    def _update(self, now_ns: int) -> bool:
        """Account for the running task; tell whether another one may be picked.

        So it is when its deadline has passed, which is a slice later then, and, if that has happened since it was
        picked, when it has run for longer than the average (`did_preempt_short()`).
        """
        ran_ns = max(0, now_ns - self._updated_ns)
        self._updated_ns += ran_ns
        task = self.running
        if task is None:
            return False
        task.vruntime_ns += ran_ns
        if task.vruntime_ns < task.deadline_ns:
            return task.until_ns != task.deadline_ns and not self._eligible(task)
        task.deadline_ns = task.vruntime_ns + self.slice_ns
        return True

    def _preempt(self) -> None:
        self._resched = self.held and self.running is not None
        if not self._resched:
            self._switch()

    def _switch(self) -> None:
        """Let the task run that is picked; one that is picked and sleeps leaves the queue at last."""
        task = self._pick()
        while task is not None and task.delayed:
            self._leave(task)
            task.delayed, task.lag_ns = False, 0
            task = self._pick()
        if task is self.running:
            return
        if task is not None:
            task.until_ns = task.deadline_ns
            self._take_turn(task)
        self.running = task

    def _pick(self) -> Task | None:
        running = self.running
        if len(self.tasks) < 2:
            return self.tasks[0] if self.tasks else None
        if running is not None and not self._eligible(running):
            running = None
        if running is not None and running.until_ns == running.deadline_ns:
            return running
        others = [task for task in self.tasks if task is not self.running and self._eligible(task)]
        best = min(others, key=_deadline, default=None)
        if best is None or (running is not None and running.deadline_ns < best.deadline_ns):
            return running
        return best

    def _eligible(self, task: Task) -> bool:
        return task.vruntime_ns * len(self.tasks) <= _sum(self.tasks)

    def _average(self) -> int:
        return _sum(self.tasks) // len(self.tasks) if self.tasks else self._average_ns

    def _place(self, task: Task) -> None:
        tasks = len(self.tasks)
        lag_ns = task.lag_ns * (tasks + 1) // tasks if tasks else 0
        task.vruntime_ns = self._average() - lag_ns
        task.deadline_ns = task.vruntime_ns + (self.slice_ns if task.left_ns is None else task.left_ns)
        task.left_ns = None
        self._take_turn(task)
        self.tasks.append(task)

    def _take_turn(self, task: Task) -> None:
        self._turns += 1
        task.picked = self._turns

    def _leave(self, task: Task) -> None:
        self._average_ns = self._average()
        most_ns = max(2 * self.slice_ns, self.tick_ns)
        task.lag_ns = max(-most_ns, min(self._average_ns - task.vruntime_ns, most_ns))
        self.tasks.remove(task)


def _deadline(task: Task) -> int:
    return task.deadline_ns


def _sum(tasks: Sequence[Task]) -> int:
    return sum(task.vruntime_ns for task in tasks)
