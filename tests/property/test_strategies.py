"""Every batch strategy: what its file promises, how many locks it takes, and the trees it leaves."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import protocol.strategies
from protocol import registry, strategies
from protocol.area import PAGE_SIZE, VMALLOC_START, VmapArea, ZoneLayout
from protocol.messages import InsertBatch, Inserted
from protocol.node import NodeMachine
from protocol.strategies import LockSession, Rounds, Strategy
from tests.twins.busy_tree import SlowBusyTree

NAMES = registry.names(protocol.strategies)
examples = settings(max_examples=60, deadline=None, print_blob=True)

layouts = st.builds(ZoneLayout, nr_nodes=st.integers(1, 9), zone_size=st.integers(1, 20))
chunks = st.integers(1, 12)

Clause: TypeAlias = Callable[[Strategy, Sequence[VmapArea], ZoneLayout], None]
"""A clause of the contract: asserts that the strategy holds to it for these areas."""

any_areas = st.lists(
    st.builds(lambda va_start, size: VmapArea(va_start, va_start + size), st.integers(0, 400), st.integers(1, 60)),
    max_size=40,
)


@st.composite
def disjoint_areas(draw: st.DrawFn) -> list[VmapArea]:
    """Draw areas that may touch but do not overlap, in any order."""
    steps = draw(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), max_size=40))
    areas, va_end = [], 0
    for gap, size in steps:
        areas.append(VmapArea(va_end + gap, va_end + gap + size))
        va_end += gap + size
    return draw(st.permutations(areas))


def sessions_of(rounds: Rounds) -> list[LockSession]:
    return [session for sessions in rounds for session in sessions]


def homes(areas: Sequence[VmapArea], layout: ZoneLayout) -> list[int]:
    return [area.va_start // layout.zone_size % layout.nr_nodes for area in areas]


def runs(values: Sequence[int]) -> int:
    """Count the runs of equal neighbours."""
    return bool(values) + sum(one != other for one, other in pairwise(values))


# -- the contract -----------------------------------------------------------------------------------


def puts_every_area_into_exactly_one_session(
    strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout
) -> None:
    """An area that is given twice comes twice: what to make of it is for its node to say."""
    sessions = sessions_of(strategy(areas, layout))
    assert Counter(area for session in sessions for area in session.areas) == Counter(areas)


def makes_sessions_with_home_nodes(strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout) -> None:
    """With that of each area; where one lock guards all nodes, with that of one of them."""
    for session in sessions_of(strategy(areas, layout)):
        found = set(homes(session.areas, layout))
        if strategies.needs_one_lock(strategy):
            assert session.node_id in found
        else:
            assert {session.node_id} == found


def has_no_empty_session_or_round(strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout) -> None:
    rounds = strategy(areas, layout)
    assert all(rounds)
    assert all(session.areas for session in sessions_of(rounds))


def keeps_the_order_of_a_nodes_areas(strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout) -> None:
    sent = [area for session in sessions_of(strategy(areas, layout)) for area in session.areas]
    for node_id in range(layout.nr_nodes):
        assert [area for area, home in zip(sent, homes(sent, layout), strict=True) if home == node_id] == [
            area for area, home in zip(areas, homes(areas, layout), strict=True) if home == node_id
        ]


def is_a_pure_function(strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout) -> None:
    """The same areas have the same sessions, and stay as they were."""
    given_areas = list(areas)
    first = strategy(given_areas, layout)
    assert strategy(tuple(areas), layout) == first
    assert given_areas == list(areas)


CONTRACT = [
    puts_every_area_into_exactly_one_session,
    makes_sessions_with_home_nodes,
    has_no_empty_session_or_round,
    keeps_the_order_of_a_nodes_areas,
    is_a_pure_function,
]
"""What every strategy holds to."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("clause", CONTRACT, ids=lambda clause: clause.__name__)
@examples
@given(areas=any_areas, layout=layouts, chunk=chunks)
def test_every_file_holds_to_the_contract(
    name: str, clause: Clause, areas: list[VmapArea], layout: ZoneLayout, chunk: int
) -> None:
    clause(strategies.load(name, chunk=chunk), areas, layout)


@pytest.mark.parametrize("name", NAMES)
@examples
@given(areas=any_areas, layout=layouts, chunk=chunks)
def test_a_strategy_that_is_loaded_anew_makes_the_same_sessions(
    name: str, areas: list[VmapArea], layout: ZoneLayout, chunk: int
) -> None:
    strategy, again = strategies.load(name, chunk=chunk), strategies.load(name, chunk=chunk)
    assert strategy(areas, layout) == again(areas, layout)


@pytest.mark.parametrize("name", NAMES)
def test_no_areas_need_no_session(name: str) -> None:
    assert strategies.load(name)([], ZoneLayout(8)) == ()


# -- how many locks are taken -----------------------------------------------------------------------


