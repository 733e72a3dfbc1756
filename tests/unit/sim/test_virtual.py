"""Virtual time: every nanosecond by hand, ties, withdrawn actors, and both ways to post a request."""

from collections.abc import Sequence
from itertools import count
from typing import TypeAlias

import pytest
import trio
from attrs import astuple, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import ActorFailed, ActorGone
from actors.system import Driver, Server, run_system
from actors.world import Address, Port, Script
from protocol.messages import Find, Found, Insert, NotFound
from sim.virtual import Deadlock, VirtualWorld
from sim.virtual.world import SLICE
from tests.unit.actors import ASK, FixedMachine, Seen, VisitCosts, area, leaves, nodes

LINK_NS, SERVICE_NS = 10, 5
ROUND_TRIP_NS = LINK_NS + SERVICE_NS + LINK_NS

uniform = VisitCosts()
apart = VisitCosts(links=(LINK_NS,) * 8, uniform_link_ns=None)
"""The same links, but the world does not know that they are all alike."""


@pytest.fixture(params=[uniform, apart], ids=["uniform links", "links one by one"])
def costs(request: pytest.FixtureRequest) -> VisitCosts:
    chosen: VisitCosts = request.param
    return chosen


async def run(costs: VisitCosts, scripts: Sequence[Script], nodes: str = "a", lock: str = "") -> Seen:
    """Run scripts on CPUs 0, 1, … with a server for each letter of `nodes`, behind `lock` if given."""
    seen = Seen()
    world = VirtualWorld(costs, 8, seen.observer(), lambda: None)
    servers = [Server(node, FixedMachine(lock or node, SERVICE_NS)) for node in nodes]
    await run_system(world, servers, [Driver(cpu, script) for cpu, script in enumerate(scripts)])
    return seen


def at(start_ns: int, to: Address = "a", name: str = "ask") -> Script:
    """Make a script that asks once, at `start_ns`."""

    async def script(port: Port) -> None:
        await port.sleep(start_ns)
        await port.call(to, ASK)
        port.complete(name, start_ns, 0, None)

    return script


@frozen
class Parts:
    """An operation as the tests look at it."""

    cpu: int
    begin_ns: int
    end_ns: int
    queue_ns: int = 0
    service_ns: int = SERVICE_NS


def parts(seen: Seen) -> list[Parts]:
    """All operations in the order in which they ended."""
    return [
        Parts(cpu, begin_ns, end_ns, queue_ns, service_ns)
        for _name, cpu, begin_ns, end_ns, _probes, queue_ns, service_ns, *_ in seen.completed
    ]


# -- times by hand --------------------------------------------------------------------------------


async def test_a_reply_comes_after_two_links_and_the_service(costs: VisitCosts) -> None:
    """One client, one node: link + service + link, nothing in between."""
    seen = await run(costs, [at(100)])
    assert parts(seen) == [Parts(0, 100, 100 + ROUND_TRIP_NS)]
    assert seen.left == [0]


async def test_the_second_of_two_clients_waits(costs: VisitCosts) -> None:
    """Arriving 2 ns after the first, it queues for the 3 ns that are left of that one's service."""
    seen = await run(costs, [at(2), at(0)])
    assert parts(seen) == [Parts(1, 0, 25), Parts(0, 2, 2 + 25 + 3, queue_ns=3)]
    lock = seen.locks["a"]
    assert (lock.acquisitions, lock.contended, lock.handoffs) == (2, 1, 1)
    assert (lock.hold_ns, lock.hold_max_ns, lock.wait_ns, lock.wait_max_ns) == (10, 5, 3, 3)


async def test_many_clients_are_served_in_the_order_of_arrival(costs: VisitCosts) -> None:
    """Everybody waits for all who came before."""
    starts = [4, 1, 3, 0, 2]
    seen = await run(costs, [at(start) for start in starts])
    assert parts(seen) == [
        Parts(starts.index(start), start, 25 + 5 * start, queue_ns=4 * start) for start in range(5)
    ]


async def test_ties_are_broken_by_the_order_of_causing(costs: VisitCosts) -> None:
    """At the same nanosecond the script that was driven first asks first, and is served first."""
    seen = await run(costs, [at(7), at(7), at(7)])
    assert [(part.cpu, part.queue_ns) for part in parts(seen)] == [(0, 0), (1, 5), (2, 10)]


