"""`run`: a scenario and its variants, into results and one screen of tables."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.commands import CHECK_FAILED, Session, default_out, printable, progress, with_extensions

if TYPE_CHECKING:
    from sim.report.portrait import Portrait
    from sim.scenario.file import ScenarioFile
    from sim.scenario.model import Scenario, Workload
    from sim.simulation import Outcome, Progress
    from sim.timeline.recording import Timeline

    Runner = Callable[[Scenario, Path, Path, Progress, Timeline | None], Outcome]
    """Runs a scenario: told where its files are, where its results will be, whom to tell how far it is, and, if it
    is asked for, the timeline to fill."""

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.toml"
"""What `run` runs when it is given nothing."""


@click.command(
    name="run",
    epilog="The tables and keys of a scenario are in docs/reference/scenario.md, the names in it in `list`. "
    "Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted.",
)
@click.argument("scenario", type=click.Path(path_type=Path), required=False)
@click.option("--set", "settings", multiple=True, metavar="TABLE.KEY=VALUE", help="Change a key; may be repeated.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), metavar="N", help="Change the seed.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for results [default: out/SCENARIO].")
@click.option(
    "--engine",
    type=click.Choice(["virtual", "live"]),
    default="virtual",
    show_default=True,
    help="Virtual time, or real trio channels on the wall clock.",
)
@click.option(
    "--vmallocinfo",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the areas at the end as /proc/vmallocinfo shows them; those of a variant into FILE.VARIANT.",
)
@click.option(
    "--vmallocinfo-order",
    type=click.Choice(["node", "address"]),
    help="The order of FILE: node by node, as the kernel's, or by address [default: node].",
)
@click.option("--timeline", is_flag=True, help="Write timeline.perfetto-trace, for ui.perfetto.dev.")
@click.option(
    "--timeline-holds", type=click.IntRange(1), metavar="N", help="Holds of locks in it [default: 200,000]."
)
@click.option("--timeline-window", metavar="FROM:TO", help="Nanoseconds of the run that it shows [default: all].")
@click.option(
    "--json", "as_json", is_flag=True, help="Print results.json (of variants: by name) instead of tables."
)
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code and the files say it all.")
@with_extensions
@click.pass_obj
def command(
    session: Session,
    scenario: Path | None,
    settings: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    engine: str,
    vmallocinfo: Path | None,
    vmallocinfo_order: str | None,
    timeline: bool,
    timeline_holds: int | None,
    timeline_window: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run SCENARIO (a TOML file; without one, the quickstart) and show what it found."""
    from sim import extensions

    path = scenario or QUICKSTART
    words = ["./dev", "run", str(path), *extensions.words()]
    words += [word for setting in settings for word in ("--set", setting)]
    wanted = timeline or timeline_holds is not None or timeline_window is not None

    def run(
        chosen: "Scenario", beside: Path, _folder: Path, progress: "Progress", timeline: "Timeline | None"
    ) -> "Outcome":
        from sim.simulation import simulate

        return simulate(chosen, beside, engine=engine, progress=progress, timeline=timeline)

    order = Order(
        engine=engine,
        words=words,
        run=run,
        timeline=_timeline(timeline_holds, timeline_window) if wanted else None,
        state=_state_file(vmallocinfo, vmallocinfo_order),
        as_json=as_json,
    )
    return run_file(session, path, settings, seed, out, order, quiet=quiet)


def run_file(
    session: Session,
    path: Path,
    settings: "Sequence[str]",
    seed: int | None,
    out: Path | None,
    order: "Order",
    *,
    quiet: bool,
) -> int:
    """Have a scenario and its variants run, leave their results, and show them; gives the exit code."""
    from sim.scenario import load_scenarios

    file = load_scenarios(path, settings, seed)
    session.out = out or default_out(path)
    return _run_all(file, session, order, quiet=quiet)


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


