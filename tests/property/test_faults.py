"""Faults in virtual time: many seeds, all checks green; without request ids, the same campaign is red."""

from collections import Counter
from pathlib import Path

import pytest
from attrs import evolve

from actors.errors import NoAnswer
from protocol.kernel import KERNELS
from sim.errors import BadInput
from sim.outcome import Outcome
from sim.scenario import Scenario
from sim.scenario.faults import Crashes, Faults, Messages, Partitions, Slow
from sim.scenario.machine import Machine
from sim.scenario.model import Batch, KernelChoices, Mix, Space, Workload
from sim.simulation import simulate

NOWHERE = Path()
SMALL = Scenario(
    space=Space(nodes=3),
    machine=Machine(cpus=3),
    batch=Batch(areas=4, chunk=2),
    workload=Workload(
        operations=60,
        preload_areas=12,
        pages=[1, 40],
        mix=Mix(find=0.3, insert=0.25, unlink=0.35, insert_batch=0.1, interior=0.3, miss=0.1),
    ),
    faults=Faults(
        timeout_ns=2_000,
        deadline_ns=200_000,
        messages=[
            Messages(loss=0.08, duplication=0.1, delay=0.2, delay_ns=[0, 3000], reordering=0.05, reorder_ns=9000)
        ],
        crashes=[Crashes(every_ns=30_000, down_ns=5_000)],
        partitions=[Partitions(actors=["node/1"], from_ns=10_000, until_ns=14_000)],
        slow=[Slow(actor="node/2", factor=20, from_ns=5_000, until_ns=25_000)],
    ),
)
"""Little work and much that goes wrong: about every other call is asked again."""


def run(seed: int, *, once: bool = True) -> Outcome:
    return simulate(evolve(SMALL, seed=seed, faults=evolve(SMALL.faults, once=once)), NOWHERE)


def broken(outcome: Outcome) -> dict[str, str | None]:
    return {name: verdict.first for name, verdict in outcome.verdicts.items() if not verdict.ok}


