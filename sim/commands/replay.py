"""`replay`: what a real kernel recorded, held against the model."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.commands import CHECK_FAILED, Session, Whole, out_option, printable, progress, with_extensions

if TYPE_CHECKING:
    from sim.partition import Partition

PARTITION = "partition.json"
"""What a partition report is called in the folder for results."""


@click.command(
    name="replay",
    short_help="Hold a recorded trace against the kernel's rules.",
    epilog="How to record: docs/how-to/record-a-trace.md. Exit codes: 0 done, 1 addresses were lost, 2 bad input, "
    "130 interrupted, 143 terminated.",
)
@click.argument("trace", type=click.Path(path_type=Path), required=False)
@click.option(
    "--kernel", default="auto", metavar="NAME", show_default=True, help="A kernel of `list kernels`, or auto."
)
@click.option(
    "--cpus",
    type=Whole(1, 8192),
    metavar="N",
    help="The machine's possible CPUs [default: what the file shows].",
)
@click.option(
    "--initial",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The machine's /proc/vmallocinfo when the recording began.",
)
@click.option(
    "--vmalloc-range",
    metavar="START:END",
    help="The machine's VMALLOC_START and VMALLOC_END, hexadecimal [default: the widest range that TRACE has].",
)
@out_option("Folder for results [default: out/TRACE].")
@click.option(
    "--vmallocinfo",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Instead of a trace: show how the areas of a /proc/vmallocinfo fall to nodes; - is standard input.",
)
@with_extensions
@click.pass_obj
def command(
    session: Session,
    trace: Path | None,
    kernel: str,
    cpus: int | None,
    initial: Path | None,
    vmalloc_range: str | None,
    out: Path | None,
    vmallocinfo: Path | None,
) -> int:
    """Replay TRACE, a recording of the vmalloc events (- is standard input), and compare every address.

    Says which of them the chosen kernel's rules explain, and how.
    """
    from sim.errors import BadInput

    if (trace is None) == (vmallocinfo is None):
        found = "neither" if trace is None else "both"
        raise BadInput("replay", f"{found} of TRACE and --vmallocinfo", "one of them")
    if vmallocinfo is not None:
        for option, value in (("--initial", initial), ("--vmalloc-range", vmalloc_range)):
            if value is not None:
                raise BadInput(option, f"{value}, with --vmallocinfo", "it with a TRACE, that is replayed")
        if kernel != "auto":
            raise BadInput("--kernel", f"{kernel!r}, with --vmallocinfo", "it with a TRACE, that is replayed")
        return _show_partition(session, vmallocinfo, cpus, out)
    assert trace is not None, "one of them is given"
    given = _range(vmalloc_range) if vmalloc_range is not None else None
    return _replay(session, trace, kernel, cpus, initial, given, out)


def _range(text: str) -> tuple[int, int]:
    """Read a range of addresses. Raises `BadInput`."""
    from sim.errors import BadInput
    from sim.replay.ranges import checked

    try:
        start, end = (int(address, 16) for address in text.split(":"))
    except ValueError:
        allowed = "START:END, hexadecimal, as a trace prints vstart and vend"
        raise BadInput("--vmalloc-range", repr(text), allowed) from None
    return checked("--vmalloc-range", start, end)


def _replay(
    session: Session,
    trace: Path,
    kernel: str,
    cpus: int | None,
    initial: Path | None,
    vmalloc_range: tuple[int, int] | None,
    out: Path | None,
) -> int:
    from protocol.kernel import KERNELS
    from sim.errors import BadInput
    from sim.files import prepared, to_json, write_files
    from sim.replay import AUTO, replay
    from sim.replay.report import results_of, show_replay
    from sim.traces.lines import STANDARD_INPUT, place_of
    from sim.traces.read import read_trace
    from sim.vmallocinfo import read_vmallocinfo

    if kernel not in (AUTO, *KERNELS):
        raise BadInput("--kernel", repr(kernel), ", ".join((AUTO, *KERNELS)))
    name = place_of(trace) if trace == STANDARD_INPUT else trace.name
    session.out = out or Path("out") / ("replay" if trace == STANDARD_INPUT else name.partition(".")[0] or "replay")
    recorded = read_trace(trace)
    records = read_vmallocinfo(initial) if initial is not None else ()
    with prepared([session.out]):
        with progress(name, quiet=False) as told:
            outcome = replay(recorded, kernel, cpus, records, told, vmalloc_range)
        results = results_of(outcome, name)
        write_files(session.out, {"results.json": to_json(results)})
        session.finished.append(name)
    where = printable(f"results in {session.out}/")
    show_replay(session.console(), printable(name), outcome, where)
    return 0 if results["checks"]["nothing_lost"]["ok"] else CHECK_FAILED


def _show_partition(session: Session, vmallocinfo: Path, cpus: int | None, out: Path | None) -> int:
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
    from sim.files import prepared, to_json, write_files

    with prepared([folder]):
        write_files(folder, {PARTITION: to_json(report.as_dict())})
