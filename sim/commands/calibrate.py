"""`calibrate`: constants fitted to measurements, into a costs file that says how well, and what it predicts."""

from pathlib import Path
from typing import TYPE_CHECKING

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
    seed_option,
    with_extensions,
)

if TYPE_CHECKING:
    from sim.calibration.solution import Progress


@click.command(
    name="calibrate",
    short_help="Fit constants to measurements.",
    epilog="What a targets file holds is in docs/reference/targets.md. Exit codes: 0 done, 1 a check failed in "
    "the runs with the fitted constants, 2 bad input, 130 interrupted, 143 terminated.",
)
@click.argument("targets", type=click.Path(path_type=Path))
@seed_option("Change the seed of all runs.")
@out_option("The file [default: out/TARGETS/costs.toml].", metavar="FILE")
@jobs_option()
@quiet_option("the file")
@with_extensions
@click.pass_obj
def command(
    session: Session, targets: Path, seed: int | None, out: Path | None, jobs: int | None, quiet: bool
) -> int:
    """Fit the constants that TARGETS (a TOML file) names to measurements, and write a costs file."""
    from sim.calibration.model import load_targets
    from sim.calibration.outputs import costs_file
    from sim.calibration.runs import Evaluator
    from sim.calibration.screen import show_solution
    from sim.calibration.solution import calibrate
    from sim.files import prepared, write_whole
    from sim.study.runners import Pool, all_cores

    asked = load_targets(targets, seed)
    file = out or default_out(targets) / "costs.toml"
    budget = asked.plan.evaluations
    with (
        prepared([], [file]),
        Pool(jobs or all_cores()).kept() as runner,
        bar(asked.path.stem, quiet) as told,
    ):

        def tell(progress: "Progress") -> None:
            off = "" if progress.rms != progress.rms else f", rms error {progress.rms:.2%}"
            told(progress.evaluations, budget, f"{progress.evaluations} sets in {progress.runs} runs{off}")

        solution = calibrate(asked, Evaluator(asked, runner), tell)
        write_whole({file: costs_file(solution)})
    session.out, session.finished = file.parent, [asked.path.stem]
    if not quiet:
        show_solution(session.console(), solution, printable(f"costs in {file}"))
    return CHECK_FAILED if solution.failed_checks else 0
