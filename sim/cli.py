"""The command line. Exit codes: 0 done, 1 a check failed, 2 bad input (one line on stderr).

What a command needs is imported when it runs, so that `--help` answers at once.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from protocol.errors import VmapsimError

if TYPE_CHECKING:
    from rich.console import Console

    from sim.scenario.file import ScenarioFile
    from sim.scenario.model import Scenario

QUICKSTART = Path(__file__).parent.parent / "configs" / "quickstart.toml"
"""What `run` runs when it is given nothing."""

CHECK_FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130

PIPE_COLUMNS = 120
"""Columns of the tables where there is no terminal to ask."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; give the exit code. Errors that users cause are one line on stderr."""
    try:
        code = _cli.main(args=arguments, prog_name="vmapsim", standalone_mode=False)
    except click.ClickException as error:
        return _complain(error.format_message())
    except VmapsimError as error:
        return _complain(str(error))
    except click.Abort:
        return INTERRUPTED
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        click.echo("vmapsim: interrupted, nothing was written", err=True)
        return INTERRUPTED
    except KeyboardInterrupt:
        click.echo("vmapsim: interrupted, nothing was written", err=True)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _complain(text: str) -> int:
    click.echo(f"vmapsim: {' '.join(text.split())}", err=True)
    return BAD_INPUT


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="vmapsim")
def _cli() -> None:
    """Linux's vmap nodes as trio actors, in deterministic virtual time."""


@_cli.command()
@click.argument("scenario", type=click.Path(path_type=Path), required=False)
@click.option("--set", "settings", multiple=True, metavar="TABLE.KEY=VALUE", help="Change a key; may be repeated.")
@click.option("--seed", type=click.IntRange(min=0), help="Change the seed.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for results [default: out/SCENARIO].")
@click.option(
    "--engine",
    type=click.Choice(["virtual", "live"]),
    default="virtual",
    show_default=True,
    help="Virtual time, or real trio channels on the wall clock.",
)
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code and the files say it all.")
def run(
    scenario: Path | None,
    settings: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    engine: str,
    quiet: bool,
) -> int:
    """Run SCENARIO (a TOML file; without one, the quickstart) and show what it found."""
    from rich.console import Console

    from sim.results import prepare_folder
    from sim.scenario import load_scenarios

    path = scenario or QUICKSTART
    file = load_scenarios(path, settings, seed)
    out = out or Path("out") / path.stem
    folders = [out / variant.name for variant in file.variants] or [out]
    for folder in folders:
        prepare_folder(folder)
    wide = None if sys.stdout.isatty() else PIPE_COLUMNS
    console = Console(quiet=quiet, highlight=False, width=wide)
    return _run_all(file, folders, out, engine, console)


@_cli.command(name="list")
@click.argument("what", type=click.Choice(["kernels", "policies", "strategies", "workloads", "costs"]))
def list_(what: str) -> None:
    """List what scenarios can name, each with a line of explanation."""
    from sim.catalogue import CATALOGUES

    entries = CATALOGUES[what]()
    width = max(len(name) for name in entries)
    for name, summary in entries.items():
        click.echo(f"{name:<{width}}  {summary}")


def _run_all(file: "ScenarioFile", folders: list[Path], out: Path, engine: str, console: "Console") -> int:
    """Run a scenario or its variants, write their results, and show them."""
    from sim.summary import show_run, show_variants

    named = [(variant.name, variant.scenario) for variant in file.variants] or [("", file.base)]
    results = {}
    for (name, scenario), folder in zip(named, folders, strict=True):
        with _progress(console, name or file.path.stem) as progress:
            results[name] = _run_one(scenario, file.path.parent, folder, engine, progress)
    where = f"results in {out}/"
    title = _title(file, engine)
    if file.variants:
        varied = {variant.name: list(variant.varied) for variant in file.variants}
        show_variants(console, title, results, varied, where)
    else:
        show_run(console, title, results[""], where)
    held = all(check["ok"] for result in results.values() for check in result["checks"].values())
    return 0 if held else CHECK_FAILED


def _run_one(
    scenario: "Scenario", beside: Path, folder: Path, engine: str, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    from sim.log import log_of
    from sim.results import results_of, to_json, write_text
    from sim.simulation import simulate

    outcome = simulate(scenario, beside, engine=engine, progress=progress)
    results = results_of(outcome)
    write_text(folder / "log.jsonl", log_of(outcome))
    write_text(folder / "results.json", to_json(results))
    return results


def _title(file: "ScenarioFile", engine: str) -> str:
    space, machine, workload = file.base.space, file.base.machine, file.base.workload
    source = workload.file if workload.kind == "trace" else f"{workload.operations:,} operations"
    return (
        f"{file.path.name}: {workload.kind} ({source}), {machine.cpus} CPUs, {space.nodes} nodes, "
        f"{space.zone_pages}-page zones, {engine} engine, seed {file.base.seed}"
    )


@contextmanager
def _progress(console: "Console", name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while a run lasts, on a terminal and nowhere else."""
    if not console.is_terminal or console.quiet:
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name)
        yield lambda done, total: bar.update(task, completed=done, total=total)
