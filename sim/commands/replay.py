"""`replay`: what a real kernel recorded, held against the model."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.commands import Session, printable

if TYPE_CHECKING:
    from sim.partition import Partition

PARTITION = "partition.json"
"""What a partition report is called in the folder for results."""


@click.command(
    name="replay",
    epilog="How to record: docs/how-to/record-a-trace.md. Exit codes: 0 done, 2 bad input.",
)
@click.option(
    "--vmallocinfo",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="Show how the areas of a machine's /proc/vmallocinfo fall to nodes; - is standard input.",
)
@click.option(
    "--cpus",
    type=click.IntRange(1, 8192),
    metavar="N",
    help="The machine's possible CPUs [default: what the file's order shows].",
)
@click.option("--out", type=click.Path(path_type=Path), help=f"Folder for {PARTITION} [default: none is written].")
@click.pass_obj
def command(session: Session, vmallocinfo: Path, cpus: int | None, out: Path | None) -> int:
    """Hold what a real kernel recorded against the model."""
    from sim.partition import nodes_shown_by, partition
    from sim.partition_summary import show_partition
    from sim.traces.lines import STANDARD_INPUT, place_of
    from sim.vmallocinfo import read_vmallocinfo

    records = read_vmallocinfo(vmallocinfo)
    report = partition(records, cpus or nodes_shown_by(records))
    if out is not None:
        session.out = out
        _write(report, out)
        session.finished.append(PARTITION)
    name = place_of(vmallocinfo) if vmallocinfo == STANDARD_INPUT else vmallocinfo.name
    show_partition(session.console(), printable(name), report)
    return 0


def _write(report: "Partition", folder: Path) -> None:
    from sim.results import prepared, to_json, write_files

    with prepared([folder]):
        write_files(folder, {PARTITION: to_json(report.as_dict())})