@pytest.mark.parametrize("seeds", [1000])
def test_all_checks_hold_for_many_seeds(seeds: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Loss, duplication, delay, reordering, crashes, a partition and a slow node: nothing lost, nothing twice."""
    counts: Counter[str] = Counter()
    for seed in range(seeds):
        outcome = run(seed)
        assert broken(outcome) == {}, f"seed {seed}"
        failed = sum(outcome.recorder.failed.values())
        assert outcome.recorder.operations + failed == 60, f"seed {seed}"
        counts.update(outcome.faults)
        counts["failed operations"] += failed
    for kind in ("lost", "duplicated", "delayed", "held_back", "crashes", "cut_off"):
        assert counts[kind] > seeds, (kind, counts)
    with capsys.disabled():
        print(f"\nseeds 0-{seeds - 1}: {dict(sorted(counts.items()))}")


def test_the_same_campaign_catches_a_protocol_without_request_ids() -> None:
    """With `once = false` most seeds break a check: what arrives twice is carried out twice."""
    caught = {seed: broken(run(seed, once=False)) for seed in range(50)}
    assert sum(bool(found) for found in caught.values()) > 40
    assert {name for found in caught.values() for name in found} == {"answers_true", "nothing_lost"}


@pytest.mark.parametrize("kernel", ["6.8", "6.9", "7.1"])
def test_the_flows_of_vmalloc_go_on_through_faults(kernel: str) -> None:
    """Pools, lazy trees, purges by kworkers: each step is carried out once, or the checks would miss a range."""
    kworkers = vmalloc_with_faults(kernel, SMALL.faults, deadline_ns=10_000_000)
    outcome = simulate(kworkers, NOWHERE)
    assert broken(outcome) == {}
    assert outcome.vmap is not None
    assert outcome.vmap.purges
    for kind in ("lost", "duplicated", "crashes"):
        assert outcome.faults[kind] > 10, (kind, outcome.faults)
    assert simulate(kworkers, NOWHERE).recorder.digest() == outcome.recorder.digest()


def test_a_flow_that_is_not_answered_ends_the_run() -> None:
    """Half a flow cannot be told from a lost one: the run says who did not answer what, and only that."""
    faults = Faults(partitions=[Partitions(actors=["free"], from_ns=3_000)])
    with pytest.raises(BaseExceptionGroup) as raised:
        simulate(vmalloc_with_faults("6.9", faults, deadline_ns=50_000), NOWHERE)
    theirs, others = raised.value.split(NoAnswer)
    assert others is None
    assert "free did not answer" in repr(theirs)


def test_the_flows_of_vmalloc_need_request_ids() -> None:
    """Refused in one line: what a purge detached would be gone with a reply that is not given again."""
    faults = evolve(SMALL.faults, once=False)
    with pytest.raises(BadInput, match=r"faults\.once: found false; allowed: true, for workload.kind vmalloc"):
        simulate(vmalloc_with_faults("6.9", faults, deadline_ns=10_000_000), NOWHERE)


def vmalloc_with_faults(kernel: str, faults: Faults, deadline_ns: int) -> Scenario:
    one = KERNELS[kernel].nodes == "one"
    return Scenario(
        space=Space(nodes=1 if one else 3, kernel=kernel),
        kernel=KernelChoices.of(KERNELS[kernel]),
        machine=Machine(cpus=3),
        workload=Workload(kind="vmalloc", operations=400, preload_areas=12),
        faults=evolve(faults, deadline_ns=deadline_ns),
    )


def test_the_same_seed_gives_the_same_faults() -> None:
    """Digest, end, faults and failures, twice; another seed gives others."""
    one, again, other = run(1), run(1), run(2)
    assert one.recorder.digest() == again.recorder.digest() != other.recorder.digest()
    assert (one.virtual_ns, one.faults) == (again.virtual_ns, again.faults) != (other.virtual_ns, other.faults)


def test_a_node_that_is_cut_off_for_good_fails_operations_and_nothing_else() -> None:
    """Clients give up after their deadline, say so, and the checks know that it may have happened."""
    faults = Faults(deadline_ns=50_000, partitions=[Partitions(actors=["node/0"], from_ns=3_000)])
    outcome = simulate(evolve(SMALL, faults=faults), NOWHERE)
    assert broken(outcome) == {}
    failures = outcome.recorder.failures
    assert failures
    for several in failures.values():
        assert all("node/0 did not answer" in failure.reason for failure in several)
        assert all("within 0.05 ms" in failure.reason for failure in several)


def test_a_crash_at_a_time_happens_then() -> None:
    """One crash of one node; everybody waits for it, and then it goes on from where it was."""
    faults = Faults(crashes=[Crashes(actor="node/1", at_ns=4_000, down_ns=20_000)])
    outcome = simulate(evolve(SMALL, faults=faults), NOWHERE)
    assert broken(outcome) == {}
    assert outcome.faults["crashes"] == 1
    assert outcome.virtual_ns > 24_000
    assert outcome.recorder.operations == 60


def test_a_slow_node_is_slow_in_its_time() -> None:
    """Its lock is held a hundred times as long as the others'."""
    outcome = simulate(evolve(SMALL, faults=Faults(slow=[Slow(actor="node/2", factor=100)])), NOWHERE)
    assert broken(outcome) == {}
    mean_ns = {lock.name: lock.hold_ns / lock.acquisitions for lock in outcome.recorder.locks}
    assert mean_ns["busy/2"] > 50 * max(mean_ns["busy/0"], mean_ns["busy/1"])


def test_live_faults_are_judged_by_the_same_checks() -> None:
    """Real channels lose, double and delay messages, and actors crash: the checks hold, or the seed is printed."""
    faults = Faults(
        timeout_ns=5_000_000,
        deadline_ns=5_000_000_000,
        messages=[Messages(loss=0.1, duplication=0.1, delay=0.2, delay_ns=[0, 1_000_000])],
        crashes=[Crashes(every_ns=50_000_000, down_ns=5_000_000)],
    )
    outcome = simulate(evolve(SMALL, faults=faults), NOWHERE, engine="live")
    assert broken(outcome) == {}, f"seed {SMALL.seed}"
    assert outcome.faults["lost"] > 5
    assert outcome.recorder.operations == 60
