"""The reference page of targets files, docs/reference/targets.md: an example, keys, figures, what is written."""

from collections.abc import Callable

from sim.calibration.model import Constant, Measurement, Plan

EXAMPLE = """\
seed = 1                            # of all runs
scenario = "../queue.toml"          # of the measurements that name none; looked up beside this file
evaluations = 100                   # sets of constants to try, at most

[set]                               # changes to all scenarios, as with --set
costs.model = "message-passing"

[[constant]]                        # what is fitted: a key, its bounds, where to start
key = "costs.lock_ns"
start = 50
lower = 1
upper = 500

[[constant]]
key = "costs.link_ns"
start = 100
lower = 0
upper = 1000

[[measurement]]                     # what it is fitted to
name = "one CPU"
set = { "machine.cpus" = 1, "workload.operations" = 2000 }
metric = "latency.all.mean_ns"      # of a run,
factor = 1e-3                       # times this is in the unit of the value
value = 0.25
unit = "us per operation"
source = "measured on a machine of ours"

[[measurement]]
name = "two CPUs"
set = { "machine.cpus" = 2, "workload.operations" = 2000 }
metric = "latency.all.mean_ns"
factor = 1e-3
value = 0.27
unit = "us per operation"
source = "measured on a machine of ours"
weight = 2

[[measurement]]                     # what is predicted: a quotient of two runs
name = "four CPUs against one"
predict = true
set = { "machine.cpus" = 4, "workload.operations" = 2000 }
metric = "latency.all.mean_ns"
over = { set = { "machine.cpus" = 1, "workload.operations" = 2000 } }
value = 1.2
unit = "ratio"
source = "measured on a machine of ours"
"""
"""A targets file with all that they can have; loaded by a test."""

HEAD = """# Targets

TOML: constants to fit, measurements to fit them to, measurements to predict. `./dev calibrate TARGETS.toml`
searches the constants and writes a costs file. Unknown keys, wrong types and impossible values are refused, with
the key's name; so are scenarios that are impossible at a bound of a constant. [How to
calibrate](../how-to/calibrate.md) says how to go about it.
"""

TAIL = """## Figures

`metric` is a [metric of studies](study.md) (`latency.all.mean_ns`, `locks.busy.acquisitions`, which adds up the
busy locks, `throughput_per_s`) or the place of a number in results.json (`vmap.purges`,
`test_vmalloc.workers.0.tests.fix_size_alloc_test.avg_usec`). It has to be above 0: what is compared is its
logarithm.

## The costs file

`--out FILE`, by default `out/TARGETS/costs.toml`; written when all is over, whole or not at all. The same
targets, seed and program give the same bytes, whatever `--jobs`.

| table | what it holds |
|---|---|
| `[costs]`, `[machine]` | the fitted constants and their model, for a scenario's `costs.file` |
| `[fit]` | version, command, seed, method, `evaluations`, `runs`, mean absolute errors |
| `[fit]`, if any | `extensions`, `failed_checks`, and when the search was `stopped` before it converged |
| `[[fit.constant]]` | `value`, start and bounds, and what they are worth, see below |
| `[[fit.fitted]]` | what the constants were fitted to: `published`, `ours`, `relative_error` |
| `[[fit.predicted]]` | the same for what had no part in the fit |

Of a constant, `elasticity` is the largest relative change of a figure for a relative change of the constant,
`at_bound` is "lower", "upper" or empty, `unidentified` says why the measurements do not determine it (empty if
they do), and `std_error` is the standard error of least squares: how well these measurements determine a constant
of this model, and nothing of what the model leaves out. It is missing with as many constants as measurements, at a
bound, and where a constant is not identified.
"""


def targets_page(table_lines: Callable[[str, type], list[str]]) -> str:
    """Give the page; `table_lines` describes an attrs class as a table of the file."""
    example = ["## An example\n", "```toml", EXAMPLE.rstrip(), "```\n", "## Keys\n"]
    keys = [*_prose(Plan), *table_lines("", Plan)]
    for name, kind in (("[constant]", Constant), ("[measurement]", Measurement)):
        keys += table_lines(name, kind)
    return "\n".join([HEAD, *example, *keys, TAIL]).rstrip() + "\n"


def _prose(table: type) -> list[str]:
    text = (table.__doc__ or "").partition("\n\n")[2]
    return [" ".join(line.strip() for line in text.splitlines()).strip(), ""]
