"""Runners: everything is done once, by whoever; who dies is replaced, what kills is given up and named."""

from collections import deque
from pathlib import Path

import pytest

from sim.study.replication import Failure, Task
from sim.study.runners import RETRIES, Pool
from tests.unit.sim.study import die_always, die_once, name_yourself, tasks


def test_all_tasks_are_done_once_and_new_ones_too(tmp_path: Path) -> None:
    """Tasks that are added while others are under way are done like those that were there."""
    todo = tasks(tmp_path, 7)
    queue = deque(todo[:4])
    added = deque(todo[4:])
    done: list[Task] = []
    for task, found in Pool(2).results(queue, name_yourself):
        assert found == {"seed": task.scenario.seed}
        done.append(task)
        if added:
            queue.append(added.popleft())
    assert sorted(task.scenario.seed for task in done) == list(range(7))


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    """A process is killed in the middle: its task and those beside it are run again, none lost or twice."""
    found = [(task.scenario.seed, result) for task, result in Pool(2).results(deque(tasks(tmp_path, 8)), die_once)]
    assert (tmp_path / "died").exists()
    assert sorted(found, key=lambda pair: pair[0]) == [(seed, {"seed": seed}) for seed in range(8)]


def test_processes_are_kept_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    """Within `kept` one call after the other is done, also the call after one in which a process died."""
    with Pool(2).kept() as pool:
        for work in (name_yourself, die_once, name_yourself):
            found = [task.scenario.seed for task, _result in pool.results(deque(tasks(tmp_path, 5)), work)]
            assert sorted(found) == list(range(5))
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_that_kills_is_given_up_and_the_innocent_are_not(tmp_path: Path, jobs: int) -> None:
    """The task whose process always dies is named after its last chance; all others come through."""
    found = {
        task.scenario.seed: result for task, result in Pool(jobs).results(deque(tasks(tmp_path, 8)), die_always)
    }
    killer = found.pop(3)
    assert isinstance(killer, Failure)
    assert f"died, {RETRIES + 1} times" in killer.text
    assert found == {seed: {"seed": seed} for seed in range(8) if seed != 3}
