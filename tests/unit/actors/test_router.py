"""The router asks the policy's nodes, one round after the other, and says what it cost."""

from collections.abc import Callable

import pytest

from actors.errors import RequestRefused
from actors.router import Router
from protocol.area import VmapArea, ZoneLayout
from protocol.messages import Find, FindUnlink, Insert
from protocol.policies import load
from tests.unit.actors import TICK_NS, ZONE, HandWorld, area, nodes, router

LONG = area(1, 4.5)
"""Lives in node 1 and reaches into the zones of the nodes 2, 3 and 0, if there are four."""


def asked(world: HandWorld) -> list[list[str]]:
    """The addresses of each round."""
    return [[to for to, _request in calls] for calls in world.rounds]


@pytest.mark.parametrize(
    ("policy", "rounds"),
    [
        ("backward", [["node/3"], ["node/2"], ["node/1"]]),
        ("forward", [["node/3"], ["node/0"], ["node/1"]]),
        ("scatter", [["node/3", "node/0", "node/1", "node/2"]]),
    ],
)
def test_a_search_asks_the_policys_nodes_until_one_has_the_area(policy: str, rounds: list[list[str]]) -> None:
    """An address two zones into an area is found where its start is at home, and nobody is asked after."""
    world = HandWorld(nodes(4, [LONG]))
    addr = 3 * ZONE
    assert world.run(router(4, policy).search(world.port, addr, Find, "find_interior")) == LONG
    assert asked(world) == rounds
    probes = sum(map(len, rounds))
    assert world.completed == [
        ("find_interior", 0, 0, len(rounds) * TICK_NS, probes, 0, 0, addr, LONG),
    ]


@pytest.mark.parametrize("nr_nodes", [1, 2, 5])
@pytest.mark.parametrize("zones", range(7))
@pytest.mark.parametrize(
    ("policy", "probes"),
    [
        ("backward", lambda k, n: k % n + 1),
        ("forward", lambda k, n: -k % n + 1),
        ("scatter", lambda _k, n: n),
    ],
)
def test_probes_follow_from_the_zones_between(
    policy: str, probes: Callable[[int, int], int], zones: int, nr_nodes: int
) -> None:
    """An area that starts k zones before the address is found after as many probes as the policy says."""
    whole = area(10, 17)
    world = HandWorld(nodes(nr_nodes, [whole]))
    search = router(nr_nodes, policy).search(world.port, (10 + zones) * ZONE, Find, "find")
    assert world.run(search) is whole
    assert world.completed[0][4] == probes(zones, nr_nodes)


@pytest.mark.parametrize("policy", ["backward", "forward", "scatter"])
def test_a_miss_asks_every_node_once(policy: str) -> None:
    """Where nothing is, all nodes are asked, and the find is recorded as a miss."""
    world = HandWorld(nodes(4, [LONG]))
    assert world.run(router(4, policy).search(world.port, 6 * ZONE, Find, "find")) is None
    assert sorted(to for calls in asked(world) for to in calls) == ["node/0", "node/1", "node/2", "node/3"]
    name, *_, probes, _queue_ns, _service_ns, _addr, answer = world.completed[0]
    assert (name, probes, answer) == ("find_miss", 4, None)


def test_every_request_names_the_node_it_goes_to() -> None:
    """Nodes check that they are meant, so the request has the id of the address it is sent to."""
    world = HandWorld(nodes(3))
    world.run(router(3, "scatter").search(world.port, 7, Find, None))
    assert world.rounds == [[(f"node/{node_id}", Find(node_id, 7)) for node_id in range(3)]]


def test_an_unlink_takes_the_area_out() -> None:
    """What a search with FindUnlink gave is in no tree any more; unlinking nothing stays an unlink."""
    world = HandWorld(nodes(4, [LONG]))
    for expected in (LONG, None):
        search = router(4).search(world.port, 2 * ZONE, FindUnlink, "unlink")
        assert world.run(search) == expected
    assert [operation[0] for operation in world.completed] == ["unlink", "unlink"]
    assert [operation[8] for operation in world.completed] == [LONG, None]


def test_a_search_without_a_name_counts_for_the_operation_it_is_part_of() -> None:
    """Its probes are added to those of what is recorded next, and then begin at 0 again."""
    world = HandWorld(nodes(4, [LONG]))
    ring = router(4)
    assert world.run(ring.search(world.port, 3 * ZONE, Find, None)) == LONG
    assert world.completed == []
    world.run(ring.search(world.port, 1 * ZONE, Find, "find"))
    world.run(ring.search(world.port, 1 * ZONE, Find, "find"))
    assert [operation[4] for operation in world.completed] == [3 + 1, 1]


