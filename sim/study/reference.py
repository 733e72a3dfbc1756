"""The reference page of studies, docs/reference/study.md: an example, keys, metrics, what a study leaves."""

from collections.abc import Callable

from sim.study.model import Compare, StudyFile

EXAMPLE = """\
scenario = "../peer-model.toml"     # looked up beside the study
seed = 1
metrics = ["latency.all.mean_ns", "latency.all.p99_ns"]
accept = ["answers_true"]           # checks that may fail: their exceptions are a column of the result

[set]                               # changes to the base, as with --set
workload.operations = 20_000

[replications]                      # independent seeds, the same in all cells unless common is false
least = 5
most = 40

[precision]                         # replicate until this is known to ± 2 % of itself
metric = "latency.all.p99_ns"
relative = 0.02

[[factor]]                          # a list of values of one key,
name = "policy"                     # called after the key where there is no name
key = "lookup.policy"
values = ["forward", "backward"]

[[factor]]                          # a range of them, both ends included: times, or step (by default 1),
key = "space.nodes"
from = 1
to = 128
times = 2

[[factor]]                          # or levels that each set any keys (or count = 9: levels that set none)
name = "sizes"
[[factor.level]]
name = "small"
set = { "workload.pages" = [1, 4] }

[compare]                           # each level of a factor with one of them, all else equal
factor = "policy"
baseline = "backward"
"""
"""A study with all that studies can have; loaded by a test."""

HEAD = """# Study

TOML: a base scenario, factors, how often to replicate, what to compare. `./dev study STUDY.toml` runs the product
of all factors' levels, each cell until the stopping rule is satisfied. Unknown keys, wrong types and impossible
values are refused, with the key's name; so is a key that two factors set, or that a factor and `[set]` do.
"""

METRICS = """\
latency.OPERATION.FIGURE    an operation's, or "all"; after the warm-up
groups.GROUP.FIGURE         a group's, such as "lookups"
    FIGURE: count, mean_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns,
            queue_ns, transfer_ns, service_ns (parts of the mean), nodes_asked (mean)
locks.KIND.FIGURE           sums over the locks of a kind ("busy"), of the whole run
    FIGURE: acquisitions, contended, handoffs, hold_ns, wait_ns,
            mean_hold_ns, mean_wait_ns (per acquisition)
groups.lookups.missed       share of lookups that found nothing
batches.sessions, batches.areas, batches.session_areas (areas per session)
looks.OPERATION.asked       what should have been seen; all other figures of
looks.OPERATION.FIGURE      results.json's looks are shares of it
checks.CHECK.count          exceptions to a check's rule
throughput_per_s            operations per virtual second, of the whole run
virtual_ns, operations
"""

LACKING = """\
A study whose runs do not have a metric ends at once, with exit code 2: after a cell's first run where it is that of
`[precision]`, and after the first runs of all cells where none of them has it.
"""

TAIL = """## What it leaves

In `OUT/`, written when the study is over, whole or not at all:

| file | what it holds |
|---|---|
| `cells.parquet`, `.csv` | a row per cell, see below |
| `comparisons.parquet`, `.csv` | a row per cell and metric, see below |
| `replications.parquet`, `.csv` | a row per run: its `seed` (as text: 64 bits) and every metric |
| `study.json` | what was asked, version, digest of the code, cells, comparisons; `--json` prints it |
| `report.html` | the figures; opens offline |
| `replications.jsonl` | every replication with its checksum, from which an interrupted study goes on |

**cells**: the factors' levels; for each metric its mean and the ends of its interval, `METRIC`, `METRIC.ci_low`,
`METRIC.ci_high`; `replications`; `reached` (the precision); `warmup_dropped` (share of operations) and
`warmup_unsettled` (pilots too short to say); `exceptions` to checks; the `command` that runs its first
replication again, to the same figures; `error`, of a cell that failed.

**comparisons**: the mean `difference` to the baseline with `ci_low` and `ci_high`; `relative` to the baseline's
mean; `variance_ratio`, the variance of the differences over the sum of both variances (what pairing by common seeds
gains); `pairs`; `verdict`: "more", "less", or "undecided" where the interval from `verdict_low` to `verdict_high`
holds 0. That one is wider, so that those of a metric hold all together at the confidence asked for (Bonferroni);
the screen and the report show it.

The same study and code give the same bytes, whatever ran it, interrupted or not. A replication is looked up by
its scenario, its trace's contents, the program's code and its seed: after a change to any of them it is run anew.
"""


def study_page(table_lines: Callable[[str, type], list[str]]) -> str:
    """Give the page; `table_lines` describes an attrs class as a table of the file."""
    example = ["## An example\n", "```toml", EXAMPLE.rstrip(), "```\n", "## Keys\n"]
    keys = [*table_lines("", StudyFile), *table_lines("compare", Compare)]
    metrics = ["## Metrics\n", "```text", METRICS.rstrip(), "```\n", LACKING]
    return "\n".join([HEAD, *example, *keys, *metrics, TAIL]).rstrip() + "\n"
