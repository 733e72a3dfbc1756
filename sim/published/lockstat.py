"""docs/explanation/lockstat.md: the simulator's locks against a real kernel's /proc/lock_stat, count by count.

`python -m sim.published.lockstat` runs configs/published/lockstat.toml and writes the page; a test holds the page
to that. `--seeds N` runs it with seeds 1 to N first, and keeps their counts in a file, from which the page says
what chance does to each.
"""

import json
import re
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import fmean, mean, quantiles
from typing import Any, TypeAlias

from attrs import evolve, frozen

from sim.files import write_whole
from sim.lock_stat import ClassStatistics, read_lock_stat
from sim.published.drains import Drain, drains_of, drains_table, recorded_drains
from sim.published.lockstat_prose import CHANCE, CONTENDED, DRAINS, HEAD, TOGETHER, WHY
from sim.results import results_of
from sim.scenario.file import load_scenarios
from sim.scenario.model import Scenario
from sim.simulation import simulate

CLASSES = {
    "busy": "&vn->busy.lock",
    "lazy": "&vn->lazy.lock",
    "pool": "&vn->pool_lock",
    "free": "free_vmap_area_lock",
    "purge": "vmap_purge_lock",
}
"""lockdep's classes, by the kinds of locks here."""

COUNTED = ("busy", "lazy", "pool", "free")
"""The kinds that allocations and frees take."""

CLOSE = 0.02
"""What counts as equal."""

SCENARIO = Path("configs/published/lockstat.toml")
RECORDED = Path("configs/published/lockstat-smp2")
SEEDS = Path("configs/published/lockstat-seeds.json")
PAGE = Path("docs/explanation/lockstat.md")

Counts: TypeAlias = Mapping[str, Mapping[str, Sequence[int]]]
"""By load and kind: acquisitions with each seed, from 1 on."""


@frozen
class Load:
    """One modprobe of the test, here and on the machine."""

    name: str
    pairs: int
    ours: Mapping[str, Mapping[str, int]]
    """By kind: acquisitions, contended."""
    kernel: Mapping[str, ClassStatistics]
    """By kind."""
    avg_usec: tuple[float, float]
    """How long its workers took on average by the test's own summaries: the kernel's, ours."""
    drains: tuple[Sequence[Drain], Sequence[Drain]]
    """The kernel's, ours."""

    @property
    def threads(self) -> int:
        """How many workers there were, as the name says."""
        return int(self.name.rpartition("-t")[2])

    def error(self, kind: str) -> float:
        """Give the relative error of our acquisitions."""
        return self.ours[kind]["acquisitions"] / self.kernel[kind].acquisitions - 1

    def per_pair(self, kind: str) -> tuple[float, float]:
        """Give acquisitions per pair of allocation and free: the kernel's, ours."""
        return self.kernel[kind].acquisitions / self.pairs, self.ours[kind]["acquisitions"] / self.pairs

    def contended(self, kind: str) -> tuple[float, float]:
        """Give the share of acquisitions that had to wait: the kernel's, ours."""
        kernel, ours = self.kernel[kind], self.ours[kind]
        return kernel.contentions / kernel.acquisitions, ours["contended"] / max(1, ours["acquisitions"])


def loads_of(results: Mapping[str, Any], recorded: Path) -> list[Load]:
    """Put what a run counted beside what the kernel's files in `recorded` say. Raises `BadInput`."""
    loads = []
    summaries = json.loads((recorded / "summaries.json").read_text(encoding="utf-8"))
    drains = recorded_drains(recorded / "purges.txt.gz")
    for load in results["modprobe"]:
        name = load["name"]
        classes = read_lock_stat(recorded / f"{name}.txt.gz")
        kernel = {kind: classes[class_name] for kind, class_name in CLASSES.items()}
        took = fmean(summaries[name]), load["avg_usec"]
        drained = drains[name], drains_of(load["drains"])
        loads.append(Load(name, load["pairs"], load["locks"], kernel, took, drained))
    return loads


def run(root: Path, threads: Sequence[int] = (1, 2, 4), seed: int | None = None) -> list[Load]:
    """Run the loads with so many threads; leaving out the last ones changes nothing of those before."""
    scenario = load_scenarios(root / SCENARIO, seed=seed).base
    return loads_of(results_of(simulate(_only(scenario, threads), root / SCENARIO.parent)), root / RECORDED)


def _only(scenario: Scenario, threads: Sequence[int]) -> Scenario:
    modprobe = scenario.workload.modprobe
    chosen = evolve(modprobe, load=[load for load in modprobe.load if load.nr_threads in threads])
    return evolve(scenario, workload=evolve(scenario.workload, modprobe=chosen))