async def test_a_later_cause_is_later_in_a_tie(costs: VisitCosts) -> None:
    """Of two that wake at the same time, the one that fell asleep first is first."""

    async def twice(port: Port) -> None:
        await port.sleep(3)
        await at(4)(port)

    seen = await run(costs, [twice, at(7)])
    assert [part.cpu for part in parts(seen)] == [1, 0]


async def test_requests_to_different_nodes_do_not_wait(costs: VisitCosts) -> None:
    """Two nodes with a lock each serve at the same time."""
    seen = await run(costs, [at(0, "a"), at(0, "b")], nodes="ab")
    assert parts(seen) == [Parts(0, 0, 25), Parts(1, 0, 25)]


async def test_stations_can_share_a_lock(costs: VisitCosts) -> None:
    """Machines that name the same lock in their work wait for each other."""
    seen = await run(costs, [at(0, "a"), at(1, "b")], nodes="ab", lock="vmap_area_lock")
    assert parts(seen) == [Parts(0, 0, 25), Parts(1, 1, 30, queue_ns=4)]
    assert list(seen.locks) == ["vmap_area_lock"]
    assert seen.locks["vmap_area_lock"].wait_ns == 4


async def test_parallel_calls_take_as_long_as_the_slowest(costs: VisitCosts) -> None:
    """Replies come in the order of the calls; queue and service are those of the last to come."""
    seen = Seen()
    world = VirtualWorld(costs, 8, seen.observer(), lambda: None)
    slow, fast = FixedMachine("slow", 40), FixedMachine("fast", 2)

    async def script(port: Port) -> None:
        assert await port.call_all([("fast", ASK), ("slow", ASK), ("fast", ASK)]) == [NotFound()] * 3
        port.complete("all", 0, 0, None)
        assert await port.call_all([]) == []
        port.complete("none", port.now_ns, 0, None)

    await run_system(world, [Server("slow", slow), Server("fast", fast)], [Driver(0, script)])
    assert parts(seen) == [Parts(0, 0, 60, queue_ns=0, service_ns=40), Parts(0, 60, 60, service_ns=0)]
    assert (seen.locks["fast"].acquisitions, seen.locks["fast"].wait_ns) == (2, 2)


async def test_parallel_calls_to_one_node_queue_behind_each_other(costs: VisitCosts) -> None:
    """The last of three is the critical path: it queued for two services."""

    async def script(port: Port) -> None:
        await port.call_all([("a", ASK)] * 3)
        port.complete("all", 0, 0, None)

    seen = await run(costs, [script])
    assert parts(seen) == [Parts(0, 0, 10 + 15 + 10, queue_ns=10)]


async def test_parallel_calls_fail_once(costs: VisitCosts) -> None:
    """With the first address where nobody serves; what the others answer later is not mixed up with new calls."""
    times = []

    async def script(port: Port) -> None:
        with pytest.raises(ActorGone, match="'x'"):
            await port.call_all([("a", ASK), ("x", ASK), ("y", ASK), ("a", ASK)])
        for _ in range(2):
            await port.call("b", ASK)
            times.append(port.now_ns)

    await run(costs, [script], nodes="ab")
    assert times == [ROUND_TRIP_NS, 2 * ROUND_TRIP_NS]


async def test_calls_of_an_operation_add_up(costs: VisitCosts) -> None:
    """Queue and service are sums over the calls since the last completed operation."""

    async def script(port: Port) -> None:
        for calls in (2, 1):
            begin_ns = port.now_ns
            for _ in range(calls):
                await port.call("a", ASK)
            port.complete("ask", begin_ns, 0, None)

    seen = await run(costs, [script])
    assert parts(seen) == [Parts(0, 0, 50, service_ns=10), Parts(0, 50, 75)]


async def test_sleep_lets_exactly_that_time_pass() -> None:
    """Nothing, or less, passes at once."""
    times = []

    async def script(port: Port) -> None:
        for ns in (7, 0, -5, 10**15):
            await port.sleep(ns)
            times.append(port.now_ns)

    await run(uniform, [script])
    assert times == [7, 7, 7, 7 + 10**15]


