"""How an operation's cost grows with nodes, CPUs and areas."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

from sim.scenario import load_scenarios
from sim.simulation import simulate
from sim.summary import count_of
from sim.workloads import mix
from tests.bench.suite import ROOT, Bench, Case, Measured, Options, Runs, rate, ratios

OPERATIONS = 100_000

NODES = (1, 8, 64, 128)
CPUS = (4, 64, 256)
AREAS = (1_000, 100_000, 1_000_000)


def run_mix(
    nodes: int, cpus: int, areas: int, operations: int, watch: Callable[[int], None] = lambda _done: None
) -> Measured:
    """Run the peer model of another size; the operations are finds of starts, so that each is one visit.

    `watch` is told now and then how many operations are done; `left` counts the areas at the end.
    """
    settings = [
        f"space.nodes={nodes}",
        f"machine.cpus={cpus}",
        f"workload.preload_areas={areas}",
        f"workload.operations={operations}",
        "workload.mix.interior=0.0",
    ]
    file = load_scenarios(ROOT / "configs" / "peer-model.toml", settings)
    told: list[tuple[int, float]] = []

    def tell(done: int, _total: int) -> None:
        watch(done)
        told.append((done, time.process_time()))
        del told[1:-2]  # the first and the last two are wanted

    outcome = simulate(file.base, file.path.parent, progress=tell)
    assert outcome.ok, outcome.verdicts
    measured = {"left": sum(node.areas for node in outcome.nodes)}
    (first, began), (last, ended) = told[0], told[-2]  # the last word comes after the checks
    if last > first:
        return {"items": last - first, "seconds": ended - began, **measured}
    # Too small a run to leave anything out.
    return {"items": outcome.recorder.operations, "seconds": outcome.cpu_s, **measured}


def run(nodes: int, cpus: int, areas: int, options: Options) -> Measured:
    """Run one point; its operations are drawn before the first, however few CPUs there are."""
    mix.AHEAD = OPERATIONS
    return run_mix(nodes, cpus, areas, int(OPERATIONS * options.scale))


def cases(options: Options) -> Mapping[str, Case]:
    """The points of the grid; each CPU has an area at least."""
    columns = [max(*CPUS, int(areas * options.scale)) for areas in AREAS]
    return {
        f"{count_of(nodes, 'node')}, {cpus} CPUs, {areas:,} areas": partial(run, nodes, cpus, areas)
        for nodes in NODES
        for cpus in CPUS
        for areas in columns
    }


def grid(runs: Runs) -> str:
    """Give a row for each number of nodes and CPUs, a column for each number of areas."""
    base = next(iter(runs.values()))
    rows: dict[str, dict[str, str]] = {}
    for case, several in runs.items():
        row, _comma, column = case.rpartition(", ")
        middle, ratio = statistics.median(map(rate, several)), statistics.median(ratios(several, base))
        rows.setdefault(row, {})[column] = f"{middle:,.0f} ({ratio:.2f})"
    columns = next(iter(rows.values()))
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    lines += [f"| {row} | {' | '.join(cells.values())} |" for row, cells in rows.items()]
    return "\n".join(lines)


BENCH = Bench(
    title="Growth",
    about="The peer model of other sizes, without lookups that cross nodes: each operation is one visit. "
    "Operations per CPU second, those that follow the first and are before the checks; ratios are to the first.",
    items="operations",
    cases=cases,
    table=grid,
)
