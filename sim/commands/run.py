"""`run`: a scenario and its variants, into results and one screen of tables."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.commands import CHECK_FAILED, Session, default_out, printable, progress

if TYPE_CHECKING:
    from rich.console import Console

    from sim.report.portrait import Portrait
    from sim.scenario.file import ScenarioFile
    from sim.scenario.model import Scenario

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
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code and the files say it all.")
@click.pass_obj
def command(
    session: Session,
    scenario: Path | None,
    settings: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    engine: str,
    quiet: bool,
) -> int:
    """Run SCENARIO (a TOML file; without one, the quickstart) and show what it found."""
    from sim.scenario import load_scenarios

    path = scenario or QUICKSTART
    file = load_scenarios(path, settings, seed)
    session.out = out or default_out(path)
    words = ["./dev", "run", str(path), *(word for setting in settings for word in ("--set", setting))]
    words += ["--seed", str(file.base.seed), "--engine", engine]
    return _run_all(file, session, engine, shlex.join(words), session.console(quiet=quiet))


def _run_all(file: "ScenarioFile", session: Session, engine: str, command: str, console: "Console") -> int:
    """Run a scenario or its variants, write their results, and show them."""
    from sim.report.run import Made, run_report
    from sim.results import prepared, write_files
    from sim.summary import show_run, show_variants

    named = [(variant.name, variant.scenario) for variant in file.variants] or [("", file.base)]
    folders = [session.out / name for name, _scenario in named]
    results: dict[str, Any] = {}
    portraits: dict[str, Any] = {}
    with prepared([session.out, *folders]):
        for (name, scenario), folder in zip(named, folders, strict=True):
            with progress(name or file.path.stem, console.quiet) as told:
                results[name], portraits[name] = _run_one(scenario, file.path.parent, folder, engine, told)
            session.finished.append(name or file.path.stem)
        title = printable(_title(file.path.name, [scenario for _name, scenario in named], engine))
        write_files(session.out, {"report.html": run_report(Made(title, command), results, portraits)})
    where = printable(f"results and report in {session.out}/")
    if file.variants:
        varied = {variant.name: list(variant.varied) for variant in file.variants}
        show_variants(console, title, results, varied, where)
    else:
        show_run(console, title, results[""], where)
    held = all(check["ok"] for result in results.values() for check in result["checks"].values())
    return 0 if held else CHECK_FAILED


def _run_one(
    scenario: "Scenario", beside: Path, folder: Path, engine: str, progress: Callable[[int, int], None]
) -> "tuple[dict[str, Any], Portrait]":
    from sim.log import log_of
    from sim.report.portrait import portrait_of
    from sim.results import results_of, to_json, write_files
    from sim.simulation import simulate

    outcome = simulate(scenario, beside, engine=engine, progress=progress)
    results = results_of(outcome)
    write_files(folder, {"log.jsonl": log_of(outcome), "results.json": to_json(results)})
    return results, portrait_of(outcome, results, intervals=256)


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
        workload.file if workload.kind == "trace" else count_of(workload.operations, "operation"),
        count_of(scenario.machine.cpus, "CPU"),
        count_of(space.nodes, "node"),
        f"{space.zone_pages}-page zones",
        f"{engine} engine",
        f"seed {scenario.seed}",
    )
