"""Each check finds a planted exception, and passes a run that is as it should be."""

from collections.abc import Callable

import pytest
from attrs import evolve

from actors.world import Completed
from protocol.area import VmapArea, ZoneLayout
from protocol.free_machine import SPACE
from sim.checks import Evidence, LazyPagesEvidence, Verdict, run_all
from sim.checks.answers_true import answers_true
from sim.checks.home_node import home_node
from sim.checks.lazy_bound import lazy_bound
from sim.checks.nothing_lost import nothing_lost
from sim.checks.overlap import overlap
from sim.history import History

ZONE = 0x1000
A, B, C = VmapArea(0x1000, 0x3000), VmapArea(0x4000, 0x5000), VmapArea(0x5000, 0x6800)
"""In a space of 7 zones dealt out to two nodes: A lives in node 1, B in node 0, C in node 1."""

Plant = Callable[[Evidence], Evidence]


def clean(*, with_free_space: bool = True) -> Evidence:
    """Make the evidence of a run without exceptions."""
    history = History([0])
    history.preload([A, B, C])
    return Evidence(
        layout=ZoneLayout(2, ZONE),
        nodes={0: [B], 1: [A, C]},
        free=[VmapArea(0, 0x1000), VmapArea(0x3000, 0x4000), VmapArea(0x6800, 0x7000)] if with_free_space else None,
        space=(0, 0x7000),
        history=history,
    )


def with_nodes(**nodes: list[VmapArea]) -> Plant:
    """Plant other areas in the nodes "node_0" and "node_1"."""
    changes = {int(name.removeprefix("node_")): areas for name, areas in nodes.items()}
    return lambda evidence: evolve(evidence, nodes={**evidence.nodes, **changes})


def with_free(*free: VmapArea) -> Plant:
    """Plant other free ranges."""
    return lambda evidence: evolve(evidence, free=list(free))


@pytest.mark.parametrize("with_free_space", [True, False])
def test_a_clean_run_passes_every_check(with_free_space: bool) -> None:
    """All checks of the folder are run, and all are content."""
    verdicts = run_all(clean(with_free_space=with_free_space))
    assert verdicts == dict.fromkeys(
        ["answers_true", "home_node", "lazy_bound", "nothing_lost", "overlap"], Verdict()
    )
    assert all(verdict.ok for verdict in verdicts.values())


def test_an_empty_run_passes_every_check() -> None:
    """A space of which nothing was ever taken is whole."""
    evidence = Evidence(ZoneLayout(1, ZONE), {0: []}, [VmapArea(*SPACE)], SPACE, History([]))
    assert all(verdict.ok for verdict in run_all(evidence).values())


@pytest.mark.parametrize(
    ("plant", "count", "first"),
    [
        pytest.param(
            with_nodes(node_0=[B, C], node_1=[A]),
            1,
            "[0x5000, 0x6800) is in node 0, its home is node 1",
            id="one",
        ),
        pytest.param(
            with_nodes(node_0=[A, C], node_1=[B]),
            3,
            "[0x1000, 0x3000) is in node 0, its home is node 1",
            id="all",
        ),
    ],
)
def test_areas_away_from_home_are_found(plant: Plant, count: int, first: str) -> None:
    """An area in the tree of another node than its start's is an exception."""
    assert home_node(plant(clean())) == Verdict(count, first)


@pytest.mark.parametrize(
    ("plant", "count", "first"),
    [
        pytest.param(
            with_nodes(node_0=[B, VmapArea(0x2FFF, 0x3001)]),
            2,
            "[0x1000, 0x3000) and [0x2fff, 0x3001) overlap",
            id="by a byte, busy and free",
        ),
        pytest.param(
            with_nodes(node_0=[A, B]),
            1,
            "[0x1000, 0x3000) and [0x1000, 0x3000) overlap",
            id="the same area in two nodes",
        ),
        pytest.param(
            with_free(VmapArea(0, 0x1001)),
            1,
            "[0x0, 0x1001) and [0x1000, 0x3000) overlap",
            id="busy and free",
        ),
        pytest.param(
            with_free(VmapArea(0, 0x800), VmapArea(0x7FF, 0x1000)),
            1,
            "[0x0, 0x800) and [0x7ff, 0x1000) overlap",
            id="free twice",
        ),
    ],
)
def test_overlaps_are_found(plant: Plant, count: int, first: str) -> None:
    """No address belongs to two areas, in the same node, in two, or in one and the free space."""
    assert overlap(plant(clean())) == Verdict(count, first)


