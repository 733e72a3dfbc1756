"""The interface for programs and notebooks: the commands' work as functions, with typed results.

What a function gives has in `results` what its command writes into files, the figures people look for as
attributes, and `to_frame`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any, TypeVar

import trio
from attrs import field, frozen

from sim import extensions
from sim.errors import BadInput
from sim.extensions import Extension
from sim.frames import Framed, flat
from sim.scenario.model import Scenario

T = TypeVar("T")


@frozen
class Latency:
    """How long one kind of operation took, in nanoseconds of the run's clock."""

    count: int
    mean_ns: float
    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    max_ns: int
    probes: Mapping[int, int]
    """Operations by the number of nodes asked."""
    parts_ns: Mapping[str, float]
    """What the mean consists of: "queue", "transfer" and "service"."""


@frozen
class Run(Framed):
    """What one run found."""

    scenario: Scenario = field(repr=False)
    results: Mapping[str, Any] = field(repr=False)
    """The contents of results.json (docs/reference/results.md)."""
    digest: str
    """Of everything that happened: equal for equal runs."""
    operations: int
    """How many were completed."""
    virtual_ns: int
    """When the last one was."""
    ok: bool
    """Whether all checks hold."""

    @property
    def latency(self) -> dict[str, Latency]:
        """Latencies by operation, and of "all"."""
        return {name: _latency(figures) for name, figures in self.results["latency"].items()}

    @property
    def checks(self) -> dict[str, int]:
        """How many exceptions to its rule each check found."""
        return {name: check["count"] for name, check in self.results["checks"].items()}

    @property
    def locks(self) -> dict[str, Mapping[str, int]]:
        """The statistics of each lock, by its name."""
        return {lock["name"]: lock for lock in self.results["locks"]}

    def rows(self) -> list[dict[str, Any]]:
        """Give a row per operation: its figures."""
        return [{"operation": name, **flat(figures)} for name, figures in self.results["latency"].items()]


@frozen
class Replay(Framed):
    """What came of a trace that was held against the model."""

    results: Mapping[str, Any] = field(repr=False)
    """The contents of results.json."""
    kernel: str
    """The one it was held against."""
    allocations: int
    """How many the trace has."""
    share: float
    """Share of the addresses that the model explains."""

    def rows(self) -> list[dict[str, Any]]:
        """Give a row: how many addresses are explained in which way."""
        return [{name: value for name, value in self.results["replay"].items() if not isinstance(value, list)}]


@frozen
class StudyResult(Framed):
    """What a study found."""

    results: Mapping[str, Any] = field(repr=False)
    """The contents of study.json."""

    @property
    def comparisons(self) -> list[dict[str, Any]]:
        """The paired comparisons with the baseline, where the study asks for them."""
        return list(self.results["comparisons"])

    def rows(self) -> list[dict[str, Any]]:
        """Give a row per cell: its levels, and each metric with its interval."""
        return list(self.results["cells"])


def load_extension(path: str | Path) -> Extension:
    """Load one policy, strategy, … more; anew, when its file has changed. Scenarios can name it from then on.

    Raises `BadInput`.
    """
    return extensions.load(Path(path), "load_extension")


def simulate(
    scenario: Scenario | str | Path,
    *,
    seed: int | None = None,
    engine: str = "virtual",
    beside: str | Path | None = None,
) -> Run:
    """Run `scenario`, or the file of that name; "virtual" or "live".

    Files that it names are looked up in the folder `beside`: by default the file's own, and the current one for a
    `Scenario`. May be called in a trio or asyncio program, which it keeps waiting; `simulate_async` does not.
    Raises what is wrong with the input as a `VmapsimError`, and an `ExceptionGroup` when an actor fails.
    """
    return _apart(partial(_simulate, *_asked(scenario, seed, beside), engine))


async def simulate_async(
    scenario: Scenario | str | Path,
    *,
    seed: int | None = None,
    engine: str = "virtual",
    beside: str | Path | None = None,
) -> Run:
    """Run `scenario` from a trio program, whose other tasks go on meanwhile; see `simulate`.

    A run that is cancelled stops by itself some thousand events later; nothing waits for that.
    """
    cancelled = Event()
    work = partial(_simulate, *_asked(scenario, seed, beside), engine, cancelled)
    try:
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
    except trio.Cancelled:
        cancelled.set()
        raise


