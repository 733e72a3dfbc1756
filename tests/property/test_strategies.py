"""Every batch strategy: how many locks it takes, in which order. (Its contract: test_contracts.)"""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings

import protocol.strategies
from protocol import registry, strategies
from protocol.area import PAGE_SIZE, VMALLOC_START, VmapArea, ZoneLayout
from sim.contracts.strategies import any_areas, chunks, homes, layouts, sessions_of

NAMES = registry.names(protocol.strategies)
examples = settings(max_examples=60, deadline=None, print_blob=True)


def runs(values: Sequence[int]) -> int:
    """Count the runs of equal neighbours."""
    return bool(values) + sum(one != other for one, other in pairwise(values))


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
