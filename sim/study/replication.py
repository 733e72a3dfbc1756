"""One replication: a run of a cell, boiled down to what the study keeps of it. This is what workers do."""

from pathlib import Path
from typing import Any

from attrs import frozen

from sim.errors import is_interrupt
from sim.extensions import Extension, install, told
from sim.garbage import LEFTOVERS
from sim.outcome import Outcome
from sim.report.portrait import LOAD_POINTS, portrait_of
from sim.results import results_of
from sim.scenario.model import Scenario
from sim.simulation import simulate
from sim.study.store import Key, Record


@frozen
class Task:
    """A replication to run."""

    cell: int
    replication: int
    scenario: Scenario
    """With the replication's seed."""
    beside: Path
    fingerprint: str
    extensions: tuple[Extension, ...] = ()
    """What has to be loaded where it is run."""

    @property
    def key(self) -> Key:
        """Under which the store keeps it."""
        return self.fingerprint, self.scenario.seed


@frozen
class Failure:
    """Why a replication left nothing."""

    text: str


def replicate(task: Task) -> Record | Failure:
    """Run a replication. What goes wrong in it comes back as a `Failure`: others go on."""
    try:
        install(task.extensions)
        return record_of(simulate(task.scenario, task.beside), first=task.replication == 0)
    except BaseException as error:  # an extension can raise anything, SystemExit too
        if is_interrupt(error):
            raise
        return Failure(told(error))
    finally:
        LEFTOVERS.add(task.scenario.workload.operations)


def record_of(outcome: Outcome, *, first: bool) -> dict[str, Any]:
    """Give what is kept of a run; of a cell's first replication also its locks, one by one and over time."""
    results = results_of(outcome)
    return {
        "operations": results["operations"],
        "warmup": results.get("warmup", {"dropped": 0, "of": results["operations"], "settled": True}),
        "checks": results["checks"],
        **portrait_of(outcome, results, intervals=LOAD_POINTS if first else 0),
    }
