"""EEVDF: who runs, as kernel/sched/fair.c of v6.12 has it; times are microseconds here, to be read more easily."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sim.vmalloc_test.eevdf import FairQueue, Task

TICK = 4000
SLICE = 1500


def queue(*tasks: Task) -> FairQueue:
    """Make a queue in which `tasks` have woken at the beginning, one after the other."""
    made = FairQueue(TICK, SLICE)
    for task in tasks:
        made.wake(task, 0)
    return made


def runs(made: FairQueue, now: int) -> Task | None:
    made.pass_ticks(now)
    return made.running


def test_who_wakes_within_the_slice_after_a_tick_waits_for_the_next_one() -> None:
    """The deadline of the one that runs was set at the tick, and is earlier."""
    thread, kworker = Task(), Task()
    made = queue(thread)
    made.wake(kworker, 4500)
    assert runs(made, 7999) is thread
    assert runs(made, 8000) is kworker


def test_who_wakes_later_preempts_at_once() -> None:
    """The one that runs has had its slice: its new deadline is no earlier."""
    thread, kworker = Task(), Task()
    made = queue(thread)
    made.wake(kworker, 5500)
    assert made.running is kworker


def test_of_two_that_take_turns_the_one_that_waits_comes_before_a_third() -> None:
    """Who wakes ends the turn of the one that has had its slice; who has run least goes on, then the new one."""
    first, second, third = Task(), Task(), Task()
    made = queue(first, second)
    assert [runs(made, now) for now in (4000, 8000, 12_000, 16_000)] == [second, first, second, first]
    made.wake(third, 18_000)
    assert made.running is second
    assert runs(made, 19_999) is second
    assert runs(made, 20_000) is third


def test_who_had_to_wait_and_ran_shortly_is_owed_time_and_preempts_when_it_wakes() -> None:
    """Its lag is what it was behind the average (PLACE_LAG), and the wait was 3500 of a CPU that two share."""
    thread, kworker = Task(), Task()
    made = queue(thread)
    made.wake(kworker, 4500)
    assert runs(made, 8000) is kworker
    made.sleep(kworker, 8100)
    assert (kworker.lag_ns, made.tasks, made.running) == ((3500 - 100) // 2, [thread], thread)
    made.wake(kworker, 12_100)
    assert made.running is kworker, "within the slice after the tick at 12,000"


def test_who_ran_for_longer_than_the_average_stays_until_it_has_waited_for_that() -> None:
    """It does not run, nor counts, and leaves when it would be picked, owed nothing (DELAY_DEQUEUE, DELAY_ZERO)."""
    thread, kworker = Task(), Task()
    made = queue(thread)
    made.wake(kworker, 5500)
    made.sleep(kworker, 6500)
    assert (made.running, made.load, kworker in made.tasks) == (thread, 1, True)
    assert runs(made, 8000) is thread
    assert (kworker in made.tasks, kworker.lag_ns, kworker.delayed) == (False, 0, False)


def test_who_wakes_while_it_is_still_there_goes_on_from_where_it_was() -> None:
    """It has run for 1000 more than the other, and waits until that has caught up."""
    thread, kworker = Task(), Task()
    made = queue(thread)
    made.wake(kworker, 5500)
    made.sleep(kworker, 6500)
    made.wake(kworker, 6700)
    assert (made.running, made.load) == (thread, 2)
    assert kworker.vruntime_ns - thread.vruntime_ns == 800
    assert runs(made, 8000) is kworker


def test_who_wakes_with_time_to_its_credit_is_placed_before_the_average_by_all_of_it() -> None:
    """Among two that are there it moves the average, and so is placed further before it: 3/2 of what it is owed."""
    first, second, third = Task(), Task(), Task()
    made = queue(first, second)
    third.lag_ns = 600
    made.wake(third, 0)
    assert third.vruntime_ns == -900
    assert sum(task.vruntime_ns for task in made.tasks) / 3 - third.vruntime_ns == 600


def test_nobody_is_owed_or_owes_more_than_a_tick_or_two_slices() -> None:
    """`entity_lag()`; here a tick of 4000, and then two slices of 3000."""
    for slice_ns, most in ((1500, 4000), (3000, 6000)):
        made, waits, ran = FairQueue(TICK, slice_ns), Task(), Task()
        made.wake(waits, 0)
        made.wake(ran, 0)
        ran.vruntime_ns, waits.vruntime_ns = 50_000, 0
        made.leave(ran, 0)
        assert ran.lag_ns == -most
        made.wake(ran, 0)
        ran.vruntime_ns, waits.vruntime_ns = 0, 50_000
        made.leave(ran, 0)
        assert ran.lag_ns == most


def test_who_wakes_with_time_to_its_credit_while_it_is_still_there_loses_it() -> None:
    """The other one has caught up: it is placed at the average, owed nothing (DELAY_ZERO)."""
    thread, kworker = Task(), Task()
    made = queue(thread)
    made.wake(kworker, 5500)
    made.sleep(kworker, 5700)
    assert kworker.delayed
    made.pass_ticks(7999)
    made._update(7999)
    made.wake(kworker, 7999)
    assert (kworker.vruntime_ns, thread.vruntime_ns) == (7799, 7799)


def test_who_has_had_its_slice_gives_way_when_it_has_run_for_longer_than_the_average() -> None:
    """It was not picked anew, so nothing protects it: at the next tick, before its new deadline."""
    thread, kworker = Task(), Task()
    made = queue(thread)
    kworker.lag_ns = -300
    made.wake(kworker, 7000)
    assert made.running is thread
    assert thread.deadline_ns == 8500
    assert runs(made, 8000) is kworker


def test_who_moves_keeps_what_is_left_of_its_slice() -> None:
    """And one that is over does not (`rel_deadline`)."""
    moves, stays = Task(), Task()
    made, other = queue(moves, stays), queue(Task())
    made.leave(moves, 1000, moves=True)
    other.wake(moves, 1000)
    assert moves.deadline_ns - moves.vruntime_ns == SLICE - 1000
    made.leave(stays, 2000)
    other.wake(stays, 2000)
    assert stays.deadline_ns - stays.vruntime_ns == SLICE


def test_who_is_picked_again_is_not_protected_by_its_new_deadline() -> None:
    """`set_next_entity()` is not called for who runs already: beyond the average it gives way if another wakes."""
    thread, waits, third = Task(), Task(), Task()
    made = queue(thread)
    waits.lag_ns = -2000
    made.wake(waits, 1000)
    assert runs(made, 4000) is thread
    assert (thread.deadline_ns, waits.vruntime_ns) == (5500, 5000)
    made.wake(third, 5200)
    assert made.running is waits


def test_who_moved_has_a_whole_slice_when_it_wakes_the_next_time() -> None:
    """What was left is used up once (`place_entity()` clears `rel_deadline`)."""
    moves = Task()
    made, other = queue(moves, Task()), queue(Task())
    made.leave(moves, 1000, moves=True)
    other.wake(moves, 1000)
    other.leave(moves, 1100)
    other.wake(moves, 1200)
    assert moves.deadline_ns - moves.vruntime_ns == SLICE


def test_whether_who_is_still_there_is_owed_time_is_judged_by_the_last_account() -> None:
    """The other one has caught up by now, but that is not yet known (`requeue_delayed_entity()`)."""
    thread, kworker = Task(), Task()
    made = queue(thread)
    made.wake(kworker, 5500)
    made.sleep(kworker, 5700)
    made.wake(kworker, 6500)
    assert (kworker.vruntime_ns, thread.vruntime_ns) == (5700, 6300)


def test_who_is_held_is_preempted_when_it_is_released() -> None:
    """A tick and somebody who is owed time come meanwhile."""
    thread, kworker = Task(), Task()
    made = queue(thread)
    made.wake(kworker, 5500)
    made.held = True
    assert runs(made, 8000) is kworker
    made.release(8300)
    assert made.running is thread
    kworker.lag_ns, made.held = 0, True
    third = Task()
    third.lag_ns = 3000
    made.wake(third, 8400)
    assert made.running is thread
    made.release(8500)
    assert made.running is third


def test_of_ticks_that_a_cpu_has_missed_the_latest_comes() -> None:
    """It stood still meanwhile."""
    made = queue(Task(), Task())
    seen: list[int] = []
    made.at_tick = seen.append
    made.pass_ticks(5 * TICK + 10)
    assert seen == [5 * TICK]


def test_one_tick_within_a_slice_ends_no_turn() -> None:
    """A turn that began 500 before a tick lasts until the next one."""
    thread, kworker = Task(), Task()
    made = queue(thread)
    made.wake(kworker, 7500)
    assert [runs(made, now) for now in (7500, 8000, 11_999, 12_000)] == [kworker, kworker, kworker, thread]


def test_a_tick_is_told_before_somebody_else_is_picked() -> None:
    """Who balances sees the one that waits still waiting."""
    first, second = Task(), Task()
    made = queue(first, second)
    seen: list[tuple[int, Task | None]] = []
    made.at_tick = lambda now: seen.append((now, made.running))
    for now in (4000, 8000):
        made.pass_ticks(now)
    assert seen == [(4000, first), (8000, second)]


def test_an_empty_queue_runs_nobody_and_its_next_task_is_owed_nothing() -> None:
    """Who leaves an empty queue behind has no lag."""
    thread = Task()
    made = queue(thread)
    made.leave(thread, 2500)
    assert (made.running, made.load, thread.lag_ns) == (None, 0, 0)
    made.wake(thread, 9000)
    assert made.running is thread


steps = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 6000)), min_size=1, max_size=60)


@given(steps)
def test_a_cpu_is_not_idle_while_somebody_has_something_to_do_and_no_time_is_lost(steps: Any) -> None:
    """Whoever wakes and sleeps when; what tasks have run together is how long the CPU was busy."""
    tasks = [Task() for _ in range(5)]
    awake: set[int] = set()
    made = FairQueue(TICK, SLICE)
    now = busy = 0
    ran = 0
    for number, passes in steps:
        before = {id(task): task.vruntime_ns for task in made.tasks}
        made.pass_ticks(now + passes)
        busy += passes if awake else 0
        now += passes
        made._update(now)
        ran += sum(task.vruntime_ns - before[id(task)] for task in made.tasks)
        if number in awake:
            awake.remove(number)
            made.sleep(tasks[number], now)
        else:
            awake.add(number)
            made.wake(tasks[number], now)
        assert made.load == len(awake)
        assert (made.running is not None) == bool(awake)
        assert made.running is None or (made.running in made.tasks and not made.running.delayed)
    assert ran == busy


@given(st.integers(2, 5))
def test_tasks_that_never_sleep_have_had_as_much_of_the_cpu(count: int) -> None:
    """At no tick is one further behind the average than by a tick and a slice (EEVDF's bound on lag)."""
    tasks = [Task() for _ in range(count)]
    made = queue(*tasks)
    for tick in range(1, 200):
        made.pass_ticks(tick * TICK)
        mean = sum(task.vruntime_ns for task in tasks) / count
        assert all(abs(task.vruntime_ns - mean) <= TICK + SLICE for task in tasks)
