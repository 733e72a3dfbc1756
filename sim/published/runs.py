"""Which runs the published figures are compared with, and what is kept of each.

A run is a scenario of configs/published/ and settings. What is kept are counts and sums in virtual time, from which
the page makes its figures: the same for a seed on every machine.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from attrs import frozen

from sim.results import results_of
from sim.scenario.file import load_scenarios
from sim.simulation import simulate

FOLDER = Path(__file__).parents[2] / "configs" / "published"
RESULTS = FOLDER / "results.json"

Kept = dict[str, dict[str, Any]]
"""Figures by the name of their run."""


@frozen
class Run:
    """One run: its name says what it is of, and in which setting."""

    name: str
    scenario: str
    settings: tuple[str, ...]

    @property
    def command(self) -> str:
        """Give the command that makes it."""
        return " ".join(
            ["./dev run", f"configs/published/{self.scenario}.toml", *(f"--set {s}" for s in self.settings)]
        )


def _test(**keys: object) -> tuple[str, ...]:
    return tuple(f"workload.test_vmalloc.{key}={value}" for key, value in keys.items())


JOBS = [Run(f"jobs/{jobs}", "v1-jobs", _test(nr_threads=jobs)) for jobs in range(1, 33)]
"""Version 1's default column."""

JOBS_FIFO = [
    Run(f"jobs-fifo/{jobs}", "v1-jobs", (*_test(nr_threads=jobs), "costs.arbitration=fifo"))
    for jobs in (1, 2, 4, 6, 8, 12, 16, 24, 32)
]
"""The same in the order of arrival, to see what the arbitration explains."""

JOBS_SCALE = [
    Run(f"jobs-scale/{loops}", "v1-jobs", _test(nr_threads=32, test_loop_count=loops)) for loops in (50, 100, 400)
]
"""The last row with other numbers of loops; 200 is `JOBS`."""

SCALES = (16384, 8192, 4096, 1024, 512, 256, 128, 64, 32)
"""By how much the headline is scaled down, the coarsest first."""


def headline(scale: int, kernel: str, *settings: str) -> Run:
    """Give version 3's headline with a kernel, scaled down; further settings are part of its name."""
    scaled = _test(scale=scale, lazy_scale=max(1, scale // 128), test_loop_count=1_000_000 // scale)
    name = "/".join(["headline", str(scale), kernel, *settings])
    return Run(name, "v3-mask-7", (f"space.kernel={kernel}", f"costs.tree_scale={scale}", *scaled, *settings))


HEADLINE = [headline(scale, kernel) for scale in SCALES for kernel in ("6.8", "6.9")]

PAGES_NS = (200, 400)
"""Other guesses of what a page takes."""

HEADLINE_PAGES = [
    headline(16384, kernel, f"costs.page_ns={page_ns}") for page_ns in PAGES_NS for kernel in ("6.8", "6.9")
]

NO_BLOCK_LOOPS = (10, 20, 40)

NO_BLOCK = [
    Run(f"no-block/{loops}/{locked}", "no-block-256", _test(test_loop_count=loops, global_lock=locked))
    for loops in NO_BLOCK_LOOPS
    for locked in ("true", "false")
]

ONCE_LOOPS = (50, 100)

ONCE = [
    Run(f"once/{loops}/{kernel}", "once", (*_test(test_loop_count=loops), f"space.kernel={kernel}"))
    for loops in ONCE_LOOPS
    for kernel in ("6.9", "6.10")
]

ALL = [*JOBS, *JOBS_FIFO, *JOBS_SCALE, *HEADLINE, *HEADLINE_PAGES, *NO_BLOCK, *ONCE]


def figures_of(run: Run) -> dict[str, Any]:
    """Carry out a run and give its figures: nanoseconds, pairs, and waits by the kind of lock."""
    scenario = load_scenarios(FOLDER / f"{run.scenario}.toml", run.settings).base
    results = results_of(simulate(scenario, FOLDER))
    failed = [name for name, check in results["checks"].items() if not check["ok"]]
    assert not failed, f"{run.command}: {', '.join(failed)} failed"
    locks: dict[str, list[int]] = {}
    for lock in results["locks"]:
        sums = locks.setdefault(lock["name"].partition("/")[0], [0, 0, 0])
        for index, key in enumerate(("acquisitions", "hold_ns", "wait_ns")):
            sums[index] += lock[key]
    return {
        "virtual_ns": results["virtual_ns"],
        "pairs": results["latency"]["free"]["count"],
        "loops": scenario.workload.test_vmalloc.test_loop_count,
        "workers": scenario.workload.test_vmalloc.workers,
        "locks": locks,
        "digest": results["digest"],
    }


def carry_out(runs: Sequence[Run], jobs: int) -> Kept:
    """Carry out `runs` in `jobs` processes."""
    with ProcessPoolExecutor(jobs) as pool:
        return {run.name: figures for run, figures in zip(runs, pool.map(figures_of, runs), strict=True)}


def kept() -> Kept:
    """Read the figures that are kept."""
    read: Kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    return read


def text_of(figures: Kept) -> str:
    """Give the contents of results.json: a line per run, in the order of `ALL`."""
    lines = [f'"{run.name}": {json.dumps(figures[run.name])}' for run in ALL if run.name in figures]
    return "{\n" + ",\n".join(lines) + "\n}\n"
