"""`study`: a sweep over factors, replicated until it is known well enough, into tables and a report."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.commands import (
    CHECK_FAILED,
    Session,
    bar,
    default_out,
    jobs_option,
    out_option,
    printable,
    quiet_option,
    rate,
    seed_option,
    set_option,
    with_extensions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.study.campaign import CellResult, Progress
    from sim.study.cells import Cell
    from sim.study.model import Study
    from sim.study.runners import Runner
    from sim.study.store import Store


@click.command(
    name="study",
    short_help="Run a sweep, with intervals and comparisons.",
    epilog="What a study file holds is in docs/reference/study.md. A study that was interrupted goes on where it "
    "was when it is run again. Exit codes: 0 done, 1 a check or a cell failed, 2 bad input, "
    "130 interrupted, 143 terminated.",
)
@click.argument("study", type=click.Path(path_type=Path))
@set_option("Change a key of all cells.")
@seed_option("Change the seed of all seeds.")
@out_option("Folder for results [default: out/STUDY].")
@jobs_option()
@click.option(
    "--scheduler", metavar="ADDRESS", help="Run on a Dask cluster: tcp://HOST:PORT, or local to start one."
)
@click.option("--json", "as_json", is_flag=True, help="Print study.json instead of tables.")
@quiet_option("the files")
@with_extensions
@click.pass_obj
def command(
    session: Session,
    study: Path,
    settings: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    jobs: int | None,
    scheduler: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run the sweep that STUDY (a TOML file) asks for, on all cores or a Dask cluster."""
    from sim.study.cells import cells_of
    from sim.study.model import load_study
    from sim.study.runners import Cluster, Pool, all_cores

    asked = load_study(study, settings, seed)
    cells = cells_of(asked)
    workers = jobs or all_cores()
    runner: Runner = (
        Cluster(scheduler, workers) if scheduler else Pool(min(workers, len(cells) * asked.plan.replications.least))
    )
    session.out = out or default_out(study)
    results = _conduct(session, asked, cells, runner, quiet)
    if as_json and not quiet:
        click.echo((session.out / "study.json").read_text(encoding="utf-8"), nl=False)
    elif not quiet:
        from sim.study.screen import show_study

        where = printable(f"tables and report in {session.out}/")
        show_study(session.console(), asked, results, where)
    unaccepted = {name for result in results for name in result.exceptions()} - set(asked.plan.accept)
    return CHECK_FAILED if unaccepted or any(result.failure for result in results) else 0


def _conduct(
    session: Session, study: "Study", cells: "Sequence[Cell]", runner: "Runner", quiet: bool
) -> "list[CellResult]":
    """Run what is missing and write all files of the study."""
    from sim.files import prepared
    from sim.study import campaign, store
    from sim.study.outputs import outputs_of

    begun_s = time.monotonic()
    with prepared([session.out]), store.opened(session.out) as replications:
        session.kept = lambda: _kept(session.out, replications)
        with bar(study.path.stem, quiet) as told:

            def tell(progress: "Progress") -> None:
                note = f"{progress.cells_done}/{progress.cells} cells, {rate(progress.operations, begun_s)}"
                told(progress.replications_done, progress.replications, note)

            results = campaign.conduct(study, cells, replications, runner, tell)
        keys = [key for result in results for key in result.keys]
        store.compacted(session.out, replications, list(dict.fromkeys(keys)), outputs_of(study, results))
        session.kept = None
    session.finished.append(study.path.stem)
    return results


def _kept(folder: Path, replications: "Store") -> str:
    count: Any = len(replications)
    return f"{count} replications are kept in {folder}; the same command goes on from there"
