"""What tests of studies share: a small scenario, a study of it, tasks and work for runners."""

import os
import signal
from pathlib import Path

from sim.scenario.model import Scenario
from sim.study.replication import Failure, Task, replicate
from sim.study.store import Record

SCENARIO = """
[space]
nodes = 2
[machine]
cpus = 3
[workload]
operations = 300
preload_areas = 60
"""

STUDY = """
scenario = "small.toml"
metrics = ["latency.all.mean_ns", "latency.find.p99_ns"]
accept = ["answers_true"]
[replications]
least = 3
most = 6
[precision]
metric = "latency.all.mean_ns"
relative = 0.03
[[factor]]
name = "policy"
key = "lookup.policy"
values = ["forward", "backward", "home"]
[[factor]]
key = "space.nodes"
values = [1, 3]
[compare]
factor = "policy"
baseline = "backward"
"""


def written(folder: Path, study: str = STUDY, scenario: str = SCENARIO) -> Path:
    """Write a study and its scenario; give the study's path."""
    (folder / "small.toml").write_text(scenario)
    (folder / "study.toml").write_text(study)
    return folder / "study.toml"


def tasks(folder: Path, count: int) -> list[Task]:
    """Make tasks that need nothing; `folder` is where their work leaves marks."""
    return [Task(number, 0, Scenario(seed=number), folder, "none") for number in range(count)]


def name_yourself(task: Task) -> Record | Failure:
    """Work that does nothing."""
    return {"seed": task.scenario.seed}


def die_once(task: Task) -> Record | Failure:
    """Work whose third task ends its process the first time it is run, as if the machine had run out of memory."""
    if task.scenario.seed == 3 and _first_time(task.beside / "died"):
        os.kill(os.getpid(), signal.SIGKILL)
    return name_yourself(task)


def die_always(task: Task) -> Record | Failure:
    """Work whose third task ends its process each time; the others note that they ran."""
    if task.scenario.seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return name_yourself(task)


def replicate_and_die_once(task: Task) -> Record | Failure:
    """Replications; the process of the first one to see that nobody has died yet ends in the middle of it."""
    record = replicate(task)
    if _first_time(task.beside / "died"):
        os.kill(os.getpid(), signal.SIGKILL)
    return record


def _first_time(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
