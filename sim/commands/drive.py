"""`drive`: a scenario's clients against members that others started."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.commands import Session, printable
from sim.commands._running import Given, Order, run_file, scenario_options

if TYPE_CHECKING:
    from sim.cluster.members import Members
    from sim.outcome import Outcome, Progress
    from sim.scenario import Scenario


@click.command(
    name="drive",
    short_help="Run a scenario against a cluster's members.",
    epilog="Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted, 143 terminated.",
)
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--members", required=True, type=click.Path(path_type=Path), help="The members (a TOML file).")
@scenario_options
def command(
    session: Session,
    scenario: Path,
    members: Path,
    given: Given,
) -> int:
    """Run SCENARIO's clients against the members of a cluster."""

    def run(chosen: "Scenario", beside: Path, _folder: Path, progress: "Progress", _timeline: object) -> "Outcome":
        from sim.cluster.driving import drive
        from sim.cluster.members import load_members

        def hosted(needs_free: bool) -> "Members":
            return load_members(members, chosen.space.nodes, needs_free)

        def waiting(text: str) -> None:
            if not given.quiet:
                click.echo(f"vmapsim: {printable(text)}", err=True)

        return drive(chosen, beside, hosted, progress=progress, waiting=waiting)

    words = ["drive", str(scenario), "--members", str(members)]
    return run_file(session, scenario, given, Order("cluster", words, run))
