"""Evaluating sets of constants: the runs they need, many at a time, each only once.

What a run leaves is every number of its results.json by its place there ("vmap.purges"), and the metrics of studies
("locks.busy.acquisitions"), which add up locks of a kind.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field

from sim.calibration.model import Figure, Point, Target, Targets
from sim.errors import BadInput
from sim.extensions import install, loaded, told
from sim.results import results_of
from sim.scenario.converter import unstructure
from sim.simulation import simulate
from sim.study.metrics import metrics_of
from sim.study.replication import Failure, Task
from sim.study.runners import Runner
from sim.study.store import Key, Record

WALL = ("wall_s", "scenario")
"""What of results.json is no figure of a run: the one key that differs between equal runs, and what was asked."""


def measure(task: Task) -> Record | Failure:
    """Run a scenario and give all its figures, and the checks that failed. This is what workers do."""
    try:
        install(task.extensions)
        results = results_of(simulate(task.scenario, task.beside))
    except Exception as error:
        return Failure(told(error))
    figures = {key: value for key, value in results.items() if key not in WALL}
    return {
        "figures": {**dict(_numbers("", figures)), **metrics_of(results)},
        "failed": [name for name, check in results["checks"].items() if not check["ok"]],
    }


def _numbers(place: str, value: object) -> Iterator[tuple[str, float]]:
    """Give all numbers in `value` by their places, keys and indices joined by dots."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(f"{place}.{key}".lstrip("."), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _numbers(f"{place}.{index}", inner)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield place, value


@define
class Evaluator:
    """Evaluates targets at points, on a runner; what was run stays known."""

    targets: Targets
    runner: Runner
    told: Callable[[int], None] = lambda _runs: None
    """Told after each run how many there were."""
    _records: dict[Key, Record] = field(factory=dict)

    @property
    def runs(self) -> int:
        """How many simulations there were."""
        return len(self._records)

    def evaluate(self, targets: Sequence[Target], points: Sequence[Point]) -> list[list[float]]:
        """Give our figure for each target, at each point; 0 for a quotient by 0.

        Raises `BadInput` for runs that fail or lack a figure.
        """
        tasks = {
            (point, id(figure)): self._task(figure, point)
            for point in points
            for target in targets
            for figure in target.figures
        }
        self._run({task.key: task for task in tasks.values() if task.key not in self._records})
        return [[self._ours(target, point, tasks) for target in targets] for point in points]

    def failed_checks(self, targets: Sequence[Target], point: Point) -> list[str]:
        """Give the names of the checks that failed in the runs of `targets` at a point that was evaluated."""
        keys = [self._task(figure, point).key for target in targets for figure in target.figures]
        return sorted({name for key in keys for name in self._records[key]["failed"]})

    def _task(self, figure: Figure, point: Point) -> Task:
        scenario = self.targets.scenario(figure, point)
        facts = json.dumps([str(figure.path.parent), unstructure(scenario)], sort_keys=True)
        return Task(0, 0, scenario, figure.path.parent, hashlib.sha256(facts.encode()).hexdigest(), loaded())

    def _run(self, missing: Mapping[Key, Task]) -> None:
        for task, found in self.runner.results(deque(missing.values()), measure):
            if isinstance(found, Failure):
                raise BadInput(str(self.targets.path), f"a run that failed ({found.text})", "scenarios that run")
            self._records[task.key] = found
            self.told(self.runs)

    def _ours(self, target: Target, point: Point, tasks: Mapping[tuple[Point, int], Task]) -> float:
        figures = [self._figure(target, figure, tasks[point, id(figure)].key) for figure in target.figures]
        if target.over is None:
            return target.measured.factor * figures[0]
        return target.measured.factor * figures[0] / figures[1] if figures[1] else 0.0

    def _figure(self, target: Target, figure: Figure, key: Key) -> float:
        known: Mapping[str, Any] = self._records[key]["figures"]
        if figure.metric in known:
            return float(known[figure.metric])
        where = f"{self.targets.path}: measurement {target.measured.name!r}: metric {figure.metric}"
        prefix = figure.metric.rpartition(".")[0]
        near = [name.rpartition(".")[2] for name in known if prefix and name.rpartition(".")[0] == prefix]
        allowed = f"one of {prefix}.: {', '.join(near)}" if near else "a metric (docs/reference/targets.md)"
        raise BadInput(where, "no such figure in its run", allowed)
