"""Running a scenario and its variants, in whatever world, into results and one screen of tables.

What `run`, `cluster` and `drive` have in common, their options included.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.commands import (
    CHECK_FAILED,
    Session,
    default_out,
    out_option,
    printable,
    progress,
    quiet_option,
    seed_option,
    set_option,
    with_extensions,
)

if TYPE_CHECKING:
    from sim.outcome import Outcome, Progress
    from sim.report.portrait import Portrait
    from sim.scenario.file import ScenarioFile
    from sim.scenario.model import Scenario, Workload
    from sim.timeline.recording import Timeline

    Runner = Callable[[Scenario, Path, Path, Progress, Timeline | None], Outcome]
    """Runs a scenario: told where its files are, where its results will be, whom to tell how far it is, and, if it
    is asked for, the timeline to fill."""


@dataclass(frozen=True)
class Given:
    """What is said of a scenario on the command line."""

    settings: tuple[str, ...]
    seed: int | None
    out: Path | None
    quiet: bool


def scenario_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of all that run a scenario; it gets them as `given`, its session first."""

    @set_option("Change a key; may be repeated.")
    @seed_option("Change the seed.")
    @out_option("Folder for results [default: out/SCENARIO].")
    @quiet_option("the files")
    @with_extensions
    @click.pass_obj
    @wraps(command)
    def packed(
        session: Session,
        /,
        settings: tuple[str, ...],
        seed: int | None,
        out: Path | None,
        quiet: bool,
        **others: Any,
    ) -> int:
        return command(session, given=Given(settings, seed, out, quiet), **others)

    return packed


@dataclass(frozen=True)
class StateFile:
    """Where the state at the end goes, and in which order; `path` is None where it is not asked for."""

    path: Path | None
    order: str

    def of(self, variant: str) -> Path | None:
        """Give the file of a variant, "" for a scenario without."""
        if self.path is None or not variant:
            return self.path
        return self.path.with_name(f"{self.path.name}.{variant}")

    def text(self, variant: str, outcome: "Outcome") -> dict[Path, str]:
        """Give the file of a variant with its text, nothing where it is not asked for."""
        from sim.final_state import vmallocinfo_of

        path = self.of(variant)
        return {} if path is None else {path: vmallocinfo_of(outcome, self.order)}


@dataclass(frozen=True)
class Order:
    """What a run is asked for besides its scenario."""

    engine: str
    words: list[str]
    """The command and what is its own: without what is `Given`, and extensions."""
    run: "Runner"
    timeline: "Callable[[], Timeline] | None" = None
    state: StateFile = StateFile(None, "node")
    as_json: bool = False

    def command(self, settings: Sequence[str], seed: int) -> str:
        """Give the command that runs it again."""
        from sim import extensions

        changes = [word for setting in settings for word in ("--set", setting)]
        with_engine = [] if self.engine == "cluster" else ["--engine", self.engine]
        words = ["./dev", *self.words, *extensions.words(), *changes, "--seed", str(seed), *with_engine]
        return shlex.join(words)


def run_file(session: Session, path: Path, given: Given, order: Order) -> int:
    """Have a scenario and its variants run, leave their results, and show them; gives the exit code."""
    from sim.files import prepared, write_files
    from sim.garbage import LEFTOVERS
    from sim.scenario import load_scenarios

    file = load_scenarios(path, given.settings, given.seed)
    session.out = given.out or default_out(path)
    named = [(variant.name, variant.scenario) for variant in file.variants] or [("", file.base)]
    folders = [session.out / name for name, _scenario in named]
    states = [state for name, _scenario in named if (state := order.state.of(name)) is not None]
    _refuse_to_overwrite_results(states, folders)
    with prepared([session.out, *folders], states):
        runs: dict[str, Run] = {}
        for (name, scenario), folder in zip(named, folders, strict=True):
            shown = name or path.stem
            with progress(shown, given.quiet) as told:
                runs[name] = _run_one(name, scenario, path.parent, folder, order, told)
            LEFTOVERS.add(runs[name].results["operations"])
            session.finished.append(shown)
        from sim.report.run import Made, run_report  # what shows results is not needed to start

        title = printable(_title(path.name, [scenario for _name, scenario in named], order.engine))
        made = Made(title, order.command(given.settings, file.base.seed))
        results = {name: run.results for name, run in runs.items()}
        portraits = {name: run.portrait for name, run in runs.items()}
        write_files(session.out, {"report.html": run_report(made, results, portraits)})
    if not given.quiet:
        _show(session, file, title, runs, as_json=order.as_json)
    held = all(check["ok"] for result in results.values() for check in result["checks"].values())
    return 0 if held else CHECK_FAILED