def run_seeds(root: Path, seeds: int, jobs: int = 1) -> Counts:
    """Run all loads with seeds 1 to `seeds`, in `jobs` processes."""
    with ProcessPoolExecutor(jobs) as pool:
        runs = list(pool.map(partial(_run_seed, root), range(1, seeds + 1)))
    return {
        loads[0].name: {kind: [load.ours[kind]["acquisitions"] for load in loads] for kind in COUNTED}
        for loads in zip(*runs, strict=True)
    }


def _run_seed(root: Path, seed: int) -> list[Load]:
    return run(root, seed=seed)


def read_seeds(root: Path) -> Counts:
    """Read what `--seeds` has kept."""
    kept: Counts = json.loads((root / SEEDS).read_text(encoding="utf-8"))
    return kept


def seeds_text(counts: Counts) -> str:
    """Give the file that `--seeds` keeps: a line per load and kind."""
    loads = []
    for name, kinds in counts.items():
        lines = ",\n".join(f"  {json.dumps(kind)}: {json.dumps(list(values))}" for kind, values in kinds.items())
        loads.append(f" {json.dumps(name)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(loads) + "\n}\n"


@frozen
class Spread:
    """A count with many seeds: its mean, and the range of the middle 95 % of them."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[int]) -> "Spread":
        """Give the spread of `values`; between two of them it is interpolated."""
        cuts = quantiles(values, n=40, method="inclusive")
        return cls(mean(values), cuts[0], cuts[-1])

    def holds(self, count: int) -> bool:
        """Tell whether `count` could as well be one of these."""
        return self.low <= count <= self.high


def page_of(loads: Sequence[Load], counts: Counts) -> str:
    """Give the page: a run, and beside it the counts with many seeds."""
    parts = [
        HEAD,
        *_together(loads, counts),
        *_within(loads),
        *_counts(loads),
        *_chance(loads, counts),
        *_contention(loads),
        DRAINS,
        *drains_table({load.name: load.drains for load in loads}),
        "",
        WHY,
    ]
    return "\n".join(parts).rstrip() + "\n"


def together(loads: Sequence[Load], counts: Counts) -> dict[tuple[int, str], tuple[float, float]]:
    """Give acquisitions per pair of all tests with so many threads together, by threads and kind.

    The kernel's, and the mean of ours with many seeds.
    """
    found = {}
    for threads in dict.fromkeys(load.threads for load in loads):
        own = [load for load in loads if load.threads == threads]
        pairs = sum(load.pairs for load in own)
        for kind in COUNTED:
            kernel = sum(load.kernel[kind].acquisitions for load in own)
            ours = sum(fmean(counts[load.name][kind]) for load in own)
            found[threads, kind] = kernel / pairs, ours / pairs
    return found


def _together(loads: Sequence[Load], counts: Counts) -> list[str]:
    figures = together(loads, counts)
    lines = [
        TOGETHER.format(seeds=len(counts[loads[0].name][COUNTED[0]])),
        "| threads | " + " | ".join(COUNTED) + " |",
    ]
    lines.append("|---" * (1 + len(COUNTED)) + "|")
    for threads in dict.fromkeys(load.threads for load in loads):
        cells = [_figure(*figures[threads, kind]) for kind in COUNTED]
        lines.append(f"| {threads} | {' | '.join(cells)} |")
    lines += ["", CONTENDED, lines[1], lines[2]]
    for threads in dict.fromkeys(load.threads for load in loads):
        cells = ["{:.1%} {:.1%}".format(*contended_together(loads, threads, kind)) for kind in COUNTED]
        lines.append(f"| {threads} | {' | '.join(cells)} |")
    return [*lines, ""]


def contended_together(loads: Sequence[Load], threads: int, kind: str) -> tuple[float, float]:
    """Give the share of acquisitions in all tests with so many threads that had to wait: the kernel's, ours."""
    own = [load for load in loads if load.threads == threads]
    kernel = [load.kernel[kind] for load in own]
    ours = [load.ours[kind] for load in own]
    return (
        sum(one.contentions for one in kernel) / sum(one.acquisitions for one in kernel),
        sum(one["contended"] for one in ours) / sum(one["acquisitions"] for one in ours),
    )


def _figure(kernel: float, ours: float) -> str:
    return f"{kernel:.4f} {ours:.4f} **{ours / kernel - 1:+.1%}**"


def _within(loads: Sequence[Load]) -> list[str]:
    lines = [
        f"How many of the five tests are within {CLOSE:.0%} by themselves, with the scenario's own seed:",
        "",
    ]
    lines += ["| threads | " + " | ".join(COUNTED) + " | mean absolute error |", "|---" * (2 + len(COUNTED)) + "|"]
    for threads in dict.fromkeys(load.threads for load in loads):
        own = [load for load in loads if load.threads == threads]
        close = [str(sum(abs(load.error(kind)) <= CLOSE for load in own)) for kind in COUNTED]
        errors = [abs(load.error(kind)) for load in own for kind in COUNTED]
        lines.append(f"| {threads} | {' | '.join(close)} | {sum(errors) / len(errors):.1%} |")
    return [*lines, ""]


