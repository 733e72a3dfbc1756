"""A study's cells per second, in one process and in two."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tests.bench.suite import ROOT, Bench, Case, Measured, Options, Runs, of_children, spread

CELLS = 12

STUDY = """
scenario = "{root}/configs/peer-model.toml"
[set]
workload.operations = {operations}
[replications]
least = 2
most = 2
[[factor]]
key = "lookup.policy"
values = ["forward", "backward"]
[[factor]]
key = "space.nodes"
values = [1, 2, 4, 8, 16, 32]
"""


def run(options: Options, *, jobs: int) -> Measured:
    """Run the study, from the command to its end."""
    with tempfile.TemporaryDirectory() as name:
        study = Path(name) / "study.toml"
        study.write_text(STUDY.format(root=ROOT, operations=max(1, int(20_000 * options.scale))))
        command = [sys.executable, "-m", "sim", "study", str(study), "--jobs", str(jobs), "--out", name]
        began = time.perf_counter()
        before_s, _mib = of_children()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        seconds = time.perf_counter() - began
    cpu_s, largest_mib = of_children()
    return {"items": CELLS, "seconds": seconds, "cpu_s": cpu_s - before_s, "peak_mib": largest_mib}


def cases(_options: Options) -> Mapping[str, Case]:
    """By the number of processes."""
    return {"1 job": partial(run, jobs=1), "2 jobs": partial(run, jobs=2)}


def work(runs: Runs) -> str:
    """Say what all processes did together: where it is not the wall time times the jobs, somebody waited."""
    parts = [f"{case} {spread([one['cpu_s'] for one in several], '.1f')}" for case, several in runs.items()]
    return f"CPU seconds of all processes: {', '.join(parts)}."


BENCH = Bench(
    title="A study",
    about=f"{CELLS} cells of the peer model, 20,000 operations, two pilots and two replications each; start and "
    "report included. Peak memory is the largest process's.",
    items="cells",
    cases=cases,
    clock="wall",
    remark=work,
)
