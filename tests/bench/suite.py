"""What a benchmark is, and how it is run: cases that alternate, each run in a child process of its own.

So all cases meet the same noise, and only ratios within a round are to be trusted. Where one process does the work
seconds are CPU seconds, else wall seconds. Peak memory is the child's, imports included.
"""

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from attrs import field, frozen

ROOT = Path(__file__).parents[2]

NAMES = (
    "peers",
    "requests",
    "live",
    "cluster",
    "slow_reader",
    "replay",
    "kernel",
    "study",
    "start",
    "growth",
    "memory",
    "busy_tree",
)
"""The benchmarks, a file each, in the order of the page."""

Measured: TypeAlias = dict[str, Any]
"""`items` done in `seconds`, and whatever else the benchmark's remark is about."""


@frozen
class Options:
    """What all benchmarks are told."""

    scale: float = 1.0
    """The share of the work that is done: the suite is tried at small scale."""
    traces: tuple[Path, ...] = ()
    """Further traces to replay."""
    long: bool = False
    """Whether the long run is made, too."""


Case: TypeAlias = Callable[[Options], Measured]

Runs: TypeAlias = Mapping[str, Sequence[Measured]]
"""What was measured, by case and round."""


@frozen
class Bench:
    """A benchmark: what is compared, and with what."""

    title: str
    about: str
    """What the cases are, in a sentence or two."""
    items: str
    """What is counted."""
    cases: Callable[[Options], Mapping[str, Case]]
    base: str | None = None
    """The case that others are compared with; by default the first."""
    clock: str = "CPU"
    needs: Mapping[str, str] = field(factory=dict)
    """Modules without which a case is skipped."""
    table: Callable[[Runs], str] | None = None
    """Makes the table, where it is not a row per case."""
    remark: Callable[[Runs], str] = lambda _runs: ""
    """Says what is not in the table."""


def bench(name: str) -> Bench:
    """Give the benchmark of that name."""
    found: Bench = import_module(f"tests.bench.{name}").BENCH
    return found


def peak_mib() -> float:
    """Give this process's peak memory. (Its `ru_maxrss` begins with what the process that started it had.)"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("Linux tells a process its peak memory")


def of_children() -> tuple[float, float]:
    """Give the CPU seconds of all processes below this one that have ended, and the MiB of the largest."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def run_here(name: str, case: str, options: Options) -> Measured:
    """Run a case in this process."""
    measured = bench(name).cases(options)[case](options)
    return {"peak_mib": peak_mib(), **measured}


def run_in_child(name: str, case: str, options: Options) -> Measured:
    """Run a case in a process of its own."""
    command = [sys.executable, "-m", "tests.bench", "--child", name, case, "--scale", str(options.scale)]
    command += [word for trace in options.traces for word in ("--trace", str(trace))]
    command += ["--long"] if options.long else []
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    measured: Measured = json.loads(output.splitlines()[-1])
    return measured


def section(
    name: str,
    options: Options,
    rounds: int,
    run: Callable[[str, str, Options], Measured] = run_in_child,
) -> str:
    """Run a benchmark; give its part of the page."""
    one = bench(name)
    cases = list(one.cases(options))
    skipped = [case for case in cases if case in one.needs and find_spec(one.needs[case]) is None]
    runs: dict[str, list[Measured]] = {case: [] for case in cases if case not in skipped}
    for _ in range(rounds):
        for case, several in runs.items():
            several.append(run(name, case, options))
    times = "one round" if rounds == 1 else f"{rounds} alternating rounds"
    rows = table(one, runs) if one.table is None else one.table(runs)
    parts = [f"## {one.title}", f"{one.about} {one.items.capitalize()} of {times}.", rows]
    parts += [f"Skipped: {case}; {one.needs[case]} is not installed." for case in skipped]
    if remark := one.remark(runs):
        parts.append(remark)
    return "\n\n".join(parts)


def table(one: Bench, runs: Runs) -> str:
    """Give a row per case: items per second, the ratio to the base of the same round, peak memory."""
    base = runs[one.base or next(iter(runs))]
    rows = [
        f"| | {one.items} per {one.clock} second | ratio | peak MiB |",
        "|---|---|---|---|",
    ]
    for case, several in runs.items():
        rates = [rate(measured) for measured in several]
        memory = max(measured["peak_mib"] for measured in several)
        form = ",.0f" if max(rates) > 100 else ",.2f"
        rows.append(f"| {case} | {spread(rates, form)} | {spread(ratios(several, base), '.2f')} | {memory:,.0f} |")
    return "\n".join(rows)


def ratios(several: Sequence[Measured], base: Sequence[Measured]) -> list[float]:
    """Give how many times the base's rate a case has, round by round."""
    return [rate(measured) / rate(other) for measured, other in zip(several, base, strict=True)]


def rate(measured: Measured) -> float:
    """Give items per second."""
    return float(measured["items"] / max(1e-9, measured["seconds"]))


def spread(values: Sequence[float], form: str) -> str:
    """Give median, and least and most."""
    low, middle, high = (format(value, form) for value in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"
