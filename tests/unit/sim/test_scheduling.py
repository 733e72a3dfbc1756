"""Who runs where and when: where threads wake, who pulls them, when kworkers have their turn."""

from random import Random

from actors.world import Port
from sim.vmalloc_test.eevdf import FairQueue, Task
from sim.vmalloc_test.scheduling import (
    POLL_NS,
    STAT_INTERVAL_NS,
    STAT_SKEW_TICKS,
    Preempted,
    RunQueues,
    Stops,
    Thread,
    workers_done,
)

TICK = 4_000_000
SLICE = 1_500_000


class Bell:
    """A signal that counts who rang it."""

    def __init__(self) -> None:
        self.rung = False

    def set(self) -> None:
        self.rung = True

    def is_set(self) -> bool:
        return self.rung


def stops(length_ns: int = 0, gap_ns: int = 50 * TICK) -> Stops:
    return Stops(Random(1), gap_ns, length_ns)


def queues(cpus: int = 2) -> RunQueues:
    made = RunQueues([FairQueue(TICK, SLICE) for _ in range(cpus)], Bell, [stops() for _ in range(cpus)])
    made.alive = 1
    return made


def thread() -> Thread:
    return Thread(iter(()), page_ns=0)  # type: ignore[arg-type] # never run


def kworker(cpu: int, now_ns: int = 0) -> Port:
    port = Port(cpu, lambda _completed: None)
    port.now_ns = now_ns
    return port


def at(port: Port, now_ns: int) -> Port:
    port.now_ns = now_ns
    return port


def test_a_thread_wakes_where_there_is_least_to_do() -> None:
    """On the lowest of such CPUs; kworkers count; whoever waits there is told."""
    made = queues(3)
    made.begin(kworker(0))
    bell = made.more(1)
    for expected in (1, 2, 0):
        made.wake(thread(), 0)
        assert len(made.threads[expected]) == 1
    assert bell.is_set()


def test_a_thread_wakes_where_it_ran_if_there_is_as_little_to_do_elsewhere() -> None:
    """Else elsewhere."""
    made, other, sleeper = queues(2), thread(), thread()
    sleeper.cpu = other.cpu = 1
    made.wake(sleeper, 0)
    assert sleeper.cpu == 1
    made.wake(other, 0)
    assert other.cpu == 0


def test_a_cpu_is_idle_with_neither_threads_nor_kworkers() -> None:
    """One of them is enough to be busy."""
    made, busy = queues(2), kworker(1)
    made.wake(thread(), 0)
    assert made.any_idle()
    made.begin(busy)
    assert not made.any_idle()
    made.rest(busy)
    assert made.any_idle()


def test_a_kworker_has_its_turn_when_it_is_picked() -> None:
    """It is asked for again after a while, or at the next tick if that is sooner."""
    made, mine = queues(1), kworker(0, TICK + 100)
    alone = thread()
    made.wake(alone, 0)
    made.begin(mine)
    assert (made.runs(0, TICK + 100), made.turn(mine)) == (alone, POLL_NS)
    assert made.turn(at(mine, 2 * TICK - 7)) == 7
    assert (made.turn(at(mine, 2 * TICK)), made.runs(0, 2 * TICK)) == (0, None)


def test_an_idle_cpu_pulls_who_waits_at_a_tick() -> None:
    """Before its own CPU picks it again: it had waited, and the kworker has had its slice."""
    made, mine, worker = queues(2), kworker(0, 2_000_000), thread()
    made.wake(worker, 0)
    made.begin(mine)
    bell = made.more(1)
    assert (made.turn(mine), worker.cpu) == (0, 0)
    assert (made.turn(at(mine, TICK - 1)), worker.cpu) == (0, 0)
    assert (made.turn(at(mine, TICK)), worker.cpu) == (0, 1)
    assert (made.threads, made.runs(1, TICK)) == ([[], [worker]], worker)
    assert bell.is_set()


