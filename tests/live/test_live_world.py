"""The live world: real channels and the wall clock, and the same outcome as in virtual time."""

from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import evolve, field, frozen

import protocol.strategies
from actors.errors import ActorFailed, ActorGone
from actors.live import INBOX, LiveWorld
from actors.system import Driver, run_system
from actors.world import Port
from protocol import registry, strategies
from protocol.area import VmapArea
from protocol.messages import NotFound, Reply, Request
from protocol.work import Work
from sim.outcome import Outcome
from sim.scenario import Scenario
from sim.scenario.machine import Machine
from sim.scenario.model import Batch, Lookup, Mix, Space, Workload
from sim.simulation import simulate
from tests.unit.actors import ASK, FixedMachine, Seen

MIX = Scenario(
    space=Space(nodes=4),
    machine=Machine(cpus=4),
    batch=Batch(areas=5, chunk=2),
    workload=Workload(
        operations=600,
        preload_areas=80,
        mix=Mix(find=0.4, insert=0.2, unlink=0.3, insert_batch=0.1, interior=0.3, miss=0.1),
    ),
)
"""Few areas for many operations: CPUs run out of them and refill, batches span several nodes."""


def areas(outcome: Outcome) -> list[VmapArea]:
    """The areas that clients know of at the end; that they are in their nodes is what the checks say."""
    return list(outcome.recorder.history.areas())


def counts(outcome: Outcome) -> dict[str, dict[int, int]]:
    """Operations by kind and number of probes."""
    return {
        name: {probes: latency.count for probes, latency in by_probes.items()}
        for name, by_probes in outcome.recorder.latencies.by_operation().items()
    }


@pytest.mark.parametrize("strategy", registry.names(protocol.strategies))
@pytest.mark.parametrize("policy", ["backward", "forward", "scatter"])
def test_both_worlds_leave_the_same_areas(policy: str, strategy: str, tmp_path: Path) -> None:
    """CPUs own their areas, so neither clock nor scheduler decides what is left and who was asked for it.

    But for a strategy that adapts: in how many sessions it inserts them depends on what those before met.
    """
    scenario = evolve(MIX, lookup=Lookup(policy=policy), batch=evolve(MIX.batch, strategy=strategy))
    virtual = simulate(scenario, tmp_path)
    live = simulate(scenario, tmp_path, engine="live")
    assert (virtual.verdicts, virtual.ok, live.ok) == (live.verdicts, True, True)
    assert areas(live) == areas(virtual)
    assert live.recorder.operations == virtual.recorder.operations == 600
    if strategies.adaptation(strategies.load(strategy)) is None:
        assert live.nodes == virtual.nodes
        assert live.batches == virtual.batches
        assert counts(live) == counts(virtual)


def test_live_times_are_the_wall_clocks(tmp_path: Path) -> None:
    """Operations take time, queue and service are parts of it, and locks are held while machines work."""
    outcome = simulate(MIX, tmp_path, engine="live")
    assert outcome.engine == "live"
    latencies = [
        latency
        for by_probes in outcome.recorder.latencies.by_operation().values()
        for latency in by_probes.values()
    ]
    for latency in latencies:
        assert 0 < latency.service_ns <= latency.queue_ns + latency.service_ns <= latency.total_ns
    locks = outcome.recorder.locks
    assert sum(lock.hold_ns for lock in locks) == sum(latency.service_ns for latency in latencies)
    assert sum(lock.wait_ns for lock in locks) == sum(latency.queue_ns for latency in latencies)
    assert sorted(lock.name for lock in locks) == [f"busy/{node_id}" for node_id in range(4)]
    assert sum(lock.acquisitions for lock in locks) == sum(node.requests for node in outcome.nodes)
    assert all(0 < lock.hold_max_ns <= lock.hold_ns <= outcome.virtual_ns for lock in locks)


def test_an_inbox_that_is_full_makes_its_senders_wait(tmp_path: Path) -> None:
    """With more CPUs than an inbox has places, everybody is still served."""
    scenario = evolve(MIX, space=Space(nodes=1), machine=Machine(cpus=150))
    outcome = simulate(scenario, tmp_path, engine="live")
    assert outcome.ok
    assert outcome.recorder.operations == 600


# -- actors that leave ----------------------------------------------------------------------------
# The clock of these tests jumps when everybody waits: a client that is never answered fails at once.


@frozen
class LastWish:
    """A machine that cancels its own actor while it serves its first request."""

    scope: trio.CancelScope = field(factory=trio.CancelScope)

    def handle(self, request: Request) -> tuple[Reply, Work]:
        del request
        self.scope.cancel()
        return NotFound(), Work("busy/0", 0, 1)


@pytest.mark.usefixtures("autojump_clock")
async def test_what_waits_in_the_inbox_of_a_cancelled_server_is_turned_away() -> None:
    """One client is served, those whose requests were in the inbox or before it are told, as are later ones."""
    world = LiveWorld(Seen().observer(), lambda: None)
    machine = LastWish()
    told = []

    async def serve(task_status: trio.TaskStatus[None]) -> None:
        with machine.scope:
            await world.serve("a", machine, task_status)

    async def script(port: Port) -> None:
        try:
            await port.call("a", ASK)
        except ActorGone as gone:
            told.append(gone.address)
        with pytest.raises(ActorGone):
            await port.call("a", ASK)

    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            await run_system(world, [], [Driver(cpu, script) for cpu in range(2 * INBOX)])
    assert told == ["a"] * (2 * INBOX - 1)


@pytest.mark.usefixtures("autojump_clock")
async def test_a_supervisor_can_restart_a_broken_server() -> None:
    """Who asked the broken machine is told; once the actor serves again, requests are answered."""
    world = LiveWorld(Seen().observer(), lambda: None)
    restarted = trio.Event()
    second = FixedMachine("a", 5)
    replies = []

    async def supervise(task_status: trio.TaskStatus[None]) -> None:
        with pytest.raises(ActorFailed):
            await world.serve("a", FixedMachine("a", 5, breaks_on=ASK), task_status)
        async with trio.open_nursery() as serving:
            await serving.start(partial(world.serve, "a", second))
            restarted.set()

    async def stubborn(port: Port) -> None:
        with pytest.raises(ActorGone):
            await port.call("a", ASK)
        await port.wait(restarted)
        replies.append(await port.call("a", ASK))

    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            await nursery.start(supervise)
            await run_system(world, [], [Driver(0, stubborn)])
            nursery.cancel_scope.cancel()
    assert replies == [NotFound()]
    assert second.asked == [ASK]