@pytest.mark.parametrize(
    ("plant", "count", "first"),
    [
        pytest.param(with_nodes(node_0=[]), 2, "[0x4000, 0x5000) was inserted and is gone", id="an area is gone"),
        pytest.param(
            with_nodes(node_0=[B, VmapArea(0x6800, 0x7000)]),
            1,
            "[0x6800, 0x7000) is in a tree, inserted by nobody",
            id="an area too many",
        ),
        pytest.param(
            with_free(VmapArea(0x3000, 0x4000), VmapArea(0x6800, 0x7000)),
            1,
            "[0x0, 0x1000) is neither busy nor freed nor free",
            id="a gap at the beginning",
        ),
        pytest.param(
            with_free(VmapArea(0, 0x1000), VmapArea(0x3001, 0x4000), VmapArea(0x6800, 0x7000)),
            1,
            "[0x3000, 0x3001) is neither busy nor freed nor free",
            id="a byte in between",
        ),
        pytest.param(
            with_free(VmapArea(0, 0x1000), VmapArea(0x3000, 0x4000)),
            1,
            "[0x6800, 0x7000) is neither busy nor freed nor free",
            id="a gap at the end",
        ),
        pytest.param(
            with_free(), 3, "[0x0, 0x1000) is neither busy nor freed nor free", id="no free range is left"
        ),
    ],
)
def test_losses_are_found(plant: Plant, count: int, first: str) -> None:
    """Areas that clients were told of are in the trees, no others are, and every byte has an owner."""
    assert nothing_lost(plant(clean())) == Verdict(count, first)


def test_without_the_free_space_nobody_owns_the_rest() -> None:
    """A workload that brings its own addresses leaves gaps, and still loses no area."""
    evidence = clean(with_free_space=False)
    assert nothing_lost(evidence).ok
    assert nothing_lost(with_nodes(node_0=[])(evidence)) == Verdict(1, "[0x4000, 0x5000) was inserted and is gone")


def test_false_answers_are_found() -> None:
    """The exceptions of the history are those of the check, the first in words."""
    evidence = clean()
    missed: list[Completed] = [
        ("find_miss", 0, 5, 9, 2, 0, 0, 0x2000, None),
        ("find_miss", 0, 10, 19, 2, 0, 0, 0x4000, None),
    ]
    evidence.history.extend(missed)
    evidence.history.finish()
    assert answers_true(evidence) == Verdict(
        2,
        "find_miss of 0x2000 by cpu 0 at 5-9 ns found nothing, but [0x1000, 0x3000) was there all the time",
    )
    assert not run_all(evidence)["answers_true"].ok


def test_freed_areas_are_owned_and_overlap_like_others() -> None:
    """What is in pools and lazy trees is neither lost nor anybody else's."""
    evidence = with_free(VmapArea(0, 0x1000), VmapArea(0x6800, 0x7000))(clean())
    assert not nothing_lost(evidence).ok
    freed = evolve(evidence, freed={0: [VmapArea(0x3000, 0x4000)]})
    assert nothing_lost(freed).ok
    assert overlap(freed).ok
    twice = evolve(evidence, freed={0: [VmapArea(0x3000, 0x4000)], 1: [VmapArea(0x3000, 0x3800)]})
    assert overlap(twice) == Verdict(1, "[0x3000, 0x3800) and [0x3000, 0x4000) overlap")


@pytest.mark.parametrize(
    ("changes", "count", "first"),
    [
        pytest.param({}, 0, None, id="within the bound"),
        pytest.param({"bytes_lazy": 0x5000, "counted": 5}, 0, None, id="at the bound"),
        pytest.param(
            {"bytes_lazy": 0x6000, "counted": 6}, 1, "6 pages are left lazily freed, the bound is 5", id="above"
        ),
        pytest.param({"counted": 3}, 1, "4 pages are lazily freed, 3 are counted", id="miscounted"),
        pytest.param(
            {"undrained": 7}, 1, "7 pages were lazily freed, above 5, and nobody drained them", id="not drained"
        ),
    ],
)
def test_lazily_freed_pages_stay_within_their_bound(changes: dict[str, int], count: int, first: str | None) -> None:
    lazy = LazyPagesEvidence(counted=4, bytes_lazy=0x4000, page_size=0x1000, most=5, undrained=0)
    assert lazy_bound(evolve(clean(), lazy=evolve(lazy, **changes))) == Verdict(count, first)
