"""`run`: a scenario and its variants, into results and one screen of tables."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.commands import CHECK_FAILED, Session, printable, progress

if TYPE_CHECKING:
    from rich.console import Console

    from sim.scenario.file import ScenarioFile
    from sim.scenario.model import Scenario, Workload
    from sim.simulation import Outcome, Progress

    Runner = Callable[[Scenario, Path, Path, Progress], Outcome]
    """Runs a scenario: told where its files are, where its results will be, and whom to tell how far it is."""

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

    def run(chosen: "Scenario", beside: Path, _folder: Path, progress: "Progress") -> "Outcome":
        from sim.simulation import simulate

        return simulate(chosen, beside, engine=engine, progress=progress)

    return run_file(session, scenario or QUICKSTART, settings, seed, out, engine, quiet=quiet, run=run)


def run_file(
    session: Session,
    path: Path,
    settings: "Sequence[str]",
    seed: int | None,
    out: Path | None,
    engine: str,
    *,
    quiet: bool,
    run: "Runner",
) -> int:
    """Have a scenario and its variants run by `run`, leave their results, and show them; gives the exit code."""
    from sim.scenario import load_scenarios

    file = load_scenarios(path, settings, seed)
    session.out = out or _default_out(path)
    return _run_all(file, session, engine, session.console(quiet=quiet), run)


def _default_out(path: Path) -> Path:
    if not path.stem.strip(". "):
        from sim.errors import BadInput

        raise BadInput("--out", f"none, and no folder's name in {path.name!r}", "a folder for the results")
    return Path("out") / path.stem


def _run_all(file: "ScenarioFile", session: Session, engine: str, console: "Console", run: "Runner") -> int:
    """Run a scenario or its variants, write their results, and show them."""
    from sim.results import prepared
    from sim.summary import show_run, show_variants

    named = [(variant.name, variant.scenario) for variant in file.variants] or [("", file.base)]
    folders = [session.out / name for name, _scenario in named]
    results = {}
    with prepared(folders):
        for (name, scenario), folder in zip(named, folders, strict=True):
            with progress(name or file.path.stem, console.quiet) as told:
                results[name] = _write(run(scenario, file.path.parent, folder, told), folder)
            session.finished.append(name or file.path.stem)
    where = printable(f"results in {session.out}/")
    title = printable(_title(file.path.name, [scenario for _name, scenario in named], engine))
    if file.variants:
        varied = {variant.name: list(variant.varied) for variant in file.variants}
        show_variants(console, title, results, varied, where)
    else:
        show_run(console, title, results[""], where)
    held = all(check["ok"] for result in results.values() for check in result["checks"].values())
    return 0 if held else CHECK_FAILED


def _write(outcome: "Outcome", folder: Path) -> dict[str, Any]:
    from sim.log import log_of
    from sim.results import results_of, to_json, write_files

    results = results_of(outcome)
    write_files(folder, {"log.jsonl": log_of(outcome), "results.json": to_json(results)})
    return results


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
