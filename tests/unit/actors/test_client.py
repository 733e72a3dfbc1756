"""Each method of a client is one operation: its requests, its record, its answer."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from actors.addresses import FREE_SPACE
from actors.batch_inserter import BatchInserter
from actors.client import Client
from actors.errors import RequestRefused
from actors.router import Router
from actors.system import Driver, Server, run_system
from actors.world import Address, Answer, Port
from protocol.area import VmapArea, ZoneLayout
from protocol.errors import VmapsimError
from protocol.free_machine import FreeSpaceMachine
from protocol.machine import Machine
from protocol.messages import Allocate, Insert, Release
from protocol.policies import PolicyBroken, Rounds
from protocol.strategies import load
from tests.unit.actors import TICK_NS, WORLDS, ZONE, HandWorld, Seen, area, nodes, router

LONG = area(1, 3.5)
"""Lives in node 1 of two, and reaches into zones 2 and 3."""

SPACE = (0x1000, 0x9000)
"""Where the tests allocate: [vstart, vend)."""


def client_in(world: HandWorld, strategy: str = "grouped") -> Client:
    """Make a client of two nodes."""
    ring = router(2)
    return Client(world.port, ring, BatchInserter(ring, load(strategy), capacity=4))


def with_free_space(areas: list[VmapArea] | None = None) -> HandWorld:
    """Make a world of two nodes and the free space."""
    machines: Mapping[Address, Machine] = {**nodes(2, areas or ()), FREE_SPACE: FreeSpaceMachine()}
    return HandWorld(machines)


def record(name: str, ticks: int, probes: int, addr: int, answer: Answer) -> tuple[object, ...]:
    """What is recorded of an operation of CPU 0 that began at 0 and took `ticks` commands."""
    return (name, 0, 0, ticks * TICK_NS, probes, 0, 0, addr, answer)


@pytest.mark.parametrize(
    ("operation", "zone", "name", "probes"),
    [
        ("find", 1, "find", 1),
        ("find_interior", 2, "find_interior", 2),
        ("find_interior", 5, "find_miss", 2),
        ("find", 5, "find_miss", 2),
    ],
)
def test_a_find_is_recorded_under_what_it_turned_out_to_be(
    operation: str, zone: int, name: str, probes: int
) -> None:
    """A find of nothing is a miss, however it was meant."""
    world = HandWorld(nodes(2, [LONG]))
    found = world.run(client_in(world).find(zone * ZONE, operation))
    assert found == (None if name == "find_miss" else LONG)
    assert world.completed == [record(name, probes, probes, zone * ZONE, found)]


def test_an_unlink_gives_what_it_took_out() -> None:
    """The second unlink of the same address finds nothing, and asked every node for it."""
    world = HandWorld(nodes(2, [LONG]))
    client = client_in(world)
    assert world.run(client.unlink(2 * ZONE)) == LONG
    assert world.run(client.unlink(2 * ZONE)) is None
    assert [(operation[0], operation[4], operation[8]) for operation in world.completed] == [
        ("unlink", 2, LONG),
        ("unlink", 2, None),
    ]


@pytest.mark.parametrize(
    ("rounds", "breach"),
    [
        ((), "gives no round"),
        (((1,), ()), "gives an empty round"),
        (((0,), (1,)), "begins with node 0, not with the home node"),
        (((1, 0), (1,)), "asks node 1 twice"),
        (((1,), (2,)), "asks node 2, which does not exist"),
        (((1, -1),), "asks node -1, which does not exist"),
        (((1.0,),), "asks node 1.0, which does not exist"),
        ((1, 0), "gives no tuple of rounds, each a tuple of node ids"),
        ([[1], [0]], "gives no tuple of rounds, each a tuple of node ids"),
        (None, "gives no tuple of rounds, each a tuple of node ids"),
    ],
)
def test_a_policy_that_breaks_its_contract_is_named(rounds: Any, breach: str) -> None:
    """The first lookup from a home node tells the policy's author what is wrong, and asks nobody."""

    def wayward(home: int, nr_nodes: int) -> Rounds:  # noqa: ARG001 (the shape of every policy)
        return cast(Rounds, rounds)

    world = HandWorld(nodes(2, [LONG]))
    ring = Router(ZoneLayout(2, ZONE), wayward, ["node/0", "node/1"])
    client = Client(world.port, ring, BatchInserter(ring, load("grouped"), capacity=4))
    for _ in range(2):
        with pytest.raises(PolicyBroken) as caught:
            world.run(client.find(ZONE))
        assert str(caught.value) == f"the policy wayward {breach}, from home node 1 of 2"
    assert isinstance(caught.value, VmapsimError)
    assert world.rounds == []


def test_an_insert_is_one_probe() -> None:
    """One request to the home node, recorded with the area."""
    world = HandWorld(nodes(2))
    world.run(client_in(world).insert(LONG))
    assert world.completed == [record("insert", 1, 1, LONG.va_start, LONG)]


