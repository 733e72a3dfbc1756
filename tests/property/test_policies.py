"""Every search policy: how many nodes a search in its order asks. (Its contract: test_contracts.)"""

from collections.abc import Iterator

import pytest

import protocol.policies
from protocol import policies, registry
from protocol.area import VmapArea, ZoneLayout
from protocol.messages import Find, Found, Insert, Inserted, Unlink, Unlinked
from protocol.node import NodeMachine
from protocol.policies import Policy
from sim.contracts.policies import EXTRAS, MOST_NODES, PLACES, left_out

NAMES = registry.names(protocol.policies)
ZONE_SIZE = 2
"""Bytes; zones of two have a first and a last address, and every case can be gone through."""


def loaded(name: str) -> list[Policy]:
    """Load the policy `name` with every parameter that might matter to it."""
    return [policies.load(name, extra=extra) for extra in EXTRAS]


INCOMPLETE = {"home": "the dump's one node", "bounded": "gives up on purpose", "span-directory": "is told"}
"""The policies that need not ask all nodes, and why; what they miss is counted by the check of answers."""


@pytest.mark.parametrize("name", NAMES)
def test_only_those_that_say_so_leave_nodes_out(name: str) -> None:
    """An exception that is none any more has to go, too."""
    assert bool(left_out(name)) == (name in INCOMPLETE)


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_that_is_loaded_anew_answers_the_same(name: str) -> None:
    for policy, again in zip(loaded(name), loaded(name), strict=True):
        assert [policy(home, nr_nodes) for home, nr_nodes in PLACES] == [
            again(home, nr_nodes) for home, nr_nodes in PLACES
        ]


# -- probes -----------------------------------------------------------------------------------------


class Ring:
    """Real node machines, one per node, that are searched in the order of a policy."""

    def __init__(self, nr_nodes: int) -> None:
        self.layout = ZoneLayout(nr_nodes, ZONE_SIZE)
        self.machines = [NodeMachine(self.layout, (node_id,), f"busy/{node_id}") for node_id in range(nr_nodes)]

    def home(self, addr: int) -> NodeMachine:
        return self.machines[self.layout.addr_to_node_id(addr)]

    def search(self, policy: Policy, addr: int) -> tuple[int, VmapArea | None]:
        """Ask round after round until a node has the area; give the number of nodes asked, and the area."""
        asked = 0
        for nodes in policy(self.layout.addr_to_node_id(addr), len(self.machines)):
            replies = [self.machines[node_id].handle(Find(node_id, addr))[0] for node_id in nodes]
            asked += len(nodes)
            for reply in replies:
                if isinstance(reply, Found):
                    return asked, reply.area
        return asked, None


def one_area_at_a_time(ring: Ring) -> Iterator[VmapArea]:
    """Go through every area of up to three turns that starts in the first: each is in its node meanwhile.

    Starts and ends are all addresses, at the borders of zones and within them.
    """
    nr_nodes = len(ring.machines)
    for va_start in range(nr_nodes * ZONE_SIZE):
        highest = (va_start // ZONE_SIZE + 3 * nr_nodes) * ZONE_SIZE
        for va_end in range(va_start + 1, highest + 1):
            area = VmapArea(va_start, va_end)
            assert ring.home(va_start).handle(Insert(area))[0] == Inserted(1)
            yield area
            assert ring.home(va_start).handle(Unlink(va_start))[0] == Unlinked(area)


def zones_between(addr: int, area: VmapArea) -> int:
    """Count the borders of zones above the area's start, up to `addr`."""
    return sum(border % ZONE_SIZE == 0 for border in range(area.va_start + 1, addr + 1))


@pytest.mark.parametrize("nr_nodes", range(1, MOST_NODES + 1))
def test_an_area_k_zones_behind_is_found_after_as_many_nodes_as_the_formulas_say(nr_nodes: int) -> None:
    """Backward asks k mod n + 1 nodes and forward (-k) mod n + 1, for every area and address."""
    ring = Ring(nr_nodes)
    backward, forward = policies.load("backward"), policies.load("forward")
    seen = set()
    for area in one_area_at_a_time(ring):
        # Areas with the same start differ in where they end: only the last two zones are new.
        for addr in range(max(area.va_start, area.va_end - 2 * ZONE_SIZE), area.va_end):
            k = zones_between(addr, area)
            seen.add(k)
            assert ring.search(backward, addr) == (k % nr_nodes + 1, area)
            assert ring.search(forward, addr) == (-k % nr_nodes + 1, area)
    assert seen == set(range(3 * nr_nodes))


@pytest.mark.parametrize("nr_nodes", range(1, MOST_NODES + 1))
def test_a_miss_asks_every_node(nr_nodes: int) -> None:
    """Just below and just above each area; scatter asks as many in its one round."""
    ring = Ring(nr_nodes)
    complete = [policies.load(name) for name in ("backward", "forward", "scatter")]
    for area in one_area_at_a_time(ring):
        for addr in (area.va_start - 1, area.va_end):
            for policy in complete:
                assert ring.search(policy, addr) == (nr_nodes, None)


@pytest.mark.parametrize("nr_nodes", range(1, MOST_NODES + 1))
@pytest.mark.parametrize("extra", [0, 1, 3])
def test_bounded_finds_exactly_what_is_few_enough_zones_behind(nr_nodes: int, extra: int) -> None:
    """And so does home, the search that takes no further node."""
    ring = Ring(nr_nodes)
    bounded, home = policies.load("bounded", extra=extra), policies.load("home")
    for area in one_area_at_a_time(ring):
        addr = area.va_end - 1
        behind = zones_between(addr, area) % nr_nodes
        within = behind <= extra
        assert ring.search(bounded, addr) == ((behind + 1, area) if within else (min(extra + 1, nr_nodes), None))
        assert ring.search(home, addr) == (1, area if behind == 0 else None)
