"""How an operation's cost grows with nodes, CPUs and areas, one of them at a time."""

import time
from collections.abc import Mapping
from functools import partial

from sim.scenario import load_scenarios
from sim.simulation import simulate
from tests.bench.suite import ROOT, Bench, Case, Measured, Options

OPERATIONS = 100_000

POINTS = (
    (8, 64, 100_000),
    (1, 64, 100_000),
    (64, 64, 100_000),
    (128, 64, 100_000),
    (8, 4, 100_000),
    (8, 256, 100_000),
    (8, 64, 1_000),
    (8, 64, 1_000_000),
)
"""Nodes, CPUs, areas."""


def run_mix(nodes: int, cpus: int, areas: int, operations: int) -> Measured:
    """Run the peer model of another size; the operations are finds of starts, so that each is one visit."""
    settings = [
        f"space.nodes={nodes}",
        f"machine.cpus={cpus}",
        f"workload.preload_areas={areas}",
        f"workload.operations={operations}",
        "workload.mix.interior=0.0",
    ]
    file = load_scenarios(ROOT / "configs" / "peer-model.toml", settings)
    told: list[tuple[int, float]] = []
    outcome = simulate(
        file.base, file.path.parent, progress=lambda done, _total: told.append((done, time.process_time()))
    )
    assert outcome.ok, outcome.verdicts
    (first, began), (last, ended) = told[0], told[-2]  # the last word comes after the checks
    if last > first:
        return {"items": last - first, "seconds": ended - began}
    return {"items": outcome.recorder.operations, "seconds": outcome.cpu_s}  # too small a run to leave anything out


def run(options: Options, *, nodes: int, cpus: int, areas: int) -> Measured:
    """Run one point."""
    scale = options.scale
    return run_mix(nodes, cpus, max(cpus, int(areas * scale)), int(OPERATIONS * scale))


def cases(_options: Options) -> Mapping[str, Case]:
    """The points."""
    return {
        f"{nodes} nodes, {cpus} CPUs, {areas:,} areas": partial(run, nodes=nodes, cpus=cpus, areas=areas)
        for nodes, cpus, areas in POINTS
    }


BENCH = Bench(
    title="Growth",
    about="The peer model of other sizes, without lookups that cross nodes: each operation is one visit. Seconds "
    "are those of the operations; checking what is left in the trees grows with the areas, and is not in them.",
    items="operations",
    cases=cases,
)