def _state_file(path: Path | None, order: str | None) -> StateFile:
    from sim.errors import BadInput

    if path is None and order is not None:
        raise BadInput("--vmallocinfo-order", repr(order), "only together with --vmallocinfo")
    if path is not None and path.name in ("", "-", ".."):
        raise BadInput("--vmallocinfo", repr(str(path)), "a file's name")
    return StateFile(path, order or "node")


@dataclass(frozen=True)
class Order:
    """What a run is asked for besides its scenario."""

    engine: str
    words: list[str]
    """The command without its seed."""
    run: "Runner"
    timeline: "Callable[[], Timeline] | None" = None
    state: StateFile = StateFile(None, "node")
    as_json: bool = False

    def command(self, seed: int) -> str:
        """Give the command that runs it again."""
        with_engine = [] if self.engine == "cluster" else ["--engine", self.engine]
        return shlex.join([*self.words, "--seed", str(seed), *with_engine])


def _timeline(most: int | None, window: str | None) -> "Callable[[], Timeline]":
    """Give what makes a timeline for a run. Raises `BadInput`."""
    from sim.errors import BadInput
    from sim.timeline.recording import MOST_HOLDS, NEVER, Timeline

    first, colon, last = (window or ":").partition(":")
    try:
        from_ns, until_ns = int(first or 0), int(last or NEVER)
    except ValueError:
        from_ns, until_ns, colon = 0, -1, ""
    if not colon or not 0 <= from_ns < until_ns:
        raise BadInput("--timeline-window", repr(window), "FROM:TO in nanoseconds, FROM before TO")
    return lambda: Timeline(most or MOST_HOLDS, from_ns, until_ns)


def _run_all(file: "ScenarioFile", session: Session, order: Order, *, quiet: bool) -> int:
    """Run a scenario or its variants, write their results, and show them."""
    from sim.garbage import LEFTOVERS
    from sim.results import prepared, to_json, write_files

    named = [(variant.name, variant.scenario) for variant in file.variants] or [("", file.base)]
    folders = [session.out / name for name, _scenario in named]
    states = [path for name, _scenario in named if (path := order.state.of(name)) is not None]
    _refuse_to_overwrite_results(states, folders)
    runs: dict[str, Run] = {}
    with prepared([session.out, *folders], states):
        for (name, scenario), folder in zip(named, folders, strict=True):
            with progress(name or file.path.stem, quiet) as told:
                runs[name] = _run_one(name, scenario, file.path.parent, folder, order, told)
            LEFTOVERS.add(runs[name].results["operations"])
            session.finished.append(name or file.path.stem)
        from sim.report.run import Made, run_report  # what shows results is not needed to start
        from sim.summary import show_run, show_variants

        title = printable(_title(file.path.name, [scenario for _name, scenario in named], order.engine))
        results = {name: run.results for name, run in runs.items()}
        portraits = {name: run.portrait for name, run in runs.items()}
        write_files(
            session.out, {"report.html": run_report(Made(title, order.command(file.base.seed)), results, portraits)}
        )
    if order.as_json and not quiet:
        click.echo(to_json(results if file.variants else results[""]), nl=False)
    console = session.console(quiet=quiet or order.as_json)
    where = printable(f"results and report in {session.out}/")
    if file.variants:
        varied = {variant.name: list(variant.varied) for variant in file.variants}
        show_variants(console, title, results, varied, where)
    else:
        show_run(console, title, results[""], where)
    for name, run in runs.items():
        if run.timeline:
            console.print(f"{f'{printable(name)}: ' if name else ''}{run.timeline}", markup=False, soft_wrap=True)
    held = all(check["ok"] for result in results.values() for check in result["checks"].values())
    return 0 if held else CHECK_FAILED


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

    from sim.log import log_of  # what shows results is not needed to start
    from sim.report.portrait import portrait_of
    from sim.results import results_of, to_json, write_whole

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
    from sim.scenario.file import RESULT_FILES

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
