"""The campaign: replicate every cell until the stopping rule is satisfied, whoever runs the replications.

What is next for a cell follows from the replications of it that are in the store, by a pure function (`judge`): so
a campaign that was interrupted goes on where it was, and the order in which replications end does not matter.

**Warm-up.** Each cell begins with `PILOTS` pilot runs, in which MSER-5 (`sim.metrics.warmup`) looks for the end
of the warm-up; the longest that is found is left out of every replication. Pilots have seeds of their own and count
for nothing else. Were each replication to choose its own cut, it would prefer to cut off bursts, and means would
come out too low: of an M/M/1 queue by 2.6 % in runs of 2,500 operations (docs/explanation/validation.md).
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from attrs import evolve, field, frozen

from sim.errors import BadInput
from sim.extensions import loaded
from sim.scenario.model import Warmup
from sim.study.cells import Cell, replication_seed
from sim.study.model import Study
from sim.study.replication import Failure, Task, replicate
from sim.study.runners import Runner, Work
from sim.study.statistics import checkpoint_after, interval
from sim.study.store import Key, Record, Store

PILOTS = 2
"""Runs of each cell in which its warm-up is looked for; the longest counts."""

WARMUP_WORDS = " --set warmup.method=fixed --set warmup.operations={}"


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
    keys: list[Key] = field(factory=list, repr=False)
    """Under which the store has the pilots and replications."""
    warmup: int | None = None
    """Operations at the beginning of each replication that are left out; None where that is the scenario's."""
    unsettled: int = 0
    """Pilots that were too short to say."""

    def values(self, metric: str) -> list[float]:
        """Give a metric of all replications; empty when one of them does not have it, or failed."""
        values = [record["metrics"].get(metric) for record in self.records]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) and self.failure is None else []

    def command(self, replication: int = 0) -> str:
        """Give the command that runs a replication again."""
        fixed = "" if self.warmup is None else WARMUP_WORDS.format(self.warmup)
        return f"{self.cell.command}{fixed} --seed {self.seeds[replication]}"

    def exceptions(self) -> dict[str, tuple[int, int, str]]:
        """Give the checks that failed: exceptions, the first replication with one, and it in words."""
        found: dict[str, tuple[int, int, str]] = {}
        for replication, record in enumerate(self.records):
            for name, check in record["checks"].items():
                if not check["ok"]:
                    count, first, words = found.get(name, (0, replication, check["first"]))
                    found[name] = (count + check["count"], first, words)
        return found


def left_out(results: Sequence[CellResult]) -> tuple[int, int]:
    """Add up over all replications: the operations that are left out as warm-up, and all operations."""
    warmups = [record["warmup"] for result in results for record in result.records]
    return sum(warmup["dropped"] for warmup in warmups), sum(warmup["of"] for warmup in warmups)


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
    """Run what the study still lacks; give the results of all cells, in order.

    Raises `BadInput` as soon as it is clear that runs do not have a metric: the one that decides when to stop, once
    a cell's first run lacks it, and any other, once each cell has had a run and none of them has it.
    """
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
        self._not_begun = {cell.fingerprint for cell in cells}
        """Scenarios of which no run is known."""
        self._unseen = list(study.all_metrics)
        """Metrics that no run has had."""

    def run(self, runner: Runner, work: Work) -> list[CellResult]:
        queue: deque[Task] = deque()
        by_fingerprint = {cell.fingerprint: cell for cell in self._cells}
        for (fingerprint, _seed), record in self._store.items():
            if (known := by_fingerprint.get(fingerprint.partition("/")[0])) is not None:
                self._look(known, record)
        for cell in self._cells:
            queue += self._go_on(cell)
        self._tell()
        for task, found in runner.results(queue, work):
            if isinstance(found, Failure):
                self._failures[task.key] = found.text
            else:
                self._store.add(task.key, found)
                self._look(self._cells[task.cell], found)
                self._operations += found["operations"]
            self._done += 1
            wanted = self._wanted[task.cell]
            wanted.remove(task)
            if not wanted:
                queue += self._go_on(self._cells[task.cell])
            self._tell()
        return [self._results[cell.number] for cell in self._cells]

    def _look(self, cell: Cell, record: Record) -> None:
        """See whether a run has what the study is about. Raises `BadInput`."""
        decides = self._study.plan.precision.metric
        if cell.fingerprint in self._not_begun and decides not in record["metrics"]:
            raise self._lacking("precision.metric", decides, f"the first run of {cell.named()}", record)
        self._not_begun.discard(cell.fingerprint)
        self._unseen = [metric for metric in self._unseen if metric not in record["metrics"]]
        if self._unseen and not self._not_begun:
            raise self._lacking("metrics", self._unseen[0], "any cell's first run", record)

    def _lacking(self, key: str, metric: str, run: str, record: Record) -> BadInput:
        allowed = "what there is under {}: {}".format(*_kinds(metric, [record]))
        return BadInput(f"{self._study.path}: {key}", f"{metric}, which is not in {run}", allowed)

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
    pilots = (
        [_pilot(study, cell, -number) for number in range(1, PILOTS + 1)] if study.plan.warmup != "none" else []
    )
    if missing := _missing(pilots, store, failures):
        return missing
    for pilot in pilots:
        if pilot.key in failures:
            return CellResult(cell, [pilot.scenario.seed], [], failure=failures[pilot.key])
    warmups = [store[pilot.key]["warmup"] for pilot in pilots]
    dropped = max((warmup["dropped"] for warmup in warmups), default=None)
    blank = CellResult(
        cell,
        [],
        [],
        keys=[pilot.key for pilot in pilots],
        warmup=dropped,
        unsettled=sum(not warmup["settled"] for warmup in warmups),
    )
    return _replicated(study, blank, store, failures)


