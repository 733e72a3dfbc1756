"""Who runs where and when: the four rules of the run queues."""

from collections import deque

from sim.vmalloc_test.scheduling import RunQueues, Thread, workers_done

TICK = 1000
SLICE = 300


class Bell:
    """A signal that counts who rang it."""

    def __init__(self) -> None:
        self.rung = False

    def set(self) -> None:
        self.rung = True

    def is_set(self) -> bool:
        return self.rung


def queues(cpus: int = 2) -> RunQueues:
    made = RunQueues([deque() for _ in range(cpus)], Bell, TICK, SLICE)
    made.alive = 1
    return made


def thread() -> Thread:
    return Thread(iter(()), page_ns=0)  # type: ignore[arg-type] # never run


def test_a_thread_wakes_where_there_is_least_to_do() -> None:
    """On the lowest of such CPUs; kworkers count; whoever waits there is told."""
    made = queues(3)
    made.busy = lambda cpu: int(cpu == 0)
    bell = made.more(1)
    for expected in (1, 2, 0):
        made.wake(thread())
        assert len(made.queues[expected]) == 1
    assert bell.is_set()


def test_a_thread_wakes_where_it_ran_if_there_is_as_little_to_do_elsewhere() -> None:
    """Else elsewhere."""
    made, other = queues(2), thread()
    sleeper = thread()
    sleeper.cpu = 1
    made.wake(sleeper)
    assert sleeper.cpu == 1
    other.cpu = 1
    made.wake(other)
    assert other.cpu == 0


def test_a_cpu_is_idle_with_neither_threads_nor_kworkers() -> None:
    """One of them is enough to be busy."""
    made = queues(2)
    made.wake(thread())
    assert made.any_idle()
    made.busy = lambda cpu: cpu
    assert not made.any_idle()


def test_a_kworker_preempts_a_lone_thread_at_once_and_takes_turns_at_ticks() -> None:
    """It begins at 100 and keeps the CPU for a slice and up to a tick; then they take turns, tick by tick."""
    made = queues(1)
    made.busy = lambda _cpu: 1
    made.wake(thread())
    owners = []
    for now_ns in (100, 999, 1000, 1999, 2000, 3500):
        waits = made.turn(0, now_ns), made.wait(0, now_ns)
        assert sum(wait > 0 for wait in waits) == 1, "one of both has the CPU"
        owners.append("thread" if waits[0] else "kworker")
    assert owners == ["kworker", "kworker", "thread", "thread", "kworker", "thread"]


def test_a_tick_within_a_slice_ends_no_turn() -> None:
    """A kworker that began at 900 is not put off by the tick at 1000, but by the one at 2000."""
    made = queues(1)
    made.busy = lambda _cpu: 1
    made.wake(thread())
    assert [made.turn(0, now_ns) > 0 for now_ns in (900, 1000, 1999, 2000)] == [False, False, False, True]


def test_a_kworker_waits_for_the_tick_where_threads_take_turns() -> None:
    """With two threads it begins at the next tick, and each third turn is its own."""
    made = queues(1)
    made.busy = lambda _cpu: 1
    made.wake(thread())
    made.wake(thread())
    assert made.turn(0, 100) == 900
    assert made.wait(0, 100) == 0
    assert [made.turn(0, 1000 * tick) > 0 for tick in range(1, 7)] == [False, True, True, False, True, True]


def test_an_idle_cpu_pulls_at_a_tick() -> None:
    """Not before one has come since the thread was preempted, and only from a CPU with more than the thread."""
    made = queues(2)
    made.wake(thread())
    assert made.puller(0, 5000) is None, "alone on its CPU"
    made.busy = lambda cpu: int(cpu == 0)
    made.turn(0, 5100)
    assert made.puller(0, 5999) is None
    assert made.puller(0, 6000) == 1
    made.move(0, 1)
    assert [len(queue) for queue in made.queues] == [0, 1]
    assert made.puller(1, 7000) is None


def test_a_kworker_that_is_done_is_forgotten() -> None:
    """Later work of the same CPU preempts anew, at once."""
    made = queues(1)
    working = 1
    made.busy = lambda _cpu: working
    made.wake(thread())
    made.turn(0, 100)
    working = 0
    made.idle(0)
    assert made.wait(0, 1500) == 0
    working = 1
    assert made.turn(0, 1600) == 0


def test_a_kworker_that_is_done_is_forgotten_where_no_thread_was() -> None:
    """The next one has the CPU when a thread comes, for its own slice, and not what was left of the first one's."""
    made = queues(1)
    made.busy = lambda _cpu: 1
    assert made.turn(0, 100) == 0
    made.idle(0)
    assert made.turn(0, 1200) == 0
    made.wake(thread())
    assert made.turn(0, 1200) == 0
    assert made.wait(0, 1200) == 800
    assert made.turn(0, 2000) == 1000


def test_the_last_of_some_workers_lets_go_on() -> None:
    """And only the last."""
    done: list[str] = []
    over = workers_done(2, lambda: done.append("over"))
    over()
    assert not done
    over()
    assert done == ["over"]


def test_with_the_last_thread_all_cpus_are_woken() -> None:
    """So that they can end."""
    made = queues(2)
    bells = [made.more(0), made.more(1)]
    made.end()
    assert all(bell.is_set() for bell in bells)