async def test_who_waits_goes_on_when_the_signal_is_set() -> None:
    """At that very time, in the order in which they came; afterwards nobody waits at all."""
    world = VirtualWorld(uniform, 8, Seen().observer(), lambda: None)
    signal = world.signal()
    resumed = []

    def waiting(from_ns: int) -> Script:
        async def script(port: Port) -> None:
            await port.sleep(from_ns)
            await port.wait(signal)
            resumed.append((port.cpu, port.now_ns))

        return script

    async def setting(port: Port) -> None:
        await port.sleep(50)
        signal.set()
        signal.set()
        resumed.append((port.cpu, port.now_ns))

    scripts = [waiting(20), waiting(10), waiting(60), setting]
    await run_system(world, [], [Driver(cpu, script) for cpu, script in enumerate(scripts)])
    assert resumed == [(3, 50), (1, 50), (0, 50), (2, 60)]
    assert world.now_ns == 60


async def test_a_deadlock_names_who_waits_since_when() -> None:
    """Scripts that wait for what can never come are an error, not a hang."""
    world = VirtualWorld(uniform, 8, Seen().observer(), lambda: None)
    never = world.signal()

    def waiting(from_ns: int) -> Script:
        async def script(port: Port) -> None:
            await port.sleep(from_ns)
            await port.wait(never)

        return script

    scripts = [Driver(2, waiting(30)), Driver(0, at(5)), Driver(5, waiting(0))]
    with pytest.raises(ExceptionGroup) as caught:
        await run_system(world, [Server("a", FixedMachine("a", SERVICE_NS))], scripts)
    [deadlock] = leaves(caught.value)
    assert isinstance(deadlock, Deadlock)
    assert str(deadlock) == "nothing more can happen, but scripts still wait: cpu 2 since 30 ns, cpu 5 since 0 ns"
    assert (world.now_ns, world.events) == (30, 3 + 3), "three scripts begin, two wake up, one is answered"


# -- links of different lengths -------------------------------------------------------------------


def far_and_near(service_ns: int) -> tuple[VirtualWorld, Seen, Server]:
    """Make a world in which CPU 0 is 50 ns away from everything and CPU 1 only 10 ns."""
    seen = Seen()
    world = VirtualWorld(VisitCosts(links=(50, 10), uniform_link_ns=None), 2, seen.observer(), lambda: None)
    return world, seen, Server("a", FixedMachine("a", service_ns))


async def test_a_request_over_a_short_link_overtakes() -> None:
    """Sent 20 ns later it arrives 20 ns earlier, and the one that was sent first has to wait for it."""
    world, seen, server = far_and_near(service_ns=40)
    await run_system(world, [server], [Driver(0, at(0)), Driver(1, at(20))])
    assert parts(seen) == [
        Parts(1, 20, 20 + 10 + 40 + 10, service_ns=40),
        Parts(0, 0, 50 + 20 + 40 + 50, queue_ns=20, service_ns=40),
    ]


async def test_a_machine_sees_requests_as_they_arrive() -> None:
    """A find that was sent before an insert finds its area where the insert arrives first."""
    world, _seen, _server = far_and_near(service_ns=0)
    (address, machine), *_ = nodes(1).items()
    whole = area(0, 1)
    found = []

    async def find(port: Port) -> None:
        found.append(await port.call(address, Find(0, 0)))

    async def insert(port: Port) -> None:
        await port.sleep(20)
        await port.call(address, Insert(whole))

    await run_system(world, [Server(address, machine)], [Driver(0, find), Driver(1, insert)])
    assert found == [Found(whole)]


async def test_links_of_one_length_take_fewer_events() -> None:
    """A call is one event where requests keep their order, and two where they may overtake."""
    events = []
    for costs in (uniform, apart):
        world = VirtualWorld(costs, 8, Seen().observer(), lambda: None)
        script = asking("a", times=10)
        await run_system(world, [Server("a", FixedMachine("a", 5))], [Driver(0, script)])
        events.append(world.events)
    assert events == [1 + 10, 1 + 20]


Step: TypeAlias = tuple[str, ...]
"""Addresses to ask at once; none to sleep."""

