"""The kernel's own test of vmalloc, by its flows: pairs of allocation and free per second, all checks on."""

from collections.abc import Mapping
from functools import partial

from sim.scenario import load_scenarios
from sim.simulation import simulate
from tests.bench.suite import ROOT, Bench, Case, Measured, Options

LOOPS = 60
"""Of each of three tests, by each of 64 workers."""

COSTS = ("message-passing", "shared-memory")
KERNELS = ("6.8", "6.9", "6.16")


def run(costs: str, kernel: str, options: Options) -> Measured:
    """Run version 3's headline, scaled down, on a kernel and a cost model."""
    file = ROOT / "configs" / "published" / "v3-mask-7.toml"
    settings = [
        f"space.kernel={kernel}",
        f"costs.model={costs}",
        *(["costs.file="] if costs == "message-passing" else []),
        "workload.test_vmalloc.scale=16384",
        "workload.test_vmalloc.lazy_scale=128",
        f"workload.test_vmalloc.test_loop_count={max(1, int(LOOPS * options.scale))}",
    ]
    outcome = simulate(load_scenarios(file, settings).base, file.parent)
    assert outcome.ok, outcome.verdicts
    frees = outcome.recorder.latencies.by_operation()["free"]
    return {"seconds": outcome.cpu_s, "items": sum(one.count for one in frees.values())}


def cases(_options: Options) -> Mapping[str, Case]:
    """Each kernel, on each cost model."""
    return {f"{kernel}, {costs}": partial(run, costs, kernel) for costs in COSTS for kernel in KERNELS}


BENCH = Bench(
    title="The kernel's test",
    about="`test_vmalloc` with `run_test_mask=7` on 64 CPUs, scaled down: each pair takes and gives back an area, "
    "lazily, with purges, pools and four to seven requests.",
    items="pairs",
    cases=cases,
)
