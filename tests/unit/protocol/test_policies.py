"""Which nodes each policy asks, written out for four nodes."""

import pytest

from protocol import policies
from protocol.policies import Rounds


@pytest.mark.parametrize(
    ("name", "home", "rounds"),
    [
        ("forward", 0, ((0,), (1,), (2,), (3,))),
        ("forward", 2, ((2,), (3,), (0,), (1,))),
        ("forward", 3, ((3,), (0,), (1,), (2,))),
        ("backward", 0, ((0,), (3,), (2,), (1,))),
        ("backward", 2, ((2,), (1,), (0,), (3,))),
        ("backward", 3, ((3,), (2,), (1,), (0,))),
        ("scatter", 0, ((0, 1, 2, 3),)),
        ("scatter", 2, ((2, 3, 0, 1),)),
        ("home", 0, ((0,),)),
        ("home", 2, ((2,),)),
    ],
)
def test_rounds_of_four_nodes(name: str, home: int, rounds: Rounds) -> None:
    """The home node first, then around the ring; scatter asks all in one round."""
    assert policies.load(name)(home, 4) == rounds


@pytest.mark.parametrize(
    ("extra", "rounds"),
    [
        (0, ((1,),)),
        (1, ((1,), (0,))),
        (2, ((1,), (0,), (3,))),
        (3, ((1,), (0,), (3,), (2,))),
        (4, ((1,), (0,), (3,), (2,))),
        (100, ((1,), (0,), (3,), (2,))),
    ],
)
def test_bounded_stops_after_its_extra_nodes_or_once_around(extra: int, rounds: Rounds) -> None:
    assert policies.load("bounded", extra=extra)(1, 4) == rounds


def test_bounded_stops_after_one_extra_node_unless_told() -> None:
    """The reviewer's "should we stop after one iteration?"."""
    assert policies.load("bounded")(1, 4) == ((1,), (0,))


@pytest.mark.parametrize("name", ["forward", "backward", "scatter", "home", "bounded"])
def test_of_one_node_that_one_is_asked(name: str) -> None:
    assert policies.load(name)(0, 1) == ((0,),)
