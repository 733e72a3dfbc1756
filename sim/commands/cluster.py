"""`cluster`: a real run in several processes, from one command."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.commands import Session, Whole
from sim.commands._running import Given, Order, run_file, scenario_options

if TYPE_CHECKING:
    from sim.outcome import Outcome, Progress
    from sim.scenario import Scenario


@click.command(
    name="cluster",
    short_help="Run a scenario over processes on this machine.",
    epilog="Logs of the processes are in the results' folder. "
    "Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted, 143 terminated.",
)
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--processes", type=Whole(1, 64), default=4, show_default=True, help="Serve processes.")
@click.option("--state", type=click.Path(path_type=Path), help="Folder for state: acknowledged means on disk.")
@scenario_options
def command(
    session: Session,
    scenario: Path,
    processes: int,
    state: Path | None,
    given: Given,
) -> int:
    """Start serve processes, run SCENARIO's clients against them, stop them, and show what was found."""

    def run(chosen: "Scenario", beside: Path, folder: Path, progress: "Progress", _timeline: object) -> "Outcome":
        from sim.cluster.processes import run_cluster

        session.nothing = f"no results were written, the processes' logs are in {folder}"
        return run_cluster(chosen, beside, folder, processes, state, progress)

    words = ["cluster", str(scenario), "--processes", str(processes)]
    return run_file(session, scenario, given, Order("cluster", words, run))