def test_who_is_preempted_at_a_tick_is_not_pulled_at_that_tick() -> None:
    """But at the next one, if it still waits."""
    made, mine, worker = queues(2), kworker(0, TICK + 100), thread()
    made.wake(worker, 0)
    made.begin(mine)
    assert (made.turn(at(mine, 2 * TICK)), worker.cpu) == (0, 0)
    made.turn(at(mine, 3 * TICK))
    assert worker.cpu == 1


def test_who_runs_is_pulled_by_nobody() -> None:
    """A thread that is alone stays where it is, with any number of idle CPUs."""
    made, worker = queues(3), thread()
    made.wake(worker, 0)
    assert made.runs(0, 50 * TICK) is worker


def test_a_cpu_whose_last_thread_is_over_pulls_at_once() -> None:
    """Not before, and only one."""
    made = queues(2)
    workers = [thread() for _ in range(5)]
    for worker in workers:
        made.wake(worker, 0)
    assert [worker.cpu for worker in workers] == [0, 1, 0, 1, 0]
    made.leave(workers[1], 1000)
    assert [len(threads) for threads in made.threads] == [3, 1]
    made.leave(workers[3], 2000)
    assert [len(threads) for threads in made.threads] == [2, 1]
    assert made.runs(1, 2000) is workers[2]


def test_a_cpu_whose_kworker_sleeps_pulls_at_once() -> None:
    """Where there is nothing else to do."""
    made, mine = queues(2), kworker(1)
    made.begin(mine)
    first, second = thread(), thread()
    for worker in (first, second):
        made.wake(worker, 0)
    assert made.threads == [[first, second], []]
    made.rest(at(mine, 1000))
    assert made.threads == [[first], [second]]


def test_a_thread_that_a_tick_has_moved_already_is_not_moved_again() -> None:
    """A CPU becomes idle at the very time of a tick, of which the other CPU has not taken note yet."""
    for now_ns, count in ((TICK, 4), (TICK + 10, 5)):
        made = queues(2)
        workers = [thread() for _ in range(count)]
        for worker in workers:
            made.wake(worker, 0)
        made.leave(workers[1], 1000)
        made.leave(workers[3], now_ns)
        assert [len(threads) for threads in made.threads] == [count - 3, 1]
        for cpu, queue in enumerate(made.queues):
            assert set(map(id, queue.tasks)) == set(map(id, made.threads[cpu]))


def test_of_those_that_wait_the_one_that_ran_least_recently_is_pulled() -> None:
    """Not the one that came first (`detach_tasks()`)."""
    made, mine = queues(2), kworker(1)
    made.begin(mine)
    first, second, third = thread(), thread(), thread()
    for worker in (first, second):
        made.wake(worker, 0)
    made.rest(at(mine, 100))
    assert made.threads == [[first], [second]]
    made.begin(at(mine, 200))
    made.wake(third, 300)
    assert made.threads[0] == [first, third]
    assert made.runs(0, TICK) is third
    made.leave(second, TICK + 200)
    made.rest(at(mine, TICK + 300))
    assert made.threads == [[third], [first]]


def test_who_waits_longest_is_pulled_wherever_it_stands_in_the_queue() -> None:
    """Each time one is picked its wait begins anew, and so does that of who has just come."""
    made = queues(2)
    others = [kworker(1) for _ in range(5)]
    for other in others:
        made.begin(other)
    first, second, third, new = (thread() for _ in range(4))
    for worker in (first, second, third):
        made.wake(worker, 0)
    assert [made.runs(0, tick * TICK) for tick in range(5)] == [first, second, third, first, second]
    made.wake(new, 4 * TICK + 50)
    assert made.threads == [[first, second, third, new], []]
    for other in others:
        made.rest(at(other, 4 * TICK + 100))
    assert made.threads == [[first, second, new], [third]]


