"""What it costs to start: CPU seconds of a process, to its end, or to the first event of what it runs."""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial

from tests.bench.suite import ROOT, Bench, Case, Measured, Options, Runs, of_children, spread

REACHED = 86
"""The exit code of a process that got to its first event."""

TO_FIRST_EVENT = f"""
import os, sys
from sim.cli import main
from sim.virtual.world import VirtualWorld

async def conduct(_world):
    os._exit({REACHED})

VirtualWorld.conduct = conduct
main(sys.argv[1:])
"""

HELP, LIST, PEER_MODEL, QUICKSTART = (
    "`--help`",
    "`list strategies`",
    "`run configs/peer-model.toml`",
    "`run`, the quickstart",
)

TARGETS_S = {HELP: 0.3, PEER_MODEL: 0.5}


def run(_options: Options, *, command: list[str], code: int) -> Measured:
    """Run a process until it ends with `code`."""
    before_s, _mib = of_children()
    ended = subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, cwd=ROOT)
    assert ended.returncode == code, command
    return {"items": 1, "seconds": of_children()[0] - before_s}


def run_to_first_event(options: Options, *, words: list[str]) -> Measured:
    """Have `run` come to its first event."""
    with tempfile.TemporaryDirectory() as out:
        return run(options, command=["-c", TO_FIRST_EVENT, "run", *words, "--out", out], code=REACHED)


def cases(_options: Options) -> Mapping[str, Case]:
    """Commands that run nothing, to their end, and runs, to their first event."""
    return {
        HELP: partial(run, command=["-m", "sim", "--help"], code=0),
        LIST: partial(run, command=["-m", "sim", "list", "strategies"], code=0),
        PEER_MODEL: partial(run_to_first_event, words=["configs/peer-model.toml"]),
        QUICKSTART: partial(run_to_first_event, words=[]),
    }


def table(runs: Runs) -> str:
    """Give a row per case: CPU seconds, and what they ought to be."""
    rows = ["| | CPU seconds | target |", "|---|---|---|"]
    for case, several in runs.items():
        seconds = spread([one["seconds"] for one in several], ".2f")
        rows.append(f"| {case} | {seconds} | {TARGETS_S.get(case, '')} |")
    return "\n".join(rows)


def targets(runs: Runs) -> str:
    """Say which targets are missed."""
    seconds = {case: statistics.median(one["seconds"] for one in several) for case, several in runs.items()}
    missed = [case for case, most_s in TARGETS_S.items() if seconds[case] > most_s]
    return f"Over its target: {', '.join(missed)}." if missed else "No target is missed."


BENCH = Bench(
    title="Start",
    about="CPU seconds of a process: `--help` and `list` to their end, `run` from its start to its first event.",
    items="starts",
    cases=cases,
    table=table,
    remark=targets,
)
