"""Replications: what workers do, one after the other."""

import gc
from pathlib import Path

from protocol.node import NodeMachine
from sim.scenario.model import Scenario, Workload
from sim.study.replication import Failure, Task, replicate


def test_a_replication_leaves_nothing_of_its_run_behind(tmp_path: Path) -> None:
    """When it is over no machine of it is alive: a worker that runs thousands does not grow."""
    task = Task(0, 0, Scenario(workload=Workload(operations=50, preload_areas=10)), tmp_path, "none")
    gc.collect()  # what tests before this one left
    before = _machines()
    assert not isinstance(replicate(task), Failure)
    assert _machines() == before


def _machines() -> int:
    return sum(type(thing) is NodeMachine for thing in gc.get_objects())