def test_who_is_pulled_keeps_what_is_left_of_its_slice() -> None:
    """It was preempted in the middle of one by somebody who is owed time."""
    made, worker, owed = queues(2), thread(), Task()
    made.wake(worker, 0)
    owed.lag_ns = TICK
    made.runs(0, TICK)
    made.queues[0].wake(owed, TICK + 500_000)
    assert made.runs(0, TICK + 500_000) is None
    made.runs(0, 2 * TICK)
    assert (worker.cpu, worker.deadline_ns - worker.vruntime_ns) == (1, SLICE - 500_000)


def test_a_kworker_that_has_something_to_do_already_does_not_wake_again() -> None:
    """So no account is kept then, and who has had its slice runs until the tick."""
    made, mine, worker = queues(1), kworker(0, TICK + 500_000), thread()
    made.wake(worker, 0)
    made.begin(mine)
    made.begin(at(mine, TICK + 2_000_000))
    assert made.runs(0, TICK + 2_000_000) is worker


def test_a_thread_leaves_from_where_a_tick_that_is_due_moves_it() -> None:
    """Another CPU has become idle before that tick."""
    made, mine = queues(2), kworker(1)
    made.begin(mine)
    first, second = thread(), thread()
    for worker in (first, second):
        made.wake(worker, 0)
    made.queues[1].sleep(made._kworkers[mine], 10)
    made.leave(second, TICK)
    assert made.threads == [[first], []]
    assert [len(queue.tasks) for queue in made.queues] == [1, 0]


def test_nobody_preempts_a_kworker_that_lets_time_pass() -> None:
    """A flush: a tick comes meanwhile, and the thread has its turn when the kworker asks again."""
    made, mine, worker = queues(1), kworker(0, 2 * TICK), thread()
    made.wake(worker, 0)
    made.begin(at(mine, TICK + 100))
    assert made.turn(at(mine, 2 * TICK)) == 0
    made.most(mine)
    share = Preempted(worker, made)
    assert share.turn(at(kworker(0), 3 * TICK + 100)) > 0
    assert made.turn(at(mine, 3 * TICK + 200)) > 0
    assert share.turn(at(kworker(0), 3 * TICK + 200)) == 0


def test_a_kworker_that_goes_to_sleep_leaves_the_one_that_runs_alone() -> None:
    """It had been preempted before it came to its wait; the other one is still not to be preempted."""
    made, first, second = queues(1), kworker(0), kworker(0)
    for mine in (first, second):
        made.begin(mine)
    assert made.turn(at(second, TICK)) == 0
    made.most(second)
    made.rest(at(first, TICK + 100))
    assert made.queues[0].held
    assert made.turn(at(second, TICK + 200)) == 0
    assert not made.queues[0].held


def test_a_thread_that_is_pulled_waits_for_its_own_turn_and_its_own_cpu() -> None:
    """Not while another thread runs there, nor for the CPU that it has left, which stands still."""
    made, mine = queues(2), kworker(0, 2_000_000)
    worker, other = thread(), thread()
    made.wake(worker, 0)
    made.begin(mine)
    share, old = Preempted(worker, made), kworker(0)
    assert (share.turn(at(old, TICK)), worker.cpu) == (0, 1)
    made.stops = [stops(length_ns=1000 * TICK, gap_ns=1), stops()]
    assert share.turn(at(old, TICK + 10)) == 0
    other.lag_ns = TICK
    other.cpu = 1
    made._enqueue(1, other, TICK + 2_000_000)
    assert made.runs(1, TICK + 2_000_000) is other
    assert share.turn(at(old, TICK + 2_000_000)) > 0


def test_a_stop_that_an_idle_cpu_has_missed_does_not_come_when_it_is_busy_again() -> None:
    """The next one is as far away as ever."""
    made = stops(length_ns=2_000_000, gap_ns=20_000_000)
    asked = [made.left(step * 400_000_000 + again) for step in range(1, 100) for again in (0, 1000)]
    assert not any(asked)


