"""What tests of calibration share: a small scenario, targets the simulator made, a runner without processes."""

from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import evolve

from sim.calibration.model import load_targets
from sim.calibration.runs import Evaluator
from sim.calibration.solution import Solution, calibrate
from sim.results import results_of
from sim.scenario.file import structure
from sim.scenario.model import Scenario
from sim.simulation import simulate
from sim.study.metrics import metrics_of
from sim.study.replication import Failure, Task
from sim.study.runners import Work
from sim.study.store import Record

SCENARIO = """
[space]
nodes = 1
[machine]
cpus = 1
[workload]
operations = 120
preload_areas = 20
[workload.mix]
find = 1.0
insert = 0.0
unlink = 0.0
"""

TRUTH = {"costs.lock_ns": 37, "costs.visit_ns": 11, "costs.link_ns": 83}

SITUATIONS: dict[str, dict[str, int]] = {
    "few areas": {},
    "many areas": {"workload.preload_areas": 800},
    "some CPUs": {"machine.cpus": 4, "workload.preload_areas": 150},
    "many CPUs": {"machine.cpus": 9},
}
"""A tree's depth tells visits from locks, and a lock that everybody waits for tells both from links."""

CONSTANTS = """
[[constant]]
key = "costs.lock_ns"
start = 100
lower = 0
upper = 1000
[[constant]]
key = "costs.visit_ns"
start = 30
lower = 0
upper = 300
[[constant]]
key = "costs.link_ns"
start = 20
lower = 0
upper = 500
"""


class Alone:
    """A runner that does it all itself, at once."""

    def results(self, queue: deque[Task], work: Work) -> Iterator[tuple[Task, Record | Failure]]:
        while queue:
            task = queue.popleft()
            yield task, work(task)


def written(folder: Path, targets: str) -> Path:
    """Write targets and the scenario they begin with; give the targets' path."""
    (folder / "small.toml").write_text(SCENARIO)
    (folder / "targets.toml").write_text(targets)
    return folder / "targets.toml"


def synthetic(
    constants: str = CONSTANTS,
    situations: Mapping[str, Mapping[str, int]] = SITUATIONS,
    metric: str = "latency.find.mean_ns",
    head: str = "",
) -> str:
    """Give targets whose measurements are the simulator's own, with the true constants."""
    parts = [head, 'scenario = "small.toml"', constants]
    for name, settings in situations.items():
        figure = metrics_of(results_of(simulate(scenario({**settings, **TRUTH}), Path())))[metric]
        inline = ", ".join(f'"{key}" = {value}' for key, value in settings.items())
        parts.append(measurement(name, f"set = {{ {inline} }}", metric, figure))
    return "\n".join(parts)


def measurement(name: str, more: str = "", metric: str = "latency.find.mean_ns", value: float = 300.0) -> str:
    return f"""
[[measurement]]
name = "{name}"
metric = "{metric}"
value = {value!r}
unit = "ns"
source = "the simulator"
{more}
"""


def scenario(settings: Mapping[str, int]) -> Scenario:
    """Give the small scenario with some settings."""
    import tomllib

    from sim.scenario.settings import put

    table = tomllib.loads(SCENARIO)
    for key, value in settings.items():
        put(table, key, value, key)
    return evolve(structure(table, "here"), seed=1)


def solved(path: Path) -> Solution:
    """Calibrate without processes."""
    targets = load_targets(path)
    return calibrate(targets, Evaluator(targets, Alone()), lambda _progress: None)