def test_a_batch_is_one_operation() -> None:
    """Its latency spans all sessions, its probes count them, its answer is all areas."""
    world = HandWorld(nodes(2))
    areas = [area(0, 1), area(1, 2), area(2, 3)]
    world.run(client_in(world).insert_batch(areas))
    assert world.completed == [record("insert_batch", 2, 2, 0, tuple(areas))]


def test_a_flush_is_recorded_as_the_batch_it_inserts() -> None:
    """Nothing collected, nothing recorded; else one insert_batch of what was."""
    world = HandWorld(nodes(2))
    client = client_in(world, "parallel")
    world.run(client.flush())
    assert world.completed == []
    client.inserter.add(LONG)
    client.inserter.add(area(4, 5))
    world.run(client.flush())
    assert world.completed == [record("insert_batch", 1, 2, LONG.va_start, (LONG, area(4, 5)))]


def test_an_allocation_takes_the_free_range_and_inserts_it() -> None:
    """One request to the free space and one to the home node; only nodes count as probes."""
    world = with_free_space()
    got = world.run(client_in(world).alloc(0x2000, 0x1000, *SPACE))
    assert got == VmapArea(0x1000, 0x3000)
    assert world.rounds == [
        [(FREE_SPACE, Allocate(0x2000, 0x1000, *SPACE))],
        [("node/1", Insert(VmapArea(0x1000, 0x3000)))],
    ]
    assert world.completed == [record("alloc", 2, 1, SPACE[0], got)]


def test_an_allocation_without_room_inserts_nothing() -> None:
    """It is recorded without an answer."""
    world = with_free_space()
    assert world.run(client_in(world).alloc(0x9000, 0x1000, *SPACE)) is None
    assert world.completed == [record("alloc", 1, 0, SPACE[0], None)]


def test_an_impossible_allocation_is_refused() -> None:
    """A size of 0 is a mistake of the client's script."""
    world = with_free_space()
    with pytest.raises(RequestRefused, match="refused as bad-range: size 0") as caught:
        world.run(client_in(world).alloc(0, 0x1000, *SPACE))
    assert caught.value.reason == "bad-range"


def test_a_reservation_is_in_no_tree() -> None:
    """It takes its range out of the free space, and is recorded as nothing that could be found."""
    machines = nodes(2)
    world = HandWorld({**machines, FREE_SPACE: FreeSpaceMachine()})
    client = client_in(world)
    got = world.run(client.reserve(0x1000, 0x1000, *SPACE))
    assert got == VmapArea(0x1000, 0x2000)
    assert list(machines["node/1"].areas(1)) == []
    assert world.completed == [record("reserve", 1, 0, SPACE[0], None)]
    again = world.run(client.reserve(0x1000, 0x1000, *SPACE))
    assert again == VmapArea(0x2000, 0x3000)


def test_a_free_gives_the_range_back() -> None:
    """The area leaves its node before its range is free, and can be had again."""
    world = with_free_space()
    client = client_in(world)
    first = world.run(client.alloc(0x2000, 0x1000, *SPACE))
    assert first is not None
    world.rounds.clear()
    assert world.run(client.free(0x2000)) == first
    assert [calls[0][0] for calls in world.rounds] == ["node/0", "node/1", FREE_SPACE]
    assert world.rounds[-1] == [(FREE_SPACE, Release(first))]
    assert world.completed[-1][0] == "free"
    assert world.completed[-1][4:] == (2, 0, 0, 0x2000, first)
    assert world.run(client.alloc(0x2000, 0x1000, *SPACE)) == first


def test_freeing_nothing_leaves_the_free_space_alone() -> None:
    """It is recorded without an answer, after asking all nodes."""
    world = with_free_space()
    assert world.run(client_in(world).free(0x1000)) is None
    assert world.completed == [record("free", 2, 2, 0x1000, None)]


def test_freeing_what_is_free_is_refused() -> None:
    """An area that never came from the free space cannot go there."""
    world = with_free_space([LONG])
    with pytest.raises(RequestRefused, match="double free"):
        world.run(client_in(world).free(LONG.va_start))


@pytest.mark.parametrize("kind", WORLDS)
async def test_thinking_and_waiting_are_recorded_nowhere(kind: str) -> None:
    """Neither sleep nor wait completes an operation, and what comes after begins after them."""
    seen = Seen()
    world = WORLDS[kind](seen)
    ring = router(1)
    signal = world.signal()

    async def script(port: Port) -> None:
        client = Client(port, ring, BatchInserter(ring, load("grouped"), capacity=1))
        await client.sleep(1000)
        signal.set()
        await client.wait(signal)
        await client.insert(LONG)

    servers = [Server(address, machine) for address, machine in nodes(1).items()]
    await run_system(world, servers, [Driver(3, script)])
    assert [(operation[0], operation[1], operation[8]) for operation in seen.completed] == [("insert", 3, LONG)]
    assert seen.completed[0][2] >= 1000
