"""Compare the speed of configs/peer-model.toml here and in SimPy: `python -m tests.bench.peers [ROUNDS]`.

Runs alternate, each in a child process of its own, so that both meet the same noise; only ratios count. CPU
seconds are those from the first event to the last, ours with all metrics and checks; building the model and
drawing its operations is in neither. Peak memory is the child's, imports included.
"""

import json
import platform
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).parents[2]

Figures: TypeAlias = dict[str, Any]


def run_simpy() -> Figures:
    """Run the peer model in SimPy."""
    from tests.bench import simpy_peer

    cpu_s, latencies = simpy_peer.run()
    latencies["all"] = [latency for several in list(latencies.values()) for latency in several]
    return {
        "cpu_s": cpu_s,
        "operations": len(latencies["all"]),
        "latency": {
            name: {
                "mean_ns": statistics.fmean(several),
                "p99_ns": sorted(several)[len(several) * 99 // 100],
            }
            for name, several in latencies.items()
        },
    }


def run_ours() -> Figures:
    """Run the peer model here."""
    from sim.results import results_of
    from sim.scenario import load_scenarios
    from sim.simulation import simulate

    file = load_scenarios(ROOT / "configs" / "peer-model.toml")
    outcome = simulate(file.base, file.path.parent)
    assert outcome.ok, outcome.verdicts
    results = results_of(outcome)
    return {"cpu_s": outcome.cpu_s, "operations": results["operations"], "latency": results["latency"]}


ENGINES = {"vmapsim": run_ours, "SimPy": run_simpy}


def measure(engine: str) -> Figures:
    """Run one engine in a child process."""
    command = [sys.executable, "-m", "tests.bench.peers", "--child", engine]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    figures: Figures = json.loads(output)
    return figures


def main(rounds: int) -> None:
    """Alternate the engines and print a table."""
    runs: dict[str, list[Figures]] = {engine: [] for engine in ENGINES}
    for _ in range(rounds):
        for engine in ENGINES:
            runs[engine].append(measure(engine))
    print(f"{platform.python_implementation()} {platform.python_version()}, {rounds} alternating rounds\n")
    print("| engine | operations per CPU second: median (min - max) | peak MiB |")
    print("|---|---|---|")
    for engine, figures in runs.items():
        speeds = [figure["operations"] / figure["cpu_s"] for figure in figures]
        speed = f"{statistics.median(speeds):,.0f} ({min(speeds):,.0f} - {max(speeds):,.0f})"
        print(f"| {engine} | {speed} | {max(figure['peak_mib'] for figure in figures):.0f} |")
    pairs = list(zip(runs["vmapsim"], runs["SimPy"], strict=True))
    ratios = [simpy["cpu_s"] / ours["cpu_s"] for ours, simpy in pairs]
    memory = max(ours["peak_mib"] / simpy["peak_mib"] for ours, simpy in pairs)
    print(f"\nspeed ratio: median {statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})")
    print(f"memory ratio: {memory:.2f}\n")
    print("| operation | mean ns: ours, SimPy, difference | p99 ns: ours, SimPy, difference |")
    print("|---|---|---|")
    ours, simpy = pairs[0]
    for name, figure in ours["latency"].items():
        peer = simpy["latency"][name]
        cells = [
            f"{figure[key]:,.1f}, {peer[key]:,.1f}, {figure[key] / peer[key] - 1:+.2%}"
            for key in ("mean_ns", "p99_ns")
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        measured = ENGINES[sys.argv[2]]()
        measured["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(measured))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