def test_one_router_serves_many_homes() -> None:
    """The order of nodes is remembered per home node, not for the first address only."""
    world = HandWorld(nodes(4))
    ring = router(4)
    for home in (2, 0, 2):
        world.rounds.clear()
        world.run(ring.search(world.port, home * ZONE, Find, None))
        assert asked(world) == [[f"node/{(home - step) % 4}"] for step in range(4)]


@pytest.mark.parametrize("policy", ["backward", "scatter"])
def test_a_node_that_is_not_meant_refuses(policy: str) -> None:
    """Members that disagree about who serves where find out at once."""
    machines = nodes(2)
    world = HandWorld({"node/0": machines["node/1"], "node/1": machines["node/0"]})
    with pytest.raises(RequestRefused, match="wrong-node") as caught:
        world.run(router(2, policy).search(world.port, 0, Find, "find"))
    assert caught.value.reason == "wrong-node"


def test_an_insertion_goes_to_the_home_of_the_start() -> None:
    """One probe, at the node of the first address, whatever else the area reaches into."""
    machines = nodes(4)
    world = HandWorld(machines)
    world.run(router(4).insert(world.port, LONG, "insert"))
    assert world.rounds == [[("node/1", Insert(LONG))]]
    assert list(machines["node/1"].areas(1)) == [LONG]
    assert world.completed == [("insert", 0, 0, TICK_NS, 1, 0, 0, LONG.va_start, LONG)]


def test_an_insertion_without_a_name_is_not_recorded() -> None:
    """It is part of an operation that records itself, and leaves its probe to that."""
    world = HandWorld(nodes(4))
    world.run(router(4).insert(world.port, LONG, None))
    assert (world.completed, world.port.probes) == ([], 1)


def test_an_insertion_onto_something_is_refused() -> None:
    """The node says what is there already."""
    world = HandWorld(nodes(4, [LONG]))
    with pytest.raises(RequestRefused, match="overlap"):
        world.run(router(4).insert(world.port, VmapArea(LONG.va_start, LONG.va_start + 1), "insert"))
    assert world.completed == []


def test_addresses_are_one_per_node() -> None:
    """A router for three nodes at two addresses is a mistake of its maker."""
    with pytest.raises(AssertionError, match="one address per node"):
        Router(ZoneLayout(3, ZONE), load("backward"), ["a", "b"])


# -- areas that other nodes know of ------------------------------------------------------------------


def test_nodes_are_told_of_an_area_when_it_is_in_its_tree_and_told_to_forget_it_when_it_is_out() -> None:
    """All of them at once, after its home; and then one question finds it from everywhere."""
    world, routed = HandWorld(nodes(4)), router(4, "span-directory")
    world.run(routed.insert(world.port, LONG, "insert"))
    assert asked(world) == [["node/1"], ["node/2", "node/3", "node/0"]]
    for addr in (ZONE, 2 * ZONE, 3 * ZONE, 4 * ZONE):
        world.rounds.clear()
        assert world.run(routed.search(world.port, addr, Find, "find")) == LONG
        assert len(world.rounds) == 1
    world.rounds.clear()
    assert world.run(routed.search(world.port, 3 * ZONE, FindUnlink, "unlink")) == LONG
    assert asked(world) == [["node/3"], ["node/1"], ["node/2", "node/3", "node/0"]]
    assert world.completed[-1][4] == 5
    assert world.run(routed.search(world.port, 2 * ZONE, Find, "find")) is None


def test_a_search_follows_an_area_that_has_moved() -> None:
    """Its home says where; whoever takes it out has the home forget it."""
    world, routed = HandWorld(nodes(4, [LONG])), router(4)
    world.run(routed.migrate(world.port, LONG, 3))
    assert asked(world) == [["node/3"], ["node/1"]]
    assert world.completed[-1][0] == "migrate"
    world.rounds.clear()
    assert world.run(routed.search(world.port, ZONE, Find, "find")) == LONG
    assert asked(world) == [["node/1"], ["node/3"]]
    assert world.run(routed.search(world.port, ZONE, FindUnlink, "unlink")) == LONG
    assert asked(world)[2:] == [["node/1"], ["node/3"], ["node/1"]]
    assert world.run(routed.search(world.port, ZONE, Find, "find")) is None


def test_an_area_that_is_not_at_home_does_not_move() -> None:
    """What the other node took in for it is taken out again."""
    world, routed = HandWorld(nodes(4)), router(4)
    assert not world.run(routed.migrate(world.port, LONG, 3))
    assert world.run(routed.search(world.port, 3 * ZONE, Find, "find")) is None