def test_a_cpu_that_is_stopped_runs_nobody() -> None:
    """From when it is noticed for as long as the stop takes, a thread as well as a kworker; then both go on."""
    made, mine, worker = queues(1), kworker(0), thread()
    made.stops = [stops(length_ns=TICK)]
    made.wake(worker, 0)
    share, cpu = Preempted(worker, made), kworker(0)
    now_ns, stopped = 0, 0
    for _ in range(4000):
        now_ns += 100_000
        left_ns = share.turn(at(cpu, now_ns))
        if left_ns:
            made.begin(at(mine, now_ns))
            assert made.turn(mine) == left_ns
            made.rest(mine)
            stopped += left_ns
            now_ns += left_ns
            assert share.turn(at(cpu, now_ns)) == 0 or made.runs(0, now_ns) is None
    assert 0 < stopped < now_ns


def test_stops_are_as_often_and_as_long_as_they_are_said_to_be() -> None:
    """Of a CPU that always asks; one that was idle meanwhile has missed them."""
    made = stops(length_ns=2_000_000, gap_ns=20_000_000)
    now_ns = 0
    lengths: list[int] = []
    while len(lengths) < 2000:
        now_ns += 10_000
        left_ns = made.left(now_ns)
        if left_ns:
            assert made.left(now_ns + left_ns // 2) == left_ns - left_ns // 2
            lengths.append(left_ns)
            now_ns += left_ns
    assert abs(sum(lengths) / 2000 / 2_000_000 - 1) < 0.1
    assert abs((now_ns - sum(lengths)) / 2000 / 20_000_000 - 1) < 0.1
    idle = stops(length_ns=2_000_000, gap_ns=20_000_000)
    assert sum(idle.left(step * 40_000_000) > 0 for step in range(1, 500)) == 0


def test_each_second_a_cpu_that_is_not_idle_has_statistics_to_update() -> None:
    """Some ticks earlier than the CPU before; one that is idle then has when it no longer is."""
    made = queues(3)
    told: list[tuple[int, int]] = []
    made.every_second = lambda cpu: told.append((cpu, made.queues[cpu].ticked_ns))
    for _ in range(2):
        made.wake(thread(), 0)
    for cpu in range(3):
        for tick in range(2 * STAT_INTERVAL_NS // TICK + 50):
            made.runs(cpu, tick * TICK)
    second, skew = STAT_INTERVAL_NS, STAT_SKEW_TICKS * TICK
    assert told == [(0, second), (0, 2 * second), (1, second - skew), (1, 2 * second - skew)]
    made.wake(thread(), 2 * second + 50 * TICK)
    made.runs(2, 2 * second + 51 * TICK)
    assert told[4:] == [(2, 2 * second + 51 * TICK)]


def test_a_thread_goes_on_when_a_thread_of_its_cpu_has_its_turn() -> None:
    """In the middle of an operation it waits for kworkers only, and lets time pass up to the next tick."""
    made, mine = queues(1), kworker(0, TICK + 2_000_000)
    worker = thread()
    made.wake(worker, 0)
    share, cpu = Preempted(worker, made), at(kworker(0), TICK + 2_000_000)
    assert share.turn(cpu) == 0
    assert share.most(cpu) == 2_000_000
    made.begin(mine)
    assert share.turn(cpu) == POLL_NS
    made.rest(mine)
    assert share.turn(cpu) == 0


def test_a_thread_that_is_pulled_goes_on_where_it_is() -> None:
    """Whoever carries out its operation asks for the new CPU."""
    made, mine = queues(2), kworker(0, 2_000_000)
    worker = thread()
    made.wake(worker, 0)
    made.begin(mine)
    share = Preempted(worker, made)
    assert share.turn(at(kworker(0), 2_000_000)) == POLL_NS
    assert (share.turn(at(kworker(0), TICK)), worker.cpu) == (0, 1)


def test_the_last_of_some_workers_lets_go_on() -> None:
    """And only the last, at its time."""
    done: list[int] = []
    over = workers_done(2, done.append)
    over(3)
    assert not done
    over(5)
    assert done == [5]


def test_with_the_last_thread_all_cpus_are_woken() -> None:
    """So that they can end."""
    made = queues(2)
    bells = [made.more(0), made.more(1)]
    made.end()
    assert all(bell.is_set() for bell in bells)
