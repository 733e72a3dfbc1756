"""Areas that other nodes know of, and areas that move: nobody misses one, under any policy and seed."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.beside import Beside
from sim.outcome import Outcome
from sim.scenario.model import Scenario
from sim.simulation import simulate

few = settings(max_examples=8, deadline=None)


def ran(policy: str, kind: str, seed: int, nodes: int, strategy: str = "grouped") -> Outcome:
    """Run some hundred operations in which everybody looks into areas of several zones."""
    mix = {"find": 0.5, "insert": 0.1, "unlink": 0.3, "insert_batch": 0.1, "interior": 0.5}
    workload = {"kind": kind, "operations": 600, "preload_areas": 60, "mix": mix, "migrate": {"share": 0.3}}
    tables: dict[str, Any] = {
        "seed": seed,
        "space": {"nodes": nodes},
        "machine": {"cpus": 4},
        "lookup": {"policy": policy},
        "batch": {"strategy": strategy, "areas": 6},
        "workload": workload,
    }
    return simulate(Scenario.of(tables), Path())


def exceptions(outcome: Outcome) -> dict[str, int]:
    return {name: verdict.count for name, verdict in outcome.verdicts.items() if not verdict.ok}


@pytest.mark.parametrize("strategy", ["per-area", "grouped", "parallel", "adaptive", "global"])
@few
@given(seed=st.integers(0, 2**32), nodes=st.integers(1, 9))
def test_one_question_is_enough_where_nodes_are_told(strategy: str, seed: int, nodes: int) -> None:
    """No lookup asks a second node, none misses anything, and nothing is known of what is gone."""
    outcome = ran("span-directory", "mix", seed, nodes, strategy)
    assert exceptions(outcome) == {}
    for name in ("find", "find_interior"):
        assert set(outcome.recorder.latencies.by_operation().get(name, {})) <= {1}


@pytest.mark.parametrize("policy", ["backward", "forward", "scatter", "span-directory"])
@few
@given(seed=st.integers(0, 2**32), nodes=st.integers(2, 9))
def test_no_lookup_goes_wrong_while_areas_move(policy: str, seed: int, nodes: int) -> None:
    """All checks hold, and areas have moved."""
    outcome = ran(policy, "migrate", seed, nodes)
    assert exceptions(outcome) == {}
    assert outcome.recorder.latencies.by_operation()["migrate"]


def test_a_home_that_does_not_forward_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks for what has moved then misses it, and an area in a strange node has nobody who says so."""
    monkeypatch.setattr(Beside, "forward", lambda *_arguments: None)
    found = exceptions(ran("span-directory", "migrate", 1, 4))
    assert {"answers_true", "home_node"} <= found.keys()
