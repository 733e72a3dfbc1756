"""docs/explanation/lockstat.md: the simulator's locks against a real kernel's /proc/lock_stat, count by count.

`python -m sim.published.lockstat` runs configs/published/lockstat.toml and writes the page; a test holds the page
to that. `--seeds N` runs it with seeds 1 to N first, and keeps their counts in a file, from which the page says
what chance does to each.
"""

import json
import re
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, mean, quantiles
from typing import Any, TypeAlias

from attrs import evolve, frozen

from sim.files import write_whole
from sim.lock_stat import ClassStatistics, read_lock_stat
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
    for load in results["modprobe"]:
        name = load["name"]
        classes = read_lock_stat(recorded / f"{name}.txt.gz")
        kernel = {kind: classes[class_name] for kind, class_name in CLASSES.items()}
        took = fmean(summaries[name]), load["avg_usec"]
        loads.append(Load(name, load["pairs"], load["locks"], kernel, took))
    return loads


def run(root: Path, threads: Sequence[int] = (1, 2, 4), seed: int | None = None) -> list[Load]:
    """Run the loads with so many threads; leaving out the last ones changes nothing of those before."""
    scenario = load_scenarios(root / SCENARIO, seed=seed).base
    return loads_of(results_of(simulate(_only(scenario, threads), root / SCENARIO.parent)), root / RECORDED)


def _only(scenario: Scenario, threads: Sequence[int]) -> Scenario:
    modprobe = scenario.workload.modprobe
    chosen = evolve(modprobe, load=[load for load in modprobe.load if load.nr_threads in threads])
    return evolve(scenario, workload=evolve(scenario.workload, modprobe=chosen))


def run_seeds(root: Path, seeds: int) -> Counts:
    """Run all loads with seeds 1 to `seeds`."""
    runs = [run(root, seed=seed) for seed in range(1, seeds + 1)]
    return {
        loads[0].name: {kind: [load.ours[kind]["acquisitions"] for load in loads] for kind in COUNTED}
        for loads in zip(*runs, strict=True)
    }


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


HEAD = """# A real machine's locks, counted

A Linux 6.12 with 2 CPUs, thus 2 nodes, ran its own test of vmalloc with lock statistics on: [fifteen
files](../../configs/published/lockstat-smp2/README.md) of /proc/lock_stat. Here the same fifteen loads of the
test module run in one boot, in the same order, on kernel 6.10's flows, which are 6.12's:

```sh
./dev run configs/published/lockstat.toml
python -m sim.published.lockstat    # runs it and writes this page
```

**Predicted**: every count below; no constant was fitted to them. (The rules below were found by looking at where
counts differed.) What the scenario takes from the machine are times: how long a lock is held (lock_stat's
means), how long an allocation takes besides (such that a load's workers take as long as by the test's own
summaries), how long modprobe and the shell take. They decide who runs where when a purge comes, and so which pool
is asked.
"""

CHANCE = """## What chance does

With {seeds} seeds (`--seeds {seeds}`): the mean of our counts, the range of the middle 95 % of them, and **in**
where the kernel's count lies in that range, else by how much our mean is off. The kernel's one run, where it is
in, cannot be told from a run of the model; where it is not, the model misses something, if only another kind of
chance. Narrow ranges are missed by a handful of areas, as most of `busy` and `lazy` are. Of five tests, how many
are in, and how many means are within 2 % ({means} in all; with the scenario's own seed alone {own}):
"""

