"""Replications: what workers do, one after the other."""

import gc
from pathlib import Path

import pytest

from protocol.node import NodeMachine
from sim import garbage
from sim.garbage import LEFTOVERS
from sim.scenario.model import Scenario, Workload
from sim.study.replication import Failure, Task, replicate


def test_replications_leave_nothing_of_their_runs_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When enough of them are over no machine of theirs is alive: a worker that runs thousands does not grow."""
    monkeypatch.setattr(garbage, "MANY", 100)
    monkeypatch.setattr(LEFTOVERS, "operations", 0)
    task = Task(0, 0, Scenario(workload=Workload(operations=50, preload_areas=10)), tmp_path, "none")
    gc.collect()  # what tests before this one left
    before = _machines()
    assert not isinstance(replicate(task), Failure)
    assert _machines() > before
    assert not isinstance(replicate(task), Failure)
    assert _machines() == before


def _machines() -> int:
    return sum(type(thing) is NodeMachine for thing in gc.get_objects())