def _show(session: Session, file: "ScenarioFile", title: str, runs: "dict[str, Run]", *, as_json: bool) -> None:
    """Show what runs have found, by their variants' names: as tables, or as JSON."""
    from sim.files import to_json
    from sim.summary import show_run, show_variants

    results = {name: run.results for name, run in runs.items()}
    if as_json:
        click.echo(to_json(results if file.variants else results[""]), nl=False)
        return
    console = session.console()
    where = printable(f"results and report in {session.out}/")
    if file.variants:
        varied = {variant.name: list(variant.varied) for variant in file.variants}
        show_variants(console, title, results, varied, where)
    else:
        show_run(console, title, results[""], where)
    for name, run in runs.items():
        if run.timeline:
            console.print(f"{f'{printable(name)}: ' if name else ''}{run.timeline}", markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Run:
    """What is shown of a run that is over."""

    results: dict[str, Any]
    portrait: "Portrait"
    timeline: str


def _run_one(
    name: str,
    scenario: "Scenario",
    beside: Path,
    folder: Path,
    order: Order,
    progress: Callable[[int, int], None],
) -> Run:
    timeline = None if order.timeline is None else order.timeline()
    outcome = order.run(scenario, beside, folder, progress, timeline)

    from sim.files import to_json, write_whole
    from sim.log import log_of  # what shows results is not needed to start
    from sim.report.portrait import portrait_of
    from sim.results import results_of

    results = results_of(outcome)
    files: dict[Path, str | bytes] = {
        folder / "log.jsonl": log_of(outcome),
        folder / "results.json": to_json(results),
        **order.state.text(name, outcome),
    }
    if timeline is not None:
        from sim.timeline.perfetto import to_perfetto

        text = to_perfetto(timeline, f"seed {scenario.seed}, {order.engine} time")
        files[folder / "timeline.perfetto-trace"] = text
    write_whole(files)
    described = "" if timeline is None else timeline.described()
    return Run(results, portrait_of(outcome, results, intervals=256), described)


def _refuse_to_overwrite_results(states: Sequence[Path], folders: Sequence[Path]) -> None:
    from sim.errors import BadInput
    from sim.files import RESULT_FILES

    taken = {(folder / name).resolve() for folder in folders for name in RESULT_FILES}
    for path in states:
        if path.resolve() in taken:
            raise BadInput("--vmallocinfo", repr(str(path)), "another file than the results'")


def _title(name: str, scenarios: "Sequence[Scenario]", engine: str) -> str:
    """Say what was run, as far as it holds for all of the scenarios."""
    described = [_described(scenario, engine) for scenario in scenarios]
    agreed = [words[0] for words in zip(*described, strict=True) if len(set(words)) == 1]
    return f"{name}: {', '.join(agreed)}"


def _described(scenario: "Scenario", engine: str) -> tuple[str, ...]:
    from sim.summary import count_of

    space, workload = scenario.space, scenario.workload
    return (
        workload.kind,
        _load(workload),
        count_of(scenario.machine.cpus, "CPU"),
        count_of(space.nodes, "node"),
        f"{space.zone_pages}-page zones" if space.zone_pages else "1-byte zones",
        f"{engine} engine",
        f"seed {scenario.seed}",
    )


def _load(workload: "Workload") -> str:
    """Say what a workload of its kind is about."""
    from sim.summary import count_of

    match workload.kind:
        case "trace":
            return workload.file
        case "test_vmalloc":
            test = workload.test_vmalloc
            loops = count_of(test.test_loop_count, "loop")
            return f"mask {test.run_test_mask}, {count_of(test.workers, 'worker')}, {loops}"
        case _:
            return count_of(workload.operations, "operation")