@examples
@given(areas=any_areas, layout=layouts, chunk=chunks)
def test_sessions_are_as_many_as_each_strategy_promises(
    areas: list[VmapArea], layout: ZoneLayout, chunk: int
) -> None:
    def sessions(name: str) -> int:
        return len(sessions_of(strategies.load(name, chunk=chunk)(areas, layout)))

    per_node = Counter(homes(areas, layout))
    assert sessions("per-area") == len(areas)
    assert sessions("coalesced") == runs(homes(areas, layout))
    assert sessions("grouped") == sessions("parallel") == len(per_node)
    assert sessions("chunked") == sum(-(-count // chunk) for count in per_node.values())
    assert sessions("global") == min(1, len(areas))


@examples
@given(areas=any_areas, layout=layouts, chunk=chunks)
def test_only_parallel_has_more_than_one_session_under_way(
    areas: list[VmapArea], layout: ZoneLayout, chunk: int
) -> None:
    for name in ("per-area", "coalesced", "grouped", "chunked", "global"):
        assert all(len(sessions) == 1 for sessions in strategies.load(name, chunk=chunk)(areas, layout))
    assert len(strategies.load("parallel")(areas, layout)) == min(1, len(areas))


@examples
@given(areas=any_areas, layout=layouts, chunk=chunks)
def test_strategies_that_keep_the_order_do_not_reorder(
    areas: list[VmapArea], layout: ZoneLayout, chunk: int
) -> None:
    for name in ("per-area", "coalesced", "global"):
        sessions = sessions_of(strategies.load(name, chunk=chunk)(areas, layout))
        assert [area for session in sessions for area in session.areas] == areas


@examples
@given(areas=any_areas, layout=layouts, chunk=chunks)
def test_strategies_that_sort_by_node_go_upwards_and_chunks_are_full_but_the_last(
    areas: list[VmapArea], layout: ZoneLayout, chunk: int
) -> None:
    for name in ("grouped", "parallel", "chunked"):
        sessions = sessions_of(strategies.load(name, chunk=chunk)(areas, layout))
        node_ids = [session.node_id for session in sessions]
        assert node_ids == sorted(node_ids)
        assert name == "chunked" or len(set(node_ids)) == len(node_ids)
    for session, following in pairwise(sessions_of(strategies.load("chunked", chunk=chunk)(areas, layout))):
        assert len(session.areas) <= chunk
        assert len(session.areas) == chunk or session.node_id != following.node_id


def batch_of_64() -> list[VmapArea]:
    """Make 64 areas of two pages, eight in each of eight nodes, in an order without a pattern."""
    zone_size = ZoneLayout(8).zone_size
    starts = [
        VMALLOC_START + (turn * 8 + node) * zone_size + (turn % 4) * PAGE_SIZE
        for turn in range(8)
        for node in range(8)
    ]
    random.Random(64).shuffle(starts)
    return [VmapArea(va_start, va_start + 2 * PAGE_SIZE) for va_start in starts]


def test_sixty_four_areas_over_eight_nodes() -> None:
    """Rounds, and sessions in them, of the batch that the studies use."""
    areas, layout = batch_of_64(), ZoneLayout(8)
    assert Counter(homes(areas, layout)) == dict.fromkeys(range(8), 8)
    neighbours = runs(homes(areas, layout))
    assert 8 < neighbours < 64
    shapes = {
        (name, chunk): [len(sessions) for sessions in strategies.load(name, chunk=chunk)(areas, layout)]
        for name in ("per-area", "coalesced", "grouped", "chunked", "parallel", "global")
        for chunk in (1, 3, 8, 100)
    }
    for chunk in (1, 3, 8, 100):
        assert shapes["per-area", chunk] == [1] * 64
        assert shapes["coalesced", chunk] == [1] * neighbours
        assert shapes["grouped", chunk] == [1] * 8
        assert shapes["parallel", chunk] == [8]
        assert shapes["global", chunk] == [1]
    assert shapes["chunked", 1] == [1] * 64
    assert shapes["chunked", 3] == [1] * 24
    assert shapes["chunked", 8] == shapes["chunked", 100] == [1] * 8


@pytest.mark.parametrize("chunk", [0, -1])
def test_a_chunk_has_room_for_an_area(chunk: int) -> None:
    with pytest.raises(ValueError, match="'chunk' must be >= 1"):
        strategies.load("chunked", chunk=chunk)


# -- carried out ------------------------------------------------------------------------------------


def carry_out(strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout) -> list[list[VmapArea]]:
    """Send the sessions to real node machines; give the areas of each node."""
    node_ids = range(layout.nr_nodes)
    if strategies.needs_one_lock(strategy):
        machines = [NodeMachine(layout, node_ids, "busy")] * layout.nr_nodes
    else:
        machines = [NodeMachine(layout, (node_id,), f"busy/{node_id}") for node_id in node_ids]
    for session in sessions_of(strategy(areas, layout)):
        reply, work = machines[session.node_id].handle(InsertBatch(session.areas))
        assert reply == Inserted(len(session.areas))
        assert work.moved == len(session.areas)
    for machine in machines:
        machine._check()
    return [list(machine.areas(node_id)) for node_id, machine in enumerate(machines)]


def leaves_the_trees_of_inserting_one_by_one(
    strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout
) -> None:
    """For areas that are apart."""
    twins = [SlowBusyTree() for _ in range(layout.nr_nodes)]
    for area, home in zip(areas, homes(areas, layout), strict=True):
        twins[home].insert(area)
    assert carry_out(strategy, areas, layout) == [list(twin) for twin in twins]


@pytest.mark.parametrize("name", NAMES)
@examples
@given(areas=disjoint_areas(), layout=layouts, chunk=chunks)
def test_every_strategy_leaves_the_trees_that_inserting_one_by_one_leaves(
    name: str, areas: list[VmapArea], layout: ZoneLayout, chunk: int
) -> None:
    leaves_the_trees_of_inserting_one_by_one(strategies.load(name, chunk=chunk), areas, layout)
