"""Random small scenarios: what is true of every run in virtual time."""

from pathlib import Path

from attrs import evolve
from hypothesis import event, given, settings
from hypothesis import strategies as st

import protocol.strategies
from protocol import registry
from sim.metrics.latency import Latency
from sim.outcome import Outcome
from sim.scenario import Scenario
from sim.scenario.costs import Costs
from sim.scenario.machine import Machine
from sim.scenario.model import Batch, Lookup, Mix, Space, Workload
from sim.simulation import simulate

NOWHERE = Path("/nonexistent")
"""Where the files of a scenario would be; the mix has none."""

SHARES = ("find", "insert", "unlink", "insert_batch")


@st.composite
def mixes(draw: st.DrawFn) -> Mix:
    """Draw shares that sum to 1 as well as floats can, about half of the kinds left out."""
    kinds = draw(st.sets(st.sampled_from(SHARES), min_size=1))
    weights = {kind: draw(st.integers(1, 7)) for kind in sorted(kinds)}
    interior = draw(st.sampled_from([0.0, 0.3, 1.0]))
    miss = draw(st.sampled_from([share for share in (0.0, 0.2, 1.0) if interior + share <= 1.0]))
    shares = {kind: weights.get(kind, 0) / sum(weights.values()) for kind in SHARES}
    return Mix(**shares, interior=interior, miss=miss)


costs = st.builds(
    Costs,
    lock_ns=st.integers(0, 30),
    visit_ns=st.integers(0, 10),
    insert_ns=st.integers(0, 50),
    link_ns=st.integers(0, 100),
)
workloads = st.builds(
    Workload,
    operations=st.sampled_from([1, 5, 60, 150, 300]),
    preload_areas=st.integers(0, 40),
    pages=st.lists(st.integers(1, 12), min_size=2, max_size=2).map(sorted),
    guard=st.booleans(),
    think_ns=st.sampled_from([0, 0, 1, 77]),
    mix=mixes(),
)
scenarios = st.builds(
    Scenario,
    seed=st.integers(0, 2**32),
    space=st.builds(Space, nodes=st.integers(1, 5), zone_pages=st.sampled_from([1, 2, 3, 16])),
    machine=st.builds(Machine, cpus=st.integers(1, 6)),
    costs=costs,
    lookup=st.builds(Lookup, policy=st.sampled_from(["forward", "backward", "scatter"])),
    batch=st.builds(
        Batch,
        strategy=st.sampled_from(registry.names(protocol.strategies)),
        areas=st.integers(1, 6),
        chunk=st.integers(1, 3),
    ),
    workload=workloads,
)
sequential = scenarios.map(
    lambda scenario: evolve(
        scenario,
        lookup=Lookup("forward" if scenario.lookup.policy == "scatter" else scenario.lookup.policy),
        batch=evolve(
            scenario.batch,
            strategy="grouped" if scenario.batch.strategy == "parallel" else scenario.batch.strategy,
        ),
    )
)
"""Scenarios in which nobody asks several nodes at once."""

profile = settings(max_examples=60, deadline=None, print_blob=True)


def cells(outcome: Outcome) -> list[tuple[str, int, Latency]]:
    """Latencies by operation and probes."""
    return [
        (name, probes, latency)
        for name, by_probes in outcome.recorder.latencies.by_operation().items()
        for probes, latency in by_probes.items()
    ]


@given(scenarios)
@profile
def test_every_run_keeps_its_promises(scenario: Scenario) -> None:
    """All checks hold, no operation is lost, and no operation waits or is served for longer than it takes."""
    outcome = simulate(scenario, NOWHERE)
    assert {name: verdict for name, verdict in outcome.verdicts.items() if not verdict.ok} == {}
    assert outcome.recorder.operations == scenario.workload.operations
    assert sum(latency.count for *_, latency in cells(outcome)) == scenario.workload.operations
    for name, probes, latency in cells(outcome):
        event(name)
        assert latency.queue_ns + latency.service_ns <= latency.total_ns, (name, probes)
        assert latency.max_ns <= latency.total_ns <= latency.max_ns * latency.count
    assert sum(node.areas for node in outcome.nodes) == len(list(outcome.recorder.history.areas()))


