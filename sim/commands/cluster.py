"""`cluster`: a real run in several processes, from one command."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.commands import Session, with_extensions

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.simulation import Outcome, Progress


@click.command(
    name="cluster",
    epilog="Logs of the processes are in the results' folder. "
    "Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted.",
)
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--processes", type=click.IntRange(1, 64), default=4, show_default=True, help="Serve processes.")
@click.option("--state", type=click.Path(path_type=Path), help="Folder for state: acknowledged means on disk.")
@click.option("--set", "settings", multiple=True, metavar="TABLE.KEY=VALUE", help="Change a key; may be repeated.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), metavar="N", help="Change the seed.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for results [default: out/SCENARIO].")
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code and the files say it all.")
@with_extensions
@click.pass_obj
def command(
    session: Session,
    scenario: Path,
    processes: int,
    state: Path | None,
    settings: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    quiet: bool,
) -> int:
    """Start serve processes, run SCENARIO's clients against them, stop them, and show what was found."""
    from sim import extensions
    from sim.commands.run import Order, run_file

    def run(chosen: "Scenario", beside: Path, folder: Path, progress: "Progress", _timeline: object) -> "Outcome":
        from sim.cluster.processes import run_cluster

        return run_cluster(chosen, beside, folder, processes, state, progress)

    words = ["./dev", "cluster", str(scenario), "--processes", str(processes)]
    words += extensions.words()
    words += [word for setting in settings for word in ("--set", setting)]
    return run_file(session, scenario, settings, seed, out, Order("cluster", words, run), quiet=quiet)
