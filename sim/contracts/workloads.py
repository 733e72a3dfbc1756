"""What every workload holds to, in small scenarios in virtual time: planned well, carried out, judged."""

from pathlib import Path

from protocol import registry
from protocol.area import VmapArea
from sim import workloads
from sim.contracts import Breach, Clause, judged
from sim.outcome import Outcome
from sim.scenario.file import structure
from sim.scenario.model import Scenario
from sim.scenario.settings import Table, put_all, read_settings
from sim.simulation import simulate
from sim.workloads import Plan, plan

SHAPES: tuple[dict[str, int], ...] = (
    {"machine.cpus": 1, "space.nodes": 1},
    {"machine.cpus": 3, "space.nodes": 4},
    {"machine.cpus": 4, "space.nodes": 3},
)
"""Machines of which each scenario is one; small ones come first."""

OPERATIONS = 200
MOST_STEPS = 5_000_000
"""Steps that the workload's own code may take in a run: many times what `mix` needs for its operations."""

MOST_SLICES = 300
"""Slices of a run, each of some thousand events, without an end."""


def plans_before_the_clock_starts(scenario: Scenario, beside: Path) -> None:
    """It gives a plan for CPUs that there are, with areas that do not overlap."""
    made = _planned(scenario, beside)
    where = _words(scenario)
    if not isinstance(made, Plan):
        raise Breach(f"gives {made!r} instead of a Plan, {where}")
    if sorted(set(made.cpus)) != made.cpus or not set(made.cpus) <= set(range(scenario.machine.cpus)):
        raise Breach(f"plans for the CPUs {made.cpus}, {where}")
    last = VmapArea(0, 0)
    for area in sorted(made.preload, key=lambda area: area.va_start):
        if area.va_start < last.va_end:
            raise Breach(f"has areas in the trees that overlap, {last!r} and {area!r}, {where}")
        last = area


def comes_to_an_end_with_operations(scenario: Scenario, beside: Path) -> None:
    """Its scripts end, and have done something."""
    outcome = _run(scenario, beside)
    if not outcome.recorder.operations:
        raise Breach(f"completes no operation, {_words(scenario)}")


def passes_every_check(scenario: Scenario, beside: Path) -> None:
    """With a policy that misses nothing no check objects to it."""
    for name, verdict in _run(scenario, beside).verdicts.items():
        if not verdict.ok:
            raise Breach(f"fails the check {name}, {_words(scenario)}: {verdict.first}")


def is_the_same_for_the_same_seed(scenario: Scenario, beside: Path) -> None:
    """It draws from the run's seed, and from nothing else."""
    digests = {_run(scenario, beside).recorder.digest() for _ in range(2)}
    if len(digests) > 1:
        raise Breach(f"differs from run to run, {_words(scenario)}")


CLAUSES = (
    plans_before_the_clock_starts,
    comes_to_an_end_with_operations,
    passes_every_check,
    is_the_same_for_the_same_seed,
)


def hold(name: str, clause: Clause, settings: tuple[str, ...] = (), beside: Path = Path()) -> None:
    """Hold the workload `name` to a clause, in scenarios changed by `--set` texts. Raises `Breach`."""
    for shape in SHAPES:
        given: Table = {"workload.kind": name, "workload.operations": OPERATIONS, "workload.preload_areas": 40}
        table: Table = {}
        put_all(table, given | shape | read_settings(settings), "")
        clause(structure(table, "the contract of workloads"), beside)


def _planned(scenario: Scenario, beside: Path) -> Plan:
    with judged(_words(scenario), MOST_STEPS, _module_of(scenario)):
        return plan(scenario, beside)


def _run(scenario: Scenario, beside: Path) -> Outcome:
    slices = 0
    where = _words(scenario)

    def count(_done: int, _total: int) -> None:
        nonlocal slices
        slices += 1
        if slices > MOST_SLICES:
            raise Breach(f"does not come to an end, {where}: more than {slices - 1:,} slices of events")

    with judged(where, MOST_STEPS, _module_of(scenario)):
        return simulate(scenario, beside, progress=count)


def _module_of(scenario: Scenario) -> str:
    return registry.offered(workloads, scenario.workload.kind).__module__


def _words(scenario: Scenario) -> str:
    return f"on {scenario.machine.cpus} CPUs and {scenario.space.nodes} nodes"
