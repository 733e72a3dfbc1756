"""What every fault holds to: answers that a world can use, the same for the same seed, and nothing lost by it."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from protocol import registry
from sim import faults
from sim.contracts import Breach, Clause, judged
from sim.faults import Fault
from sim.scenario.faults import TABLES
from sim.scenario.file import structure
from sim.scenario.model import Scenario
from sim.simulation import simulate

SERVERS = ("node/0", "node/1", "node/2")
PLACES = [
    (source, target, now_ns)
    for now_ns in range(0, 60_000, 1_500)
    for source, target in (("cpu/0", "node/0"), ("node/0", "cpu/0"), ("cpu/2", "node/2"))
]
MOST_CRASHES = 200
MOST_STEPS = 3_000_000
"""Steps that the fault's own code may take in a run, or to answer all questions."""


KEYS = {
    "messages": [{"loss": 0.1, "duplication": 0.1, "delay": 0.2, "reordering": 0.1}],
    "crashes": [{"every_ns": 30_000, "down_ns": 5_000}],
    "partitions": [{"actors": ["node/1"], "from_ns": 10_000, "until_ns": 14_000}],
    "slow": [{"actor": "node/2", "factor": 20, "from_ns": 5_000, "until_ns": 25_000}],
}
"""Tables of the kinds that have some; others are named in `faults.also`."""


def answers_what_a_world_can_use(fault: Fault, _again: Fault) -> None:
    """Fates are not negative, servers no faster than usual, crashes come in order and to servers."""
    for source, target, now_ns in PLACES:
        fates = fault.fates((0,), source, target, now_ns)
        if not isinstance(fates, Sequence) or not all(type(fate) is int and fate >= 0 for fate in fates):
            raise Breach(f"gives the fates {fates!r}, from {source} to {target} at {now_ns} ns")
        if type(factor := fault.slowdown(target, now_ns)) is not int or factor < 1:
            raise Breach(f"slows {target} down by {factor!r} at {now_ns} ns")
    before_ns = 0
    for crash in islice(fault.crashes(), MOST_CRASHES):
        if crash.address not in SERVERS or crash.down_ns < 1 or crash.at_ns < before_ns:
            raise Breach(f"gives {crash!r} after one at {before_ns} ns, for the servers {', '.join(SERVERS)}")
        before_ns = crash.at_ns


def repeats_with_the_seed(fault: Fault, again: Fault) -> None:
    """Made anew and asked the same, it answers the same."""
    for source, target, now_ns in PLACES:
        first, second = fault.fates((0,), source, target, now_ns), again.fates((0,), source, target, now_ns)
        if list(first) != list(second):
            raise Breach(f"gives two fates, {first!r} and {second!r}, from {source} to {target} at {now_ns} ns")
    if list(islice(fault.crashes(), MOST_CRASHES)) != list(islice(again.crashes(), MOST_CRASHES)):
        raise Breach("gives other crashes when it is made anew")


def passes_every_check(name: str) -> None:
    """Operations fail or not; nothing is lost, and nobody is told what is not so."""
    outcome = simulate(_scenario(name, 1), Path())
    for check, verdict in outcome.verdicts.items():
        if not verdict.ok:
            raise Breach(f"makes a run fail the check {check}: {verdict.first}")


CLAUSES = (answers_what_a_world_can_use, repeats_with_the_seed, passes_every_check)


def hold(name: str, clause: Clause) -> None:
    """Hold the fault `name` to a clause. Raises `Breach`."""
    module = registry.offered(faults, name).__module__
    if clause is passes_every_check:
        with judged("in a run", MOST_STEPS, module):
            clause(name)
        return
    for seed in range(3):
        make = registry.load(faults, name, {})
        with judged(f"with seed {seed}", MOST_STEPS, module):
            clause(make(_scenario(name, seed), SERVERS), make(_scenario(name, seed), SERVERS))


def _scenario(name: str, seed: int) -> Scenario:
    tables = {name: KEYS[name]} if name in TABLES else {"also": [name]}
    table = {
        "seed": seed,
        "machine": {"cpus": 3},
        "space": {"nodes": len(SERVERS)},
        "workload": {"operations": 200, "preload_areas": 40},
        "faults": {"timeout_ns": 2_000, "deadline_ns": 200_000, **tables},
    }
    return structure(table, "the contract of faults")
