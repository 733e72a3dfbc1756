"""Every topology holds to the contract of `sim.topologies`, whatever its keys are."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim.topologies
from protocol import registry
from sim.scenario.file import structure
from sim.topologies import Topology, topology

CPUS = 12

ns = st.integers(0, 10**6)


@st.composite
def matrices(draw: st.DrawFn) -> list[list[int]]:
    """Draw symmetric matrices."""
    rows = [[draw(ns) for _ in range(CPUS)] for _ in range(CPUS)]
    return [[rows[min(a, b)][max(a, b)] for b in range(CPUS)] for a in range(CPUS)]


KEYS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "flat": st.just({}),
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
"""How to draw the keys of each topology's table; a new one is held to the contract with its defaults."""


def made(name: str, keys: dict[str, Any], seed: int) -> Topology:
    """Make a topology of a scenario."""
    machine = {"cpus": CPUS, "topology": name, **({name: keys} if keys else {})}
    return topology(structure({"seed": seed, "machine": machine}, "test"), Path())


@pytest.mark.parametrize("name", registry.names(sim.topologies))
@given(data=st.data(), seed=st.integers(0, 3))
@settings(max_examples=30)
def test_distances_are_the_same_both_ways_and_repeat_with_the_seed(
    name: str, data: st.DataObject, seed: int
) -> None:
    """Nothing is negative, no line moves within a CPU, what is said to be uniform or fixed is, a seed repeats."""
    keys = data.draw(KEYS.get(name, st.just({})))
    chosen, again = made(name, keys, seed), made(name, keys, seed)
    pairs = [(a, b) for a in range(CPUS) for b in range(CPUS)]
    links = [chosen.link_ns(a, b) for a, b in pairs]
    assert links == [again.link_ns(a, b) for a, b in pairs]
    assert all(type(link) is int and link >= 0 for link in links)
    if chosen.fixed:
        assert links == [chosen.link_ns(b, a) for a, b in pairs]
    if chosen.uniform_ns is not None:
        assert set(links) == {chosen.uniform_ns}
    for a, b in pairs:
        assert 0 <= chosen.transfer_ns(a, b) == chosen.transfer_ns(b, a)
    if chosen.shares_memory:
        assert all(chosen.transfer_ns(a, a) == 0 for a in range(CPUS))
