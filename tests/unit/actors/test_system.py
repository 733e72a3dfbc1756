"""The supervised nursery: who starts and ends when, and whose failure ends it all, in both worlds."""

from collections.abc import Callable
from itertools import count

import pytest
import trio
from attrs import define, field

from actors.errors import ActorFailed, ActorGone, NotACommand
from actors.live import LiveWorld
from actors.system import Driver, Server, run_system
from actors.world import Address, Port, Script, Signal
from protocol.area import VmapArea, ZoneLayout
from protocol.machine import Machine
from protocol.messages import Find, NotFound
from protocol.node import NodeMachine
from sim.virtual import VirtualWorld
from tests.unit.actors import ASK, WORLDS, FixedMachine, Seen, leaves

MakeWorld = Callable[[Seen], VirtualWorld | LiveWorld]

PATIENCE = 20_000
"""Steps after which an endless script gives up, so that a failing test ends."""


@pytest.fixture(params=WORLDS)
def make_world(request: pytest.FixtureRequest) -> MakeWorld:
    return WORLDS[request.param]


def server(address: Address, breaks_on: Find | None = None) -> Server:
    return Server(address, FixedMachine(f"busy/{address}", 5, breaks_on))


def asking(to: Address, times: int) -> Script:
    """Make a script that asks `to` so many times."""

    async def script(port: Port) -> None:
        for _ in range(times):
            assert await port.call(to, ASK) == NotFound()

    return script