WHY = """## What it takes

Each of these was missing at first, and shows in the counts:

- **Loading the module is part of the test.** Changes of permissions purge five times before the workers run and
  freeing its parts four times after, and every purge lets the pools decay by a quarter: of 6,000 areas that the
  first run of `fix1p` leaves, 601 are there for the second.
- **A drain takes a CPU.** With one worker the drain's kworker preempts it, and at the next tick the idle CPU
  pulls the worker over: it goes on from the *other* node's pool, which is empty. That is why `fix20p-t1` takes
  the free lock 0.69 times a pair, and `fix20p-t2`, where no CPU is idle, 0.34 times.
- **A drain that is queued while one runs comes after it**: two purges each time that the bound is passed, not
  three. It runs from when its kworker has the CPU; until then every free finds it queued.
- **A flush waits for all CPUs**, and for one that is idle to wake. With all of them busy it takes 0.3 ms: then the
  drains of four workers, which begin at a tick, are over before the next one. With 1.7 ms, the mean of all flushes
  with one worker, they were not, and `fix20p-t4` took the free lock 16 % too seldom.
- **What decays is merged, and that takes time**, 1 us for each area.
- **The pool's lock can be had between two areas of a purge**: otherwise nobody contends for it.
- **kvfree_rcu() collects**, by pages of 507 pointers. A CPU's monitor comes at the second tick after a page is
  full, and hands over whatever is there by then. A kworker of that CPU frees it; the worker is pulled to the idle
  one, and leaves part of a page behind. Such parts follow 5 seconds after their first area: on the machine 802
  areas are missing in `kvfree2-t1`, and are freed in `rand-t2`, three tests later.
- **Chance.** Workers that always take equally long fall into step, and never meet at a lock. Nor is one worker as
  fast as another: by the test's own summaries, their means in a run have a standard deviation of 9 %.

## What is left out

- What is not within 2 % is mostly the free lock and, by as many acquisitions, the pools': which of the two an
  allocation takes hangs on whose pool has something. With one worker a drain lasts about a tick, 4 ms. One that
  ends before it moves no worker and lets none run; one that does not lets some fifty allocations find empty pools.
  So each of a dozen drains counts for some percent, and one run of `fix20p-t1` or `rand-t1` proves little.
- What the CPUs' pages hold when `kvfree2-t1` ends is missing in that load, and comes in `rand-t2`. It is chance,
  but not the machine's: here 0 to 760 areas and some 300 on average, there 802.
- Workers never stop here. The machine's did: single waits for a lock that is held for 3 us took up to 7,948 us, as
  happens when the host stops the virtual CPU that holds it. Of 69 drains in `rand-t4` its trace has five during
  which nobody freed anything. Then no second purge follows at once, which would empty the pools of what the first
  one put there (a class of up to three areas decays to nothing). Here one nearly always follows.
- How long a load's pages take is the machine's of that load, and all else is as fast in every load. In `fix20p`
  with two workers the machine held a pool's lock for 2.89 us on average, with one for 1.92, and two of its 28
  drains took 18 ms for fewer than 110 areas.
- While areas decay the kernel merges them aside, and whoever asks their class finds it empty; then their ranges go
  into the free tree under its lock. Here classes are never detached, and all the time is under the lock. (The
  longest hold of the free lock in `fix1p-t1`, where 1,500 areas decay at once, is 632 us.)
- How long a grace period takes is the shortest of a recorded trace of another machine, 26 ms, for all.
- The scheduler is four rules (`sim/vmalloc_test/scheduling.py`); it moves no thread but to an idle CPU, and the
  kworkers of a CPU do not wait for each other. EEVDF in full (eligibility, deadlines, run to parity, lag, delayed
  dequeue, as in 6.12) was tried: a kworker that is woken in the first slice after a tick has to wait then, even
  where one thread runs. In the trace it does not: of 22 drains of `fix1p` and `fix20p` with one and two workers 20
  begin within ten areas of the bound. With EEVDF `rand-t1` took the free lock 25 % too often.
- All searches of the free space cost the same here. On the machine a hold of the free lock took twice as long
  with two threads as with one, and so it was waited for more often than here.
- Kernel threads' stacks are one for each worker; the machine also had those of its shell.
"""


def page_of(loads: Sequence[Load], counts: Counts) -> str:
    """Give the page: a run, and beside it the counts with many seeds."""
    parts = [HEAD, *_within(loads), *_counts(loads), *_chance(loads, counts), *_contention(loads), WHY]
    return "\n".join(parts).rstrip() + "\n"


def _within(loads: Sequence[Load]) -> list[str]:
    lines = [f"With the scenario's own seed, acquisitions within {CLOSE:.0%} of the kernel's, of five tests:", ""]
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
        cells = ["{:.4f} {:.4f} **{:+.1%}**".format(*load.per_pair(kind), load.error(kind)) for kind in COUNTED]
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


def main(root: Path, seeds: int = 0) -> None:
    """Run the scenario and write the page, with `seeds` after as many runs for what chance does."""
    if seeds:
        write_whole({root / SEEDS: seeds_text(run_seeds(root, seeds))})
    write_whole({root / PAGE: page_of(run(root), read_seeds(root))})


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m sim.published.lockstat", description=main.__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path())
    parser.add_argument("--seeds", type=int, default=0, help="run with seeds 1 to N, and keep their counts")
    arguments = parser.parse_args()
    main(arguments.root, arguments.seeds)
