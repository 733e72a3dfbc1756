"""configs/peer-model.toml here, in SimPy, in salabim, in cimba, and as a bare loop around a heap.

Seconds are those from the first event to the last, ours with all metrics and checks; building the model, compiling
it (cimba) and drawing its operations is in none: ours are drawn before the first event, too, all of them.
"""

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module

from sim.results import results_of
from sim.scenario import load_scenarios
from sim.simulation import simulate
from sim.workloads import mix
from tests.bench.peer_model import OPERATIONS, run
from tests.bench.suite import ROOT, Bench, Case, Measured, Options, Runs, spread

PEERS = {"flat loop": "flat_peer", "SimPy": "simpy_peer", "salabim": "salabim_peer", "cimba": "cimba_peer"}


def run_peer(module: str, options: Options) -> Measured:
    """Run the peer model in somebody else's engine."""
    engine = import_module(f"tests.bench.{module}").engine
    prepare_s, seconds, latencies = run(engine, 1, int(OPERATIONS * options.scale))
    latencies["all"] = [latency for several in list(latencies.values()) for latency in several]
    return {
        "prepare_s": prepare_s,
        "seconds": seconds,
        "items": len(latencies["all"]),
        "latency": {
            name: {"mean_ns": statistics.fmean(several), "p99_ns": sorted(several)[len(several) * 99 // 100]}
            for name, several in latencies.items()
        },
    }


def run_ours(options: Options) -> Measured:
    """Run the peer model here."""
    operations = int(OPERATIONS * options.scale)
    mix.AHEAD = operations
    file = load_scenarios(ROOT / "configs" / "peer-model.toml", [f"workload.operations={operations}"])
    outcome = simulate(file.base, file.path.parent)
    assert outcome.ok, outcome.verdicts
    results = results_of(outcome)
    return {"seconds": outcome.cpu_s, "items": results["operations"], "latency": results["latency"]}


def cases(_options: Options) -> Mapping[str, Case]:
    """Ours and theirs."""
    ours: dict[str, Callable[[Options], Measured]] = {"vmapsim": run_ours}
    return ours | {name: partial(run_peer, module) for name, module in PEERS.items()}


def remark(runs: Runs) -> str:
    """Say how far apart the engines' latencies are, and how long cimba compiles."""
    ours = runs["vmapsim"][0]["latency"]["all"]
    apart = [
        f"{name} {one[0]['latency']['all']['mean_ns'] / ours['mean_ns'] - 1:+.2%}"
        f" and {one[0]['latency']['all']['p99_ns'] / ours['p99_ns'] - 1:+.2%}"
        for name, one in runs.items()
        if name != "vmapsim"
    ]
    text = f"Mean latency and 99th percentile against ours: {', '.join(apart)}."
    if "cimba" in runs:
        compiling = spread([one["prepare_s"] for one in runs["cimba"]], ".1f")
        text += f" cimba compiles its model first, for {compiling} CPU seconds."
    return text


BENCH = Bench(
    title="The peer model",
    about="8 nodes, 16 closed-loop CPUs, 200,000 operations on 10,000 areas. Ours has all metrics and checks on; "
    "the others do nothing but the model.",
    items="operations",
    cases=cases,
    base="SimPy",
    needs={"SimPy": "simpy", "salabim": "salabim", "cimba": "cimba"},
    remark=remark,
)