steps = st.lists(st.sampled_from("abc"), max_size=3).map(tuple)
plans = st.lists(st.lists(steps, max_size=6), min_size=1, max_size=4)


@given(
    plans=plans,
    link_ns=st.integers(0, 12),
    services=st.tuples(*[st.integers(1, 9)] * 3),
    locks=st.lists(st.sampled_from("xyz"), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_both_ways_to_post_a_request_agree(
    plans: list[list[Step]], link_ns: int, services: tuple[int, ...], locks: list[str]
) -> None:
    """Served when sent or served when they arrive: the same operations and the same lock statistics.

    Each sleep is a power of two of its own, longer than all calls together: nobody wakes at a time at which
    something else is due, so that the order of causing decides between replies only.
    """
    sleep_ns = map((1).__lshift__, count(20))
    scripts = [following([(step, 0 if step else next(sleep_ns)) for step in plan]) for plan in plans]
    outcomes = []
    for uniform_link_ns in (link_ns, None):
        seen = Seen()
        costs = VisitCosts((link_ns,) * len(plans), uniform_link_ns)
        world = VirtualWorld(costs, len(plans), seen.observer(), lambda: None)
        servers = [
            Server(address, FixedMachine(lock, service_ns))
            for address, lock, service_ns in zip("abc", locks, services, strict=True)
        ]
        trio.run(run_system, world, servers, [Driver(cpu, script) for cpu, script in enumerate(scripts)])
        outcomes.append((seen.completed, {name: astuple(lock) for name, lock in seen.locks.items()}))
    assert outcomes[0] == outcomes[1]


def following(plan: list[tuple[Step, int]]) -> Script:
    """Make a script that takes these steps and records each."""

    async def script(port: Port) -> None:
        for addresses, sleep_ns in plan:
            begin_ns = port.now_ns
            await port.sleep(sleep_ns)
            if len(addresses) == 1:
                await port.call(addresses[0], ASK)
            else:
                await port.call_all([(address, ASK) for address in addresses])
            port.complete("".join(addresses), begin_ns, 0, None)

    return script


# -- tasks ----------------------------------------------------------------------------------------


async def serve_in(
    scope: trio.CancelScope,
    world: VirtualWorld,
    server: Server,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve in a scope of its own."""
    with scope:
        await world.serve(server.address, server.machine, task_status)


async def drive_in(
    scope: trio.CancelScope,
    world: VirtualWorld,
    driver: Driver,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Drive in a scope of its own."""
    with scope:
        await world.drive(driver.cpu, driver.script, task_status)


def cancelling(scope: trio.CancelScope, at_ns: int) -> Script:
    """Make a script that cancels `scope` at `at_ns` and ends, upon which trio's tasks have their turn."""

    async def script(port: Port) -> None:
        await port.sleep(at_ns)
        scope.cancel()

    return script


async def test_nobody_serves_where_a_server_was_cancelled(costs: VisitCosts) -> None:
    """Who asks it afterwards is told so, at once, and others go on as if nothing had happened."""
    seen = Seen()
    world = VirtualWorld(costs, 8, seen.observer(), lambda: None)
    scope = trio.CancelScope()
    told = []

    async def late(port: Port) -> None:
        await port.sleep(300)
        with pytest.raises(ActorGone, match="'a'"):
            await port.call("a", ASK)
        told.append(port.now_ns)
        await at(0, "b", "late")(port)

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_in, scope, world, Server("a", FixedMachine("a", 5)))
        others = [Driver(0, cancelling(scope, 200)), Driver(1, late), Driver(2, asking("b", times=99))]
        await run_system(world, [Server("b", FixedMachine("b", 5))], [*others, Driver(3, at(170))])
    assert told == [300]
    assert [operation[0] for operation in seen.completed] == ["ask", "late"]
    assert seen.completed[0][3] == 170 + ROUND_TRIP_NS
    assert (seen.locks["a"].acquisitions, seen.locks["b"].acquisitions) == (1, 100)


async def test_a_request_on_its_way_to_a_cancelled_server_comes_back() -> None:
    """Where requests arrive later than they were sent, the sender is told at the time of arrival."""
    world = VirtualWorld(apart, 8, Seen().observer(), lambda: None)
    scope = trio.CancelScope()
    machine = FixedMachine("a", 5)
    told = []

    async def asking_early(port: Port) -> None:
        await port.sleep(100)
        with pytest.raises(ActorGone):
            await port.call("a", ASK)
        told.append(port.now_ns)

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_in, scope, world, Server("a", machine))
        await run_system(world, [], [Driver(0, cancelling(scope, 105)), Driver(1, asking_early)])
    assert told == [100 + LINK_NS]
    assert machine.asked == []


async def test_a_cancelled_client_takes_no_further_step(costs: VisitCosts) -> None:
    """Its script is closed and reported as left; what was under way for it is skipped."""
    seen = Seen()
    world = VirtualWorld(costs, 8, seen.observer(), lambda: None)
    scope = trio.CancelScope()
    closed_ns = []

    async def endless(port: Port) -> None:
        try:
            while port.now_ns < 100_000:
                await port.call("a", ASK)
        finally:
            closed_ns.append(port.now_ns)

    async with trio.open_nursery() as nursery:
        await nursery.start(drive_in, scope, world, Driver(0, endless))
        drivers = [Driver(1, cancelling(scope, 110)), Driver(2, at(500))]
        await run_system(world, [Server("a", FixedMachine("a", 5))], drivers)
    assert closed_ns == [100]
    assert (sorted(seen.left[:2]), seen.left[2:]) == ([0, 1], [2])
    assert parts(seen) == [Parts(2, 500, 525)]


async def test_a_supervisor_can_restart_a_broken_server(costs: VisitCosts) -> None:
    """The fault is raised in the server's own task; once it serves again, later requests are answered."""
    world = VirtualWorld(costs, 8, Seen().observer(), lambda: None)
    second = FixedMachine("a", 5)
    failures = []
    replies = []

    async def supervise(task_status: trio.TaskStatus[None]) -> None:
        try:
            await world.serve("a", FixedMachine("a", 5, breaks_on=ASK), task_status)
        except ActorFailed as failed:
            failures.append(failed.address)
            await world.serve("a", second)

    async def stubborn(port: Port) -> None:
        with pytest.raises(ActorGone):
            await port.call("a", ASK)
        replies.append(await port.call("a", ASK))

    async with trio.open_nursery() as nursery:
        await nursery.start(supervise)
        await run_system(world, [], [Driver(0, stubborn)])
        nursery.cancel_scope.cancel()
    assert failures == ["a"]
    assert replies == [NotFound()]
    assert second.asked == [ASK]


async def test_two_cannot_serve_at_one_address() -> None:
    """The second is a mistake of whoever builds the system."""
    servers = [Server("a", FixedMachine("a", 5))] * 2
    world = VirtualWorld(uniform, 8, Seen().observer(), lambda: None)
    with pytest.raises(ExceptionGroup) as caught:
        await run_system(world, servers, [])
    [error] = leaves(caught.value)
    assert isinstance(error, AssertionError)
    assert "somebody serves at 'a' already" in str(error)


async def test_other_tasks_have_their_turn(costs: VisitCosts) -> None:
    """An endless workload is stopped by another task a few slices after that has reason to."""
    reached = trio.Event()
    slices = 0
    asked = 0

    def pause() -> None:
        nonlocal slices
        slices += 1

    async def endless(port: Port) -> None:
        nonlocal asked
        while asked < 20 * SLICE:
            await port.call("a", ASK)
            asked += 1
            if asked == SLICE:
                reached.set()

    async with trio.open_nursery() as nursery:
        world = VirtualWorld(costs, 8, Seen().observer(), pause)
        nursery.start_soon(
            run_system, world, [Server("a", FixedMachine("a", 5))], [Driver(0, endless), Driver(1, endless)]
        )
        await reached.wait()
        nursery.cancel_scope.cancel()
    assert SLICE <= asked < 5 * SLICE
    assert slices == -(-world.events // SLICE)


def asking(to: Address, times: int) -> Script:
    """Make a script that asks `to` so many times and records nothing."""

    async def script(port: Port) -> None:
        for _ in range(times):
            await port.call(to, ASK)

    return script