@define
class ChronicleWorld:
    """Writes down who starts and ends; time passes when it is conducted."""

    chronicle: list[str] = field(factory=list)
    _time_passes: trio.Event = field(factory=trio.Event)

    async def serve(
        self,
        address: Address,
        machine: Machine,  # noqa: ARG002 (the shape of a world)
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self.chronicle.append(f"{address} starts")
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self.chronicle.append(f"a server ends after {self.chronicle.count('a script ends')} scripts")

    async def drive(
        self,
        cpu: int,
        script: Script,  # noqa: ARG002 (the shape of a world)
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self.chronicle.append(f"cpu {cpu} starts")
        task_status.started()
        await self._time_passes.wait()
        self.chronicle.append("a script ends")

    async def conduct(self) -> None:
        self.chronicle.append("time passes")
        self._time_passes.set()

    async def pass_time(self, ns: int) -> None:
        self.chronicle.append(f"{ns} ns pass")

    def signal(self) -> Signal:
        return trio.Event()


async def test_servers_start_first_and_end_last() -> None:
    """All start in the order given, before time passes; servers end when the last script has ended."""
    world = ChronicleWorld()
    drivers = [Driver(cpu, asking("a", 0)) for cpu in (3, 1, 2)]
    await run_system(world, [server("b"), server("a")], drivers)
    assert world.chronicle == [
        *("b starts", "a starts", "cpu 3 starts", "cpu 1 starts", "cpu 2 starts", "time passes"),
        *["a script ends"] * 3,
        *["a server ends after 3 scripts"] * 2,
    ]


async def test_it_ends_when_all_scripts_are_over(make_world: MakeWorld) -> None:
    """Scripts of different lengths each run to their end and are reported as left."""
    seen = Seen()
    machine = FixedMachine("busy/0", 5)
    drivers = [Driver(cpu, asking("node", times)) for cpu, times in enumerate((3, 0, 5))]
    await run_system(make_world(seen), [Server("node", machine)], drivers)
    assert len(machine.asked) == 8
    assert seen.locks["busy/0"].acquisitions == 8
    assert sorted(seen.left) == [0, 1, 2]


async def test_a_world_without_scripts_ends_at_once(make_world: MakeWorld) -> None:
    """Nobody asks, so there is nothing to wait for."""
    seen = Seen()
    await run_system(make_world(seen), [server("node")], [])
    assert seen == Seen()


async def test_a_broken_machine_ends_it_all(make_world: MakeWorld) -> None:
    """Its own actor fails, with address, request and cause; the client that asked does not add an error."""
    bad = Find(7, 0xBAD)
    served = []

    async def script(port: Port) -> None:
        served.append(await port.call("good", ASK))
        await port.call("broken", ASK)
        with pytest.raises(ActorGone):
            await port.call("broken", bad)

    with pytest.raises(ExceptionGroup) as caught:
        await run_system(make_world(Seen()), [server("good"), server("broken", breaks_on=bad)], [Driver(0, script)])
    failures, rest = caught.value.split(ActorFailed)
    assert rest is None
    assert failures is not None
    [failure] = leaves(failures)
    assert isinstance(failure, ActorFailed)
    assert (failure.address, failure.request) == ("broken", bad)
    assert isinstance(failure.__cause__, ZeroDivisionError)
    assert str(failure) == f"broken failed with ZeroDivisionError: broken by the test, serving {bad!r}"
    assert served == [NotFound()]


async def test_an_endless_script_ends_with_a_broken_machine(make_world: MakeWorld) -> None:
    """The failure cancels everybody else."""
    steps = count()

    async def endless(port: Port) -> None:
        while next(steps) < PATIENCE:
            await port.call("good", ASK)

    with pytest.raises(ExceptionGroup) as caught:
        await run_system(
            make_world(Seen()),
            [server("good"), server("broken", breaks_on=ASK)],
            [Driver(0, endless), Driver(1, asking("broken", 1))],
        )
    assert any(isinstance(error, ActorFailed) for error in leaves(caught.value))
    assert next(steps) < PATIENCE


async def test_a_failing_script_ends_it_all(make_world: MakeWorld) -> None:
    """What a script raises leaves as it is, and scripts that still run are cancelled."""
    steps = count()
    seen = Seen()

    async def endless(port: Port) -> None:
        while next(steps) < PATIENCE:
            await port.call("node", ASK)

    async def failing(port: Port) -> None:
        await port.call("node", ASK)
        raise LookupError("of the script")

    with pytest.raises(ExceptionGroup) as caught:
        await run_system(make_world(seen), [server("node")], [Driver(0, endless), Driver(1, failing)])
    [error] = leaves(caught.value)
    assert isinstance(error, LookupError)
    assert str(error) == "of the script"
    assert next(steps) < PATIENCE
    assert sorted(seen.left) == [0, 1]


async def test_nobody_serves_at_an_unknown_address(make_world: MakeWorld) -> None:
    """The client is told so, by name, and a script that does not mind goes on."""
    after = []

    async def script(port: Port) -> None:
        with pytest.raises(ActorGone, match="nobody serves at 'nowhere'") as caught:
            await port.call("nowhere", ASK)
        assert caught.value.address == "nowhere"
        with pytest.raises(ActorGone, match="nowhere"):
            await port.call_all([("nowhere", ASK), ("node", ASK)])
        after.append(await port.call("node", ASK))

    await run_system(make_world(Seen()), [server("node")], [Driver(0, script)])
    assert after == [NotFound()]


async def test_a_script_may_not_await_anything_else(make_world: MakeWorld) -> None:
    """Foreign awaitables are a mistake of the script and fail it."""

    async def script(_port: Port) -> None:
        await trio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        await run_system(make_world(Seen()), [], [Driver(0, script)])
    [error] = leaves(caught.value)
    assert isinstance(error, NotACommand)
    assert "a script may await its port and nothing else" in str(error)


async def test_it_can_be_cancelled_from_outside(make_world: MakeWorld) -> None:
    """An endless system ends soon after its scope is cancelled, its scripts closed on the way."""
    running = trio.Event()
    steps = 0
    closed = []
    seen = Seen()

    async def endless(port: Port) -> None:
        nonlocal steps
        try:
            while steps < PATIENCE:
                steps += 1
                if steps == 100:
                    running.set()
                await port.call("node", ASK)
        finally:
            closed.append(port.cpu)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_system, make_world(seen), [server("node")], [Driver(0, endless), Driver(1, endless)])
        await running.wait()
        nursery.cancel_scope.cancel()
    assert steps < PATIENCE
    assert sorted(closed) == sorted(seen.left) == [0, 1]


async def test_a_live_client_that_outlives_its_server_when_all_are_cancelled_does_not_fail() -> None:
    """Whoever leaves first, nobody fails for want of the others: cancelled two hundred times."""
    for moment in range(200):
        running = trio.Event()

        async def endless(port: Port, moment: int = moment, running: trio.Event = running) -> None:
            for step in range(PATIENCE):
                if step == 5 + moment % 20:
                    running.set()
                await port.call("node", ASK)

        async with trio.open_nursery() as nursery:
            world = WORLDS["live"](Seen())
            nursery.start_soon(run_system, world, [server("node")], [Driver(0, endless), Driver(1, endless)])
            await running.wait()
            nursery.cancel_scope.cancel()


async def test_cancelled_before_it_begins_nothing_happens(make_world: MakeWorld) -> None:
    """No script takes a step in a scope that is cancelled already."""
    with trio.CancelScope() as scope:
        scope.cancel()
        machine = FixedMachine("busy/0", 5)
        await run_system(make_world(Seen()), [Server("node", machine)], [Driver(0, asking("node", 1))])
    assert scope.cancelled_caught
    assert machine.asked == []


async def test_an_answer_to_a_failed_call_is_not_taken_for_the_next_ones(make_world: MakeWorld) -> None:
    """Of two calls at once one goes to nobody; the other's reply comes later, and must not answer what follows."""
    found: list[object] = []

    async def script(port: Port) -> None:
        with pytest.raises(ActorGone):
            await port.call_all([("node/0", Find(0, 4096)), ("nowhere", Find(0, 0))])
        found.append(await port.call("node/0", Find(0, 0)))

    machine = NodeMachine(ZoneLayout(1), [0], "busy/0")
    machine.preload([VmapArea(4096, 8192)])
    await run_system(make_world(Seen()), [Server("node/0", machine)], [Driver(0, script)])
    assert found == [NotFound()]
