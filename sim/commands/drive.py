"""`drive`: a scenario's clients against members that others started."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.commands import Session, with_extensions

if TYPE_CHECKING:
    from sim.cluster.members import Members
    from sim.scenario import Scenario
    from sim.simulation import Outcome, Progress


@click.command(name="drive", epilog="Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted.")
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--members", required=True, type=click.Path(path_type=Path), help="The members (a TOML file).")
@click.option("--set", "settings", multiple=True, metavar="TABLE.KEY=VALUE", help="Change a key; may be repeated.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), metavar="N", help="Change the seed.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for results [default: out/SCENARIO].")
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code and the files say it all.")
@with_extensions
@click.pass_obj
def command(
    session: Session,
    scenario: Path,
    members: Path,
    settings: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    quiet: bool,
) -> int:
    """Run SCENARIO's clients against the members of a cluster."""
    from sim import extensions
    from sim.commands.run import Order, run_file

    def run(chosen: "Scenario", beside: Path, _folder: Path, progress: "Progress", _timeline: object) -> "Outcome":
        from sim.cluster.driving import drive
        from sim.cluster.members import load_members

        def hosted(needs_free: bool) -> "Members":
            return load_members(members, chosen.space.nodes, needs_free)

        return drive(chosen, beside, hosted, progress=progress)

    words = ["./dev", "drive", str(scenario), "--members", str(members)]
    words += extensions.words()
    words += [word for setting in settings for word in ("--set", setting)]
    return run_file(session, scenario, settings, seed, out, Order("cluster", words, run), quiet=quiet)