@given(scenarios)
@profile
def test_the_same_scenario_gives_the_same_run(scenario: Scenario) -> None:
    """Digest, end, events and every number of nodes and batches, byte by byte."""
    one, other = (simulate(scenario, NOWHERE) for _ in range(2))
    assert one.recorder.digest() == other.recorder.digest()
    assert (one.virtual_ns, one.events, one.nodes, one.batches) == (
        other.virtual_ns,
        other.events,
        other.nodes,
        other.batches,
    )
    assert [(name, probes) for name, probes, _latency in cells(one)] == [
        (name, probes) for name, probes, _latency in cells(other)
    ]


@given(scenarios)
@profile
def test_probes_are_those_of_policy_and_strategy(scenario: Scenario) -> None:
    """A miss asks all nodes, an insertion one, a hit no more than there are, the scattered ones always all."""
    nodes = scenario.space.nodes
    outcome = simulate(scenario, NOWHERE)
    for name, probes, _latency in cells(outcome):
        if name == "find_miss" or (scenario.lookup.policy == "scatter" and not name.startswith("insert")):
            assert probes == nodes, name
        elif name == "insert" or (name == "insert_batch" and scenario.batch.strategy == "global"):
            assert probes == 1, name
        elif name == "insert_batch":
            assert 1 <= probes <= scenario.batch.areas
        else:
            assert 1 <= probes <= nodes, name
        if name in ("find", "unlink") and scenario.lookup.policy != "scatter":
            assert probes == 1, "an area's start is in the zone of its node"
    batched = [(probes, latency.count) for name, probes, latency in cells(outcome) if name == "insert_batch"]
    assert outcome.batches.sessions == sum(probes * count for probes, count in batched)
    assert outcome.batches.areas == scenario.batch.areas * sum(count for _probes, count in batched)


@given(sequential)
@profile
def test_every_nanosecond_is_accounted_for(scenario: Scenario) -> None:
    """Where nodes are asked one by one, what is neither queue nor service is two links for each of them.

    All service is under a lock and all waiting is for one, so operations and locks have the same sums.
    """
    outcome = simulate(scenario, NOWHERE)
    for name, probes, latency in cells(outcome):
        transfer_ns = latency.total_ns - latency.queue_ns - latency.service_ns
        assert transfer_ns == 2 * scenario.costs.link_ns * probes * latency.count, name
    locks = outcome.recorder.locks
    assert sum(lock.hold_ns for lock in locks) == sum(latency.service_ns for *_, latency in cells(outcome))
    assert sum(lock.wait_ns for lock in locks) == sum(latency.queue_ns for *_, latency in cells(outcome))
    assert sum(lock.acquisitions for lock in locks) == sum(
        probes * latency.count for _name, probes, latency in cells(outcome)
    )


@given(sequential, st.sampled_from(["home", "bounded"]))
@settings(profile, max_examples=25)
def test_policies_that_give_up_are_found_out_or_right(scenario: Scenario, policy: str) -> None:
    """Every find that missed an area's interior is an exception of `answers_true`, and nothing else is.

    CPUs think in between: what ends and what begins at the same nanosecond may have been the other way round.
    """
    workload = evolve(scenario.workload, mix=evolve(scenario.workload.mix, miss=0.0), think_ns=1)
    outcome = simulate(evolve(scenario, lookup=Lookup(policy, extra=0), workload=workload), NOWHERE)
    missed = sum(latency.count for name, _probes, latency in cells(outcome) if name == "find_miss")
    event(f"missed: {missed > 0}")
    assert outcome.verdicts["answers_true"].count == missed
    assert all(verdict.ok for name, verdict in outcome.verdicts.items() if name != "answers_true")
