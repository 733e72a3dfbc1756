"""`run`: a scenario and its variants, in virtual time or live."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.commands import Session, Whole
from sim.commands._running import Given, Order, StateFile, run_file, scenario_options

if TYPE_CHECKING:
    from sim.outcome import Outcome, Progress
    from sim.scenario.model import Scenario
    from sim.timeline.recording import Timeline

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.toml"
"""What `run` runs when it is given nothing."""


@click.command(
    name="run",
    short_help="Run a scenario and its variants.",
    epilog="The tables and keys of a scenario are in docs/reference/scenario.md, the names in it in `list`. "
    "Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted, 143 terminated.",
)
@click.argument("scenario", type=click.Path(path_type=Path), required=False)
@scenario_options
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
@click.option("--timeline-holds", type=Whole(1), metavar="N", help="Holds of locks in it [default: 200,000].")
@click.option("--timeline-window", metavar="FROM:TO", help="Nanoseconds of the run that it shows [default: all].")
@click.option(
    "--json", "as_json", is_flag=True, help="Print results.json (of variants: by name) instead of tables."
)
def command(
    session: Session,
    scenario: Path | None,
    given: Given,
    engine: str,
    vmallocinfo: Path | None,
    vmallocinfo_order: str | None,
    timeline: bool,
    timeline_holds: int | None,
    timeline_window: str | None,
    as_json: bool,
) -> int:
    """Run SCENARIO (a TOML file; without one, the quickstart) and show what it found."""
    path = scenario or QUICKSTART
    wanted = timeline or timeline_holds is not None or timeline_window is not None

    def run(
        chosen: "Scenario", beside: Path, _folder: Path, progress: "Progress", timeline: "Timeline | None"
    ) -> "Outcome":
        from sim.simulation import simulate

        return simulate(chosen, beside, engine=engine, progress=progress, timeline=timeline)

    order = Order(
        engine=engine,
        words=["run", str(path)],
        run=run,
        timeline=_timeline(timeline_holds, timeline_window) if wanted else None,
        state=_state_file(vmallocinfo, vmallocinfo_order),
        as_json=as_json,
    )
    return run_file(session, path, given, order)


def _state_file(path: Path | None, order: str | None) -> StateFile:
    from sim.errors import BadInput

    if path is None and order is not None:
        raise BadInput("--vmallocinfo-order", repr(order), "only together with --vmallocinfo")
    if path is not None and path.name in ("", "-", ".."):
        raise BadInput("--vmallocinfo", repr(str(path)), "a file's name")
    return StateFile(path, order or "node")


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