def _counts(loads: Sequence[Load]) -> list[str]:
    lines = [
        "## Acquisitions per pair of allocation and free",
        "",
        "The kernel's, ours, the error; purges are counts. How long a worker took on average, by the test's own",
        "summaries, is no prediction: `page_ns` was set for it, but the workers' paces are drawn.",
        "",
    ]
    lines += ["| load | " + " | ".join(COUNTED) + " | purges | a worker, ms |", "|---" * (3 + len(COUNTED)) + "|"]
    for load in loads:
        cells = [_figure(*load.per_pair(kind)) for kind in COUNTED]
        purges = f"{load.kernel['purge'].acquisitions} {load.ours['purge']['acquisitions']}"
        took = " ".join(f"{usec / 1000:.0f}" for usec in load.avg_usec)
        lines.append(f"| `{load.name}` | {' | '.join(cells)} | {purges} | {took} |")
    return [*lines, ""]


def _chance(loads: Sequence[Load], counts: Counts) -> list[str]:
    spreads = {load.name: {kind: Spread.of(counts[load.name][kind]) for kind in COUNTED} for load in loads}
    close = {
        load.name: [kind for kind in COUNTED if abs(_mean_error(load, kind, spreads[load.name][kind])) <= CLOSE]
        for load in loads
    }
    lines = [
        CHANCE.format(
            seeds=len(counts[loads[0].name][COUNTED[0]]),
            means=sum(map(len, close.values())),
            own=sum(abs(load.error(kind)) <= CLOSE for load in loads for kind in COUNTED),
        ),
        "| threads | " + " | ".join(COUNTED) + " |",
        "|---" * (1 + len(COUNTED)) + "|",
    ]
    for threads in dict.fromkeys(load.threads for load in loads):
        own = [load for load in loads if load.threads == threads]
        cells = []
        for kind in COUNTED:
            held = sum(spreads[load.name][kind].holds(load.kernel[kind].acquisitions) for load in own)
            cells.append(f"{held}, {sum(kind in close[load.name] for load in own)}")
        lines.append(f"| {threads} | {' | '.join(cells)} |")
    lines += ["", "| load | " + " | ".join(COUNTED) + " |", "|---" * (1 + len(COUNTED)) + "|"]
    for load in loads:
        cells = [_spread_cell(load, kind, spreads[load.name][kind]) for kind in COUNTED]
        lines.append(f"| `{load.name}` | {' | '.join(cells)} |")
    return [*lines, ""]


def _mean_error(load: Load, kind: str, spread: Spread) -> float:
    return spread.mean / load.kernel[kind].acquisitions - 1


def _spread_cell(load: Load, kind: str, spread: Spread) -> str:
    low, high = spread.low / load.pairs, spread.high / load.pairs
    verdict = "in" if spread.holds(load.kernel[kind].acquisitions) else f"{_mean_error(load, kind, spread):+.1%}"
    return f"{spread.mean / load.pairs:.4f} ({low:.4f} to {high:.4f}) **{verdict}**"


def _contention(loads: Sequence[Load]) -> list[str]:
    lines = ["## Who had to wait", "", "Share of acquisitions that were contended: the kernel's, ours.", ""]
    lines += ["| load | " + " | ".join(COUNTED) + " |", "|---" * (1 + len(COUNTED)) + "|"]
    for load in loads:
        cells = ["{:.1%} {:.1%}".format(*load.contended(kind)) for kind in COUNTED]
        lines.append(f"| `{load.name}` | {' | '.join(cells)} |")
    return [*lines, ""]


def rows_of(page: str) -> dict[str, list[str]]:
    """Give a page's table rows, by the load's name."""
    rows: dict[str, list[str]] = {}
    for line in page.splitlines():
        if found := re.match(r"\| `([\w-]+)` \|", line):
            rows.setdefault(found[1], []).append(line)
    return rows


def main(root: Path, seeds: int = 0, jobs: int = 1) -> None:
    """Run the scenario and write the page, with `seeds` after as many runs for what chance does."""
    if seeds:
        write_whole({root / SEEDS: seeds_text(run_seeds(root, seeds, jobs))})
    write_whole({root / PAGE: page_of(run(root), read_seeds(root))})


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m sim.published.lockstat", description=main.__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path())
    parser.add_argument("--seeds", type=int, default=0, help="run with seeds 1 to N, and keep their counts")
    parser.add_argument("--jobs", type=int, default=1, help="with --seeds: processes to run in")
    arguments = parser.parse_args()
    main(arguments.root, arguments.seeds, arguments.jobs)
