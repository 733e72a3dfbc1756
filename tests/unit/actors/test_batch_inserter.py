"""The batch inserter collects areas and inserts them in the lock sessions of its strategy."""

import pytest

import protocol.strategies
from actors.batch_inserter import BatchInserter
from actors.errors import RequestRefused
from protocol import registry
from protocol.area import ZoneLayout
from protocol.messages import Insert, InsertBatch
from protocol.node import NodeMachine
from protocol.strategies import load
from tests.unit.actors import TICK_NS, ZONE, HandWorld, area, nodes, router

A, B, C, D = (area(zone, zone + 0.5) for zone in (0, 2, 2.5, 1))
"""In the nodes 0, 0, 0 and 1 of two."""


def inserter(strategy: str, capacity: int = 4, chunk: int = 2) -> BatchInserter:
    """Make a batch inserter for two nodes."""
    return BatchInserter(router(2), load(strategy, chunk=chunk), capacity)


ZERO, ONE = "node/0", "node/1"


@pytest.mark.parametrize(
    ("strategy", "rounds"),
    [
        ("per-area", [[(ZERO, Insert(A))], [(ONE, Insert(D))], [(ZERO, Insert(B))], [(ZERO, Insert(C))]]),
        ("coalesced", [[(ZERO, Insert(A))], [(ONE, Insert(D))], [(ZERO, InsertBatch((B, C)))]]),
        ("grouped", [[(ZERO, InsertBatch((A, B, C)))], [(ONE, Insert(D))]]),
        ("chunked", [[(ZERO, InsertBatch((A, B)))], [(ZERO, Insert(C))], [(ONE, Insert(D))]]),
        ("parallel", [[(ZERO, InsertBatch((A, B, C))), (ONE, Insert(D))]]),
    ],
)
def test_each_strategy_takes_its_locks(strategy: str, rounds: list[list[tuple[str, Insert | InsertBatch]]]) -> None:
    """One message per lock session, those of a round at once; a session of one area is an Insert."""
    machines = nodes(2)
    world = HandWorld(machines)
    batch = inserter(strategy)
    world.run(batch.insert(world.port, [A, D, B, C]))
    assert world.rounds == rounds
    assert list(machines[ZERO].areas(0)) == [A, B, C]
    assert list(machines[ONE].areas(1)) == [D]
    sessions = sum(map(len, rounds))
    assert (batch.sessions, batch.areas, world.port.probes) == (sessions, 4, sessions)
    assert world.port.now_ns == len(rounds) * TICK_NS


@pytest.mark.parametrize("strategy", registry.names(protocol.strategies))
def test_every_strategy_works_where_one_machine_owns_all_nodes(strategy: str) -> None:
    """With all nodes behind one lock each strategy inserts every area once, at home."""
    machine = NodeMachine(ZoneLayout(2, ZONE), [0, 1], "busy/all")
    world = HandWorld({ZERO: machine, ONE: machine})
    world.run(inserter(strategy).insert(world.port, [A, D, B, C]))
    assert (list(machine.areas(0)), list(machine.areas(1))) == ([A, B, C], [D])


def test_it_says_when_it_is_full() -> None:
    """`add` is true from the area on that makes up the capacity."""
    batch = inserter("grouped", capacity=3)
    assert [batch.add(one) for one in (A, B, C, D)] == [False, False, True, True]


def test_collected_areas_are_in_no_tree_until_they_are_flushed() -> None:
    """`holds` knows them by any of their addresses; `flush` inserts and gives them back."""
    machines = nodes(2)
    world = HandWorld(machines)
    batch = inserter("grouped")
    batch.add(A)
    batch.add(D)
    assert [batch.holds(addr) for addr in (A.va_start, A.va_end - 1, A.va_end, D.va_start)] == [
        True,
        True,
        False,
        True,
    ]
    assert list(machines[ZERO].areas(0)) == []
    assert world.run(batch.flush(world.port)) == (A, D)
    assert not batch.holds(A.va_start)
    assert list(machines[ZERO].areas(0)) == [A]
    assert batch.collected == []


def test_flushing_nothing_asks_nobody() -> None:
    """An empty flush gives no areas and takes no locks."""
    world = HandWorld({})
    batch = inserter("parallel")
    assert world.run(batch.flush(world.port)) == ()
    assert (world.rounds, batch.sessions, world.port.probes) == ([], 0, 0)


def test_totals_add_up_over_batches() -> None:
    """Sessions and areas are those of all batches so far."""
    world = HandWorld(nodes(2))
    batch = inserter("grouped")
    world.run(batch.insert(world.port, [A, D]))
    world.run(batch.insert(world.port, [B, C]))
    assert (batch.sessions, batch.areas) == (3, 4)


@pytest.mark.parametrize("strategy", ["grouped", "parallel"])
def test_a_refused_session_is_an_error_and_the_others_stand(strategy: str) -> None:
    """A node where something is already refuses its session as a whole."""
    machines = nodes(2, [area(1, 2)])
    world = HandWorld(machines)
    with pytest.raises(RequestRefused, match="overlap"):
        world.run(inserter(strategy).insert(world.port, [A, B, D, area(3, 4)]))
    assert list(machines[ZERO].areas(0)) == [A, B]
    assert list(machines[ONE].areas(1)) == [area(1, 2)]
