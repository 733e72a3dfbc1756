"""What every topology holds to: distances that are the same both ways, and repeat with the seed."""

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from protocol import registry
from sim import topologies
from sim.contracts import Breach, Clause, judged, search
from sim.scenario.file import structure
from sim.topologies import Topology, topology

CPUS = 12
PAIRS = [(cpu, other) for cpu in range(CPUS) for other in range(CPUS)]

ns = st.integers(0, 10**6)


@st.composite
def matrices(draw: st.DrawFn) -> list[list[int]]:
    """Draw symmetric matrices."""
    rows = [[draw(ns) for _ in range(CPUS)] for _ in range(CPUS)]
    return [[rows[min(a, b)][max(a, b)] for b in range(CPUS)] for a in range(CPUS)]


KEYS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "cores": st.fixed_dictionaries(
        {
            "smt": st.integers(1, 3),
            "complex_cores": st.integers(2, 4),
            "complexes": st.integers(2, 3),
            "sockets": st.integers(3, 4),
            "order": st.sampled_from(["packed", "spread"]),
            "smt_ns": st.floats(0, 10),
            "remote_ns": st.floats(0, 10),
        }
    ),
    "hosts": st.fixed_dictionaries(
        {
            "cpus": st.integers(1, 5),
            "hosts": st.integers(1, 3),
            "host_ns": ns,
            "room_ns": ns,
            "distribution": st.sampled_from(["constant", "uniform", "exponential", "lognormal"]),
            "spread": st.floats(0, 1),
        }
    ),
    "matrix": st.fixed_dictionaries({"ns": matrices()}),
}
"""How to draw the keys of a topology's table, `[machine.NAME]`; one without is held to the contract as it is."""


def gives_times_that_are_whole_and_not_negative(chosen: Topology, _again: Topology) -> None:
    """Messages take whole nanoseconds, lines no less than none."""
    for cpu, other in PAIRS:
        link_ns, transfer_ns = chosen.link_ns(cpu, other), chosen.transfer_ns(cpu, other)
        if type(link_ns) is not int or link_ns < 0 or not transfer_ns >= 0:
            raise Breach(f"gives {link_ns!r} and {transfer_ns!r} ns from CPU {cpu} to {other}")


def has_distances_that_are_the_same_both_ways(chosen: Topology, _again: Topology) -> None:
    """Lines always, messages where they are fixed; and no line moves within a CPU of one machine."""
    for cpu, other in PAIRS:
        there, back = chosen.transfer_ns(cpu, other), chosen.transfer_ns(other, cpu)
        if there != back:
            raise Breach(f"moves a line in {there!r} ns from CPU {cpu} to {other}, and in {back!r} ns back")
        if chosen.fixed and chosen.link_ns(cpu, other) != chosen.link_ns(other, cpu):
            raise Breach(f"says `fixed`, and a message from CPU {cpu} to {other} takes another time than back")
        if chosen.shares_memory and cpu == other and there:
            raise Breach(f"moves a line in {there!r} ns within CPU {cpu}")


def is_uniform_where_it_says_so(chosen: Topology, _again: Topology) -> None:
    """With `uniform_ns` every message takes that."""
    for cpu, other in PAIRS:
        if chosen.uniform_ns is not None and chosen.link_ns(cpu, other) != chosen.uniform_ns:
            raise Breach(f"says `uniform_ns` {chosen.uniform_ns}, not so from CPU {cpu} to {other}")


def repeats_with_the_seed(chosen: Topology, again: Topology) -> None:
    """Made anew it says the same, draw by draw."""
    for cpu, other in PAIRS:
        first, second = chosen.link_ns(cpu, other), again.link_ns(cpu, other)
        if first != second:
            raise Breach(f"gives {first} ns from CPU {cpu} to {other}, and made anew {second}")


CLAUSES = (
    gives_times_that_are_whole_and_not_negative,
    has_distances_that_are_the_same_both_ways,
    is_uniform_where_it_says_so,
    repeats_with_the_seed,
)


def hold(name: str, clause: Clause) -> None:
    """Hold the topology `name`, whatever its keys, to a clause. Raises `Breach`."""
    module = registry.offered(topologies, name).__module__

    def test(example: tuple[dict[str, Any], int]) -> None:
        keys, seed = example
        machine = {"cpus": CPUS, "topology": name, **({name: keys} if keys else {})}
        scenario = structure({"seed": seed, "machine": machine}, "the contract of topologies")
        with judged(f"for {CPUS} CPUs, {keys or 'no keys'}, seed {seed}", only=module):
            clause(topology(scenario, Path()), topology(scenario, Path()))

    search(test, st.tuples(KEYS.get(name, st.just({})), st.integers(0, 3)), most=30)
