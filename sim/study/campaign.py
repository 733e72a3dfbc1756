"""The campaign: replicate every cell until the stopping rule is satisfied, whoever runs the replications.

What is next for a cell follows from the replications of it that are in the store, by a pure function (`judge`): so
a campaign that was interrupted goes on where it was, and the order in which replications end does not matter.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from attrs import evolve, field, frozen

from sim.study.cells import Cell, replication_seed
from sim.study.model import Study
from sim.study.replication import Failure, Task, replicate
from sim.study.runners import Runner, Work
from sim.study.statistics import checkpoint_after, interval
from sim.study.store import Key, Record, Store


@frozen
class CellResult:
    """What a campaign found out about a cell."""

    cell: Cell
    seeds: list[int]
    """The replications' seeds, in order."""
    records: list[Record] = field(repr=False)
    """What each replication left; of a failed cell, of those before the one that failed."""
    reached: bool = False
    """Whether the precision that was asked for was reached."""
    failure: str | None = None
    """Why the last of `seeds` failed; None where none did."""

    def values(self, metric: str) -> list[float]:
        """Give a metric of all replications; empty when one of them does not have it, or failed."""
        values = [record["metrics"].get(metric) for record in self.records]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) and self.failure is None else []

    def command(self, replication: int = 0) -> str:
        """Give the command that runs a replication again."""
        return f"{self.cell.command} --seed {self.seeds[replication]}"

    def exceptions(self) -> dict[str, tuple[int, int, str]]:
        """Give the checks that failed: exceptions, the first replication with one, and it in words."""
        found: dict[str, tuple[int, int, str]] = {}
        for replication, record in enumerate(self.records):
            for name, check in record["checks"].items():
                if not check["ok"]:
                    count, first, words = found.get(name, (0, replication, check["first"]))
                    found[name] = (count + check["count"], first, words)
        return found


@frozen
class Progress:
    """How far a campaign is."""

    cells: int
    cells_done: int
    replications: int
    """As many as are planned by now; the stopping rule may want more."""
    replications_done: int
    operations: int
    """Simulated by this campaign, without those found in the store."""


def conduct(
    study: Study,
    cells: Sequence[Cell],
    store: Store,
    runner: Runner,
    told: Callable[[Progress], None] = lambda _progress: None,
    work: Work = replicate,
) -> list[CellResult]:
    """Run what the study still lacks; give the results of all cells, in order."""
    return _Campaign(study, cells, store, told).run(runner, work)


class _Campaign:
    def __init__(self, study: Study, cells: Sequence[Cell], store: Store, told: Callable[[Progress], None]) -> None:
        self._study = study
        self._cells = cells
        self._store = store
        self._told = told
        self._failures: dict[Key, str] = {}
        self._results: dict[int, CellResult] = {}
        self._wanted: dict[int, list[Task]] = {}
        self._planned = self._done = self._operations = 0

    def run(self, runner: Runner, work: Work) -> list[CellResult]:
        queue: deque[Task] = deque()
        for cell in self._cells:
            queue += self._go_on(cell)
        self._tell()
        for task, found in runner.results(queue, work):
            if isinstance(found, Failure):
                self._failures[task.key] = found.text
            else:
                self._store.add(task.key, found)
                self._operations += found["operations"]
            self._done += 1
            wanted = self._wanted[task.cell]
            wanted.remove(task)
            if not wanted:
                queue += self._go_on(self._cells[task.cell])
            self._tell()
        return [self._results[cell.number] for cell in self._cells]

    def _go_on(self, cell: Cell) -> list[Task]:
        """Give the tasks that a cell needs now; with none its result is noted."""
        found = judge(self._study, cell, self._store, self._failures)
        if isinstance(found, CellResult):
            self._results[cell.number] = found
            return []
        self._wanted[cell.number] = list(found)
        self._planned += len(found)
        return found

    def _tell(self) -> None:
        self._told(Progress(len(self._cells), len(self._results), self._planned, self._done, self._operations))


def judge(
    study: Study, cell: Cell, store: Store | Mapping[Key, Record], failures: Mapping[Key, str]
) -> CellResult | list[Task]:
    """Say what is known of a cell if that is enough, and otherwise which replications to run next."""
    plan, precision = study.plan.replications, study.plan.precision
    wanted: int | None = plan.least
    while wanted is not None:
        tasks = [_task(study, cell, replication) for replication in range(wanted)]
        missing = [task for task in tasks if task.key not in store and task.key not in failures]
        if missing:
            return missing
        seeds = [task.scenario.seed for task in tasks]
        failed = next((number for number, task in enumerate(tasks) if task.key in failures), None)
        if failed is not None:
            records = [store[task.key] for task in tasks[:failed]]
            return CellResult(cell, seeds[: failed + 1], records, failure=failures[tasks[failed].key])
        records = [store[task.key] for task in tasks]
        result = CellResult(cell, seeds, records)
        values = result.values(precision.metric)
        if not values:
            return evolve(result, failure=_without(precision.metric, records))
        found = interval(values, precision.confidence)
        wanted = checkpoint_after(found, precision.relative, plan.most)
    return evolve(result, reached=found.relative <= precision.relative)


def _task(study: Study, cell: Cell, replication: int) -> Task:
    seed = replication_seed(study, cell, replication)
    beside = study.scenario_path.parent
    return Task(cell.number, replication, evolve(cell.scenario, seed=seed), beside, cell.fingerprint)


def _without(metric: str, records: Sequence[Record]) -> str:
    prefix = metric.partition(".")[0]
    names = {name for record in records for name in record["metrics"] if name.startswith(f"{prefix}.")}
    kinds = sorted({name.split(".")[1] for name in names})
    return f"no {metric} in every replication; under {prefix} there are: {', '.join(kinds) or 'none'}"