def _replicated(
    study: Study, blank: CellResult, store: Store | Mapping[Key, Record], failures: Mapping[Key, str]
) -> CellResult | list[Task]:
    """Apply the stopping rule to a cell whose warm-up is known."""
    plan, precision = study.plan.replications, study.plan.precision
    wanted: int | None = plan.least
    while wanted is not None:
        tasks = [_task(study, blank, replication) for replication in range(wanted)]
        if missing := _missing(tasks, store, failures):
            return missing
        seeds = [task.scenario.seed for task in tasks]
        keys = [*blank.keys, *(task.key for task in tasks if task.key in store)]
        failed = next((number for number, task in enumerate(tasks) if task.key in failures), None)
        if failed is not None:
            records = [store[task.key] for task in tasks[:failed]]
            failure = failures[tasks[failed].key]
            return evolve(blank, seeds=seeds[: failed + 1], records=records, keys=keys, failure=failure)
        result = evolve(blank, seeds=seeds, records=[store[task.key] for task in tasks], keys=keys)
        values = result.values(precision.metric)
        if not values:
            return evolve(result, failure=_without(precision.metric, result.records))
        found = interval(values, precision.confidence)
        wanted = checkpoint_after(found, precision.relative, plan.most)
    return evolve(result, reached=found.relative <= precision.relative)


def _missing(tasks: Sequence[Task], store: Store | Mapping[Key, Record], failures: Mapping[Key, str]) -> list[Task]:
    return [task for task in tasks if task.key not in store and task.key not in failures]


def _pilot(study: Study, cell: Cell, number: int) -> Task:
    scenario = evolve(
        cell.scenario, seed=replication_seed(study, cell, number), warmup=Warmup(method=study.plan.warmup)
    )
    return Task(cell.number, number, scenario, study.scenario_path.parent, f"{cell.fingerprint}/pilot", loaded())


def _task(study: Study, result: CellResult, replication: int) -> Task:
    cell = result.cell
    scenario = evolve(cell.scenario, seed=replication_seed(study, cell, replication))
    if result.warmup is not None:
        scenario = evolve(scenario, warmup=Warmup(method="fixed", operations=result.warmup))
    fingerprint = f"{cell.fingerprint}/{'own' if result.warmup is None else result.warmup}"
    return Task(cell.number, replication, scenario, study.scenario_path.parent, fingerprint, loaded())


def _without(metric: str, records: Sequence[Record]) -> str:
    prefix, kinds = _kinds(metric, records)
    return f"no {metric} in every replication; under {prefix} there are: {kinds}"


def _kinds(metric: str, records: Sequence[Record]) -> tuple[str, str]:
    """Give the first part of a metric's name, and in words of what there are such metrics: operations, mostly."""
    prefix = metric.partition(".")[0]
    names = {name for record in records for name in record["metrics"] if name.startswith(f"{prefix}.")}
    return prefix, ", ".join(sorted({name.split(".")[1] for name in names})) or "none"