def replay(
    trace: str | Path,
    *,
    kernel: str = "auto",
    cpus: int | None = None,
    initial: str | Path | None = None,
    vmalloc_range: tuple[int, int] | None = None,
) -> Replay:
    """Hold a recorded trace against the model, as the command `replay` does. Raises `BadInput`."""
    from protocol.kernel import KERNELS
    from sim.replay import AUTO
    from sim.replay import replay as replayed
    from sim.replay.ranges import checked
    from sim.replay.report import results_of
    from sim.traces.read import read_trace
    from sim.vmallocinfo import read_vmallocinfo

    if kernel not in (AUTO, *KERNELS):
        raise BadInput("kernel", repr(kernel), ", ".join((AUTO, *KERNELS)))
    if cpus is not None and cpus < 1:
        raise BadInput("cpus", repr(cpus), "an integer of at least 1")
    if vmalloc_range is not None:
        checked("vmalloc_range", *vmalloc_range)
    records = read_vmallocinfo(Path(initial)) if initial is not None else ()
    outcome = replayed(read_trace(Path(trace)), kernel, cpus, records, vmalloc_range=vmalloc_range)
    results = results_of(outcome, Path(trace).name)
    found = results["replay"]
    return Replay(results, found["kernel"], found["allocations"], found["share"])


def study(
    path: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    jobs: int = 1,
    out: str | Path | None = None,
) -> StudyResult:
    """Run the study at `path`, as the command `study` does; in `jobs` processes, or here where that is 1.

    Its replications are kept in the folder `out`, if one is given, and found there again. `settings` are keys of
    the scenario to set, such as {"space.nodes": 4}. Processes import the main program: one that asks for more than
    one job does so below `if __name__ == "__main__":`. Raises `BadInput`.
    """
    from sim.files import prepared
    from sim.study import campaign, store
    from sim.study.cells import cells_of
    from sim.study.model import load_study
    from sim.study.outputs import summary_of, tables_of
    from sim.study.runners import Here, Pool, Runner, processes_start

    if jobs > 1 and (parent_process() is not None or not processes_start()):
        begin = "processes that begin with this call again: they import the main program"
        raise BadInput(f"study(jobs={jobs})", begin, 'a call below `if __name__ == "__main__":`')
    asked = load_study(Path(path), [], seed, settings or {})
    cells = cells_of(asked)
    runner: Runner = Here() if jobs == 1 else Pool(jobs)
    with TemporaryDirectory() as temporary:
        folder = Path(out) if out is not None else Path(temporary)
        with prepared([folder]), store.opened(folder) as replications:
            found = _apart(partial(campaign.conduct, asked, cells, replications, runner))
    return StudyResult(summary_of(asked, tables_of(asked, found)))


class _Cancelled(Exception):
    """Nobody waits for this run any more."""


def _simulate(scenario: Scenario, beside: Path, engine: str, cancelled: Event | None = None) -> Run:
    from sim.results import results_of
    from sim.simulation import simulate as simulated

    def stop_if_cancelled(_done: int, _total: int) -> None:
        if cancelled is not None and cancelled.is_set():
            raise _Cancelled

    outcome = simulated(scenario, beside, engine=engine, progress=stop_if_cancelled)
    results = results_of(outcome)
    return Run(scenario, results, results["digest"], results["operations"], outcome.virtual_ns, outcome.ok)


def _asked(scenario: Scenario | str | Path, seed: int | None, beside: str | Path | None) -> tuple[Scenario, Path]:
    """Give what to run, and where its files are."""
    from sim.scenario.file import load_scenarios

    folder = Path(beside or ".")
    if not isinstance(scenario, Scenario):
        path = Path(scenario)
        folder = path.parent if beside is None else folder
        file = load_scenarios(path)
        if file.variants:
            names = ", ".join(variant.name for variant in file.variants)
            raise BadInput(
                str(path), f"the variants {names}", "a scenario: Scenario.load(path, variant=…) gives one"
            )
        scenario = file.base
    return scenario if seed is None else scenario.changed({"seed": seed}), folder


def _latency(figures: Mapping[str, Any]) -> Latency:
    names = ("count", "mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")
    probes = {int(asked): count for asked, count in figures["probes"].items()}
    return Latency(**{name: figures[name] for name in names}, probes=probes, parts_ns=figures["parts_ns"])


def _apart(work: Callable[[], T]) -> T:
    """Do `work`, in a thread of its own where a loop runs in this one: trio's runs do not nest."""
    if not _in_a_loop():
        return work()
    done: list[T] = []
    failed: list[BaseException] = []

    def do() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = Thread(target=do)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def _in_a_loop() -> bool:
    import asyncio

    if trio.lowlevel.in_trio_run():
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
