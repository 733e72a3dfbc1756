"""Replay of the largest trace in the project, and of any that is given."""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from attrs import evolve

from sim.replay import replay
from sim.traces.read import read_trace
from tests.bench.suite import ROOT, Bench, Case, Measured, Options

LARGEST = ROOT / "tests" / "data" / "vn-smp4-stacks.txt.gz"
KERNEL = "6.10"


def run(options: Options, *, trace: Path, read_only: bool) -> Measured:
    """Read a trace, and replay what was read."""
    began = time.process_time()
    recorded = read_trace(trace)
    items = int(len(recorded.events) * options.scale)
    if not read_only:
        replay(evolve(recorded, events=recorded.events[:items]), KERNEL)
    return {"items": len(recorded.events) if read_only else items, "seconds": time.process_time() - began}


def cases(options: Options) -> Mapping[str, Case]:
    """Each trace, read and replayed."""
    named = {f"{trace.parent.name}/{trace.name}": trace for trace in (LARGEST, *options.traces)}
    read: dict[str, Case] = {
        f"{name}, read only": partial(run, trace=trace, read_only=True) for name, trace in named.items()
    }
    replayed = {name: partial(run, trace=trace, read_only=False) for name, trace in named.items()}
    return read | replayed


BENCH = Bench(
    title="Replay",
    about=f"Traces of real kernels, read and replayed on kernel {KERNEL}.",
    items="records",
    cases=cases,
)
