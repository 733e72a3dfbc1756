"""The node machine: each request's reply, work and effect, and what a refusal leaves untouched."""

from collections.abc import Callable
from typing import get_args

import pytest

from protocol.area import ULONG_MAX, VmapArea, VmStruct, ZoneLayout
from protocol.errors import AreaOverlap
from protocol.messages import (
    Adopt,
    Areas,
    CollectReclaimed,
    Counted,
    CountPools,
    DecayPools,
    Detached,
    DetachLazy,
    Find,
    FindExceed,
    FindRange,
    FindUnlink,
    Forget,
    Found,
    GetStatistics,
    Insert,
    InsertBatch,
    Inserted,
    LazyInsert,
    ListAreas,
    ListLazy,
    ListMoved,
    ListPools,
    Migrate,
    Moved,
    MovedAreas,
    NodeRequest,
    NodeStatistics,
    NotFound,
    PoolTake,
    PopulatePools,
    Refer,
    Refused,
    Reply,
    SetupVm,
    TryFind,
    Unlink,
    Unlinked,
)
from protocol.node import NodeMachine
from protocol.work import Work

LAYOUT = ZoneLayout(nr_nodes=4, zone_size=16)
"""Node 1 has the zones [16, 32), [80, 96), [144, 160), …; node 2 those above them."""

A, B, C = VmapArea(16, 20), VmapArea(24, 60), VmapArea(144, 150)
"""The areas of node 1; B reaches through the zone of node 2 into that of node 3."""

LOCK = "busy/1"


def machine_with(*areas: VmapArea) -> NodeMachine:
    """Make the machine of node 1 with `areas` in it."""
    machine = NodeMachine(LAYOUT, (1,), LOCK)
    machine.preload(areas)
    return machine


def all_nodes_under_one_lock(*areas: VmapArea) -> NodeMachine:
    machine = NodeMachine(LAYOUT, range(4), "busy/all")
    machine.preload(areas)
    return machine


def counts(work: Work) -> tuple[str, int, int]:
    return work.lock, work.visited, work.moved


# request, reply, tree nodes visited, areas moved, what is in node 1 afterwards; before: A, B, C
CASES: list[tuple[NodeRequest, Reply, int, int, list[VmapArea]]] = [
    (Find(1, 16), Found(A), 2, 1, [A, B, C]),
    (Find(1, 59), Found(B), 2, 1, [A, B, C]),
    (Find(1, 60), NotFound(), 2, 1, [A, B, C]),
    (FindExceed(1, 59), Found(B), 2, 1, [A, B, C]),
    (FindExceed(1, 60), Found(C), 2, 1, [A, B, C]),
    (FindExceed(1, 150), NotFound(), 2, 1, [A, B, C]),
    (FindUnlink(1, 24), Unlinked(B), 2, 1, [A, C]),
    (FindUnlink(1, 59), Unlinked(B), 2, 1, [A, C]),
    (FindUnlink(1, 20), NotFound(), 2, 1, [A, B, C]),
    (Unlink(24), Unlinked(B), 2, 1, [A, C]),
    (Unlink(25), NotFound(), 2, 1, [A, B, C]),
    (Insert(VmapArea(20, 24)), Inserted(1), 2, 1, [A, VmapArea(20, 24), B, C]),
    (
        Insert(VmapArea(20, 25)),
        Refused("overlap", "[0x14, 0x19) overlaps with [0x18, 0x3c)"),
        2,
        1,
        [A, B, C],
    ),
    (
        InsertBatch((VmapArea(88, 90), VmapArea(80, 81))),
        Inserted(2),
        2,
        2,
        [A, B, VmapArea(80, 81), VmapArea(88, 90), C],
    ),
    (InsertBatch((VmapArea(80, 81),)), Inserted(1), 2, 1, [A, B, VmapArea(80, 81), C]),
    (InsertBatch(()), Inserted(0), 0, 0, [A, B, C]),
    (ListAreas(1, 0, 10), Areas((A, B, C), more=False), 2, 3, [A, B, C]),
    (ListAreas(1, 17, 1), Areas((B,), more=True), 2, 1, [A, B, C]),
    (ListAreas(1, 145, 10), Areas((), more=False), 2, 1, [A, B, C]),
    (FindRange(1, 18, 24), Areas((A,), more=False), 2, 1, [A, B, C]),
    (FindRange(1, 20, 25), Areas((B,), more=False), 2, 1, [A, B, C]),
    (FindRange(1, 0, 1000), Areas((A, B, C), more=False), 2, 3, [A, B, C]),
    (FindRange(1, 150, 1000), Areas((), more=False), 2, 1, [A, B, C]),
    (TryFind(1, 59), Found(B), 2, 1, [A, B, C]),
    (TryFind(1, 60), NotFound(), 2, 1, [A, B, C]),
    (SetupVm(24, VmStruct(2)), Found(B), 2, 1, [A, B, C]),
    (SetupVm(25, VmStruct(2)), NotFound(), 2, 1, [A, B, C]),
    (PoolTake(1, 4, 1), NotFound(), 1, 1, [A, B, C]),
    (LazyInsert(1, VmapArea(70, 71)), Inserted(1), 0, 1, [A, B, C]),
    (DetachLazy(1), Detached(0, 0, ULONG_MAX, 0), 1, 1, [A, B, C]),
    (PopulatePools(1, populate=True), Areas((), more=False), 1, 1, [A, B, C]),
    (DecayPools(1, full=False), Areas((), more=False), 1, 1, [A, B, C]),
    (CollectReclaimed(1), Areas((), more=False), 1, 1, [A, B, C]),
    (CountPools(1), Counted(0), 1, 1, [A, B, C]),
    (ListLazy(1, 0), Areas((), more=False), 0, 1, [A, B, C]),
    (ListPools(1, 0), Areas((), more=False), 1, 1, [A, B, C]),
    (Refer(1, (VmapArea(8, 22), VmapArea(64, 90))), Inserted(2), 2, 2, [A, B, C]),
    (
        Refer(1, (VmapArea(64, 90), VmapArea(80, 81))),
        Refused("overlap", "[0x50, 0x51) overlaps with [0x40, 0x5a)"),
        2,
        2,
        [A, B, C],
    ),
    (Adopt(1, VmapArea(32, 40)), Refused("overlap", "[0x20, 0x28) overlaps with [0x18, 0x3c)"), 2, 1, [A, B, C]),
    (Adopt(1, VmapArea(64, 66)), Inserted(1), 2, 1, [A, B, VmapArea(64, 66), C]),
    (Migrate(1, 24, 3), Unlinked(B), 2, 1, [A, C]),
    (Migrate(1, 25, 3), NotFound(), 2, 1, [A, B, C]),
    (Forget(1, 24), NotFound(), 2, 1, [A, B, C]),
    (ListMoved(1, 0, 9), MovedAreas((), more=False), 0, 1, [A, B, C]),
    (GetStatistics(1), NodeStatistics(1, areas=3, bytes_busy=46, requests=1), 0, 1, [A, B, C]),
]

OTHER_LOCKS = {LazyInsert: "lazy/1", ListLazy: "lazy/1", ListPools: "pool/1"} | dict.fromkeys(
    [PoolTake, DetachLazy, PopulatePools, DecayPools, CollectReclaimed, CountPools], ""
)
"""Where there is nothing in pools and lazy trees, the kernel sees that without a lock."""

NOT_MINE: list[NodeRequest] = [
    Find(2, 33),
    FindExceed(2, 33),
    FindUnlink(2, 33),
    Unlink(32),
    Insert(VmapArea(33, 34)),
    InsertBatch((VmapArea(33, 34),)),
    ListAreas(2, 0, 10),
    FindRange(2, 33, 34),
    TryFind(2, 33),
    SetupVm(33, VmStruct(2)),
    PoolTake(2, 4, 1),
    LazyInsert(2, VmapArea(70, 71)),
    DetachLazy(2),
    PopulatePools(2, populate=True),
    DecayPools(2, full=False),
    CollectReclaimed(2),
    CountPools(2),
    ListLazy(2, 0),
    ListPools(2, 0),
    Refer(2, (A,)),
    Adopt(2, A),
    Migrate(2, 33, 1),
    Forget(2, 33),
    ListMoved(2, 0, 9),
    GetStatistics(2),
]


@pytest.mark.parametrize(
    ("request_", "reply", "visited", "moved", "left"), CASES, ids=[repr(case[0]) for case in CASES]
)
def test_each_request_has_its_reply_its_work_and_its_effect(
    request_: NodeRequest, reply: Reply, visited: int, moved: int, left: list[VmapArea]
) -> None:
    machine = machine_with(A, B, C)
    got, work = machine.handle(request_)
    assert got == reply
    assert counts(work) == (OTHER_LOCKS.get(type(request_), LOCK), visited, moved)
    assert list(machine.areas(1)) == left
    machine._check()


def test_each_kind_of_request_has_a_case_and_a_wrong_node() -> None:
    assert {type(case[0]) for case in CASES} == set(get_args(NodeRequest))
    assert {type(request) for request in NOT_MINE} == set(get_args(NodeRequest))


def test_visited_is_the_height_of_the_tree_at_the_start_of_service() -> None:
    machine = machine_with()
    areas = [VmapArea(addr, addr + 1) for addr in range(16, 24)]
    inserting = [machine.handle(Insert(area))[1] for area in areas]
    assert [counts(work) for work in inserting] == [(LOCK, visited, 1) for visited in (0, 1, 2, 2, 3, 3, 3, 3)]
    assert counts(machine.handle(Find(1, 16))[1]) == (LOCK, 4, 1)
    unlinking = [machine.handle(Unlink(area.va_start))[1] for area in areas[:4]]
    unlinking += [machine.handle(FindUnlink(1, area.va_start))[1] for area in areas[4:]]
    assert [counts(work) for work in unlinking] == [(LOCK, visited, 1) for visited in (4, 3, 3, 3, 3, 2, 2, 1)]


def test_a_batch_is_one_hold_of_the_lock_whatever_its_size() -> None:
    machine = machine_with(A)
    batch = tuple(VmapArea(addr, addr + 1) for addr in range(80, 96))
    reply, work = machine.handle(InsertBatch(batch))
    assert reply == Inserted(16)
    assert counts(work) == (LOCK, 1, 16)
    assert counts(machine.handle(Find(1, 80))[1]) == (LOCK, 5, 1)


# -- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", NOT_MINE, ids=lambda request: type(request).__name__)
def test_a_request_for_another_node_is_refused_uncounted_and_changes_nothing(request_: NodeRequest) -> None:
    """The addresses lie within area B of node 1: whose zone it is decides, not who has an area there."""
    machine = machine_with(A, B, C)
    reply, work = machine.handle(request_)
    assert reply == Refused("wrong-node", "node 2 is not among mine: 1")
    assert counts(work) == (LOCK, 0, 1)
    assert machine.statistics(1) == NodeStatistics(1, areas=3, bytes_busy=46, requests=0)
    assert list(machine.areas(1)) == [A, B, C]


def test_a_wrong_node_names_all_that_would_be_right_in_order() -> None:
    machine = NodeMachine(LAYOUT, (3, 0), "busy/some")
    reply, work = machine.handle(Find(1, 16))
    assert reply == Refused("wrong-node", "node 1 is not among mine: 0, 3")
    assert counts(work) == ("busy/some", 0, 1)


FREE = [VmapArea(80, 81), VmapArea(84, 88), VmapArea(90, 96)]


@pytest.mark.parametrize(
    ("batch", "reason", "detail"),
    [
        pytest.param(
            [*FREE, VmapArea(148, 152)],
            "overlap",
            "[0x94, 0x98) overlaps with [0x90, 0x96)",
            id="the last overlaps with the tree",
        ),
        pytest.param(
            [VmapArea(16, 17), *FREE],
            "overlap",
            "[0x10, 0x11) overlaps with [0x10, 0x14)",
            id="the first overlaps with the tree",
        ),
        pytest.param(
            [*FREE, VmapArea(87, 89)],
            "overlap",
            "[0x57, 0x59) overlaps with [0x54, 0x58)",
            id="two of the batch overlap",
        ),
        pytest.param(
            [*FREE, FREE[0]],
            "overlap",
            "[0x50, 0x51) overlaps with [0x50, 0x51)",
            id="an area comes twice",
        ),
        pytest.param(
            [*FREE, VmapArea(32, 33)],
            "wrong-node",
            "node 2 is not among mine: 1",
            id="the last has another home",
        ),
        pytest.param(
            [VmapArea(15, 16), *FREE],
            "wrong-node",
            "node 0 is not among mine: 1",
            id="the first has another home",
        ),
    ],
)
def test_a_batch_is_inserted_whole_or_not_at_all(batch: list[VmapArea], reason: str, detail: str) -> None:
    machine = machine_with(A, B, C)
    reply, work = machine.handle(InsertBatch(tuple(batch)))
    assert reply == Refused(reason, detail)
    assert counts(work) == ((LOCK, 2, 4) if reason == "overlap" else (LOCK, 0, 1))
    assert list(machine.areas(1)) == [A, B, C]
    assert machine.statistics(1).bytes_busy == 46
    machine._check()
    assert machine.handle(InsertBatch(tuple(FREE)))[0] == Inserted(3)


# -- several nodes under one lock -------------------------------------------------------------------


def test_one_machine_may_have_many_nodes_in_its_charge() -> None:
    assert all_nodes_under_one_lock().node_ids == (0, 1, 2, 3)
    assert NodeMachine(LAYOUT, (3, 0), "busy/some").node_ids == (0, 3)


def test_each_area_goes_to_its_home_node_under_the_one_lock() -> None:
    machine = all_nodes_under_one_lock(VmapArea(0, 4), VmapArea(8, 9), A, B, VmapArea(62, 63))
    batch = (VmapArea(70, 71), VmapArea(40, 41), VmapArea(4, 5), VmapArea(20, 21), VmapArea(66, 67))
    reply, work = machine.handle(InsertBatch(batch))
    assert reply == Inserted(5)
    # Four areas were in the trees that the batch goes to, two or three in the fullest: height two.
    assert counts(work) == ("busy/all", 2, 5)
    assert [list(machine.areas(node_id)) for node_id in range(4)] == [
        [VmapArea(0, 4), VmapArea(4, 5), VmapArea(8, 9), VmapArea(66, 67), VmapArea(70, 71)],
        [A, VmapArea(20, 21), B],
        [VmapArea(40, 41)],
        [VmapArea(62, 63)],
    ]
    machine._check()


def test_a_request_for_one_of_many_nodes_sees_that_node_only() -> None:
    machine = all_nodes_under_one_lock(A, B, VmapArea(64, 65))
    assert machine.handle(Find(3, 59))[0] == NotFound()
    reply, work = machine.handle(Find(1, 59))
    assert reply == Found(B)
    assert counts(work) == ("busy/all", 2, 1)
    assert counts(machine.handle(Find(0, 64))[1]) == ("busy/all", 1, 1)
    assert machine.handle(ListAreas(0, 0, 9))[0] == Areas((VmapArea(64, 65),), more=False)
    assert machine.handle(Unlink(24))[0] == Unlinked(B)


def test_a_refused_batch_leaves_all_its_nodes_as_they_were() -> None:
    machine = all_nodes_under_one_lock(A, VmapArea(48, 50))
    reply, work = machine.handle(InsertBatch((VmapArea(0, 1), VmapArea(32, 33), VmapArea(49, 52))))
    assert reply == Refused("overlap", "[0x31, 0x34) overlaps with [0x30, 0x32)")
    assert counts(work) == ("busy/all", 1, 3)
    assert [list(machine.areas(node_id)) for node_id in range(4)] == [[], [A], [], [VmapArea(48, 50)]]
    machine._check()


def test_a_batch_counts_once_in_each_node_it_goes_to() -> None:
    machine = all_nodes_under_one_lock()
    machine.handle(InsertBatch((VmapArea(0, 1), VmapArea(1, 2), VmapArea(32, 33), VmapArea(2, 3))))
    assert [machine.statistics(node_id).requests for node_id in range(4)] == [1, 0, 1, 0]
    assert [machine.statistics(node_id).areas for node_id in range(4)] == [3, 0, 1, 0]


# -- listings, counters, preload --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "pages"),
    [
        (1, [1, 1, 1, 1, 1, 1]),
        (2, [2, 2, 2]),
        (3, [3, 3]),
        (4, [4, 2]),
        (5, [5, 1]),
        (6, [6]),
        (7, [6]),
    ],
)
def test_pages_of_a_listing_give_every_area_once_and_only_the_last_has_no_more(
    limit: int, pages: list[int]
) -> None:
    areas = [VmapArea(addr, addr + 1) for addr in (16, 17, 30, 80, 95, 144)]
    machine = machine_with(*areas)
    listed: list[VmapArea] = []
    for page, size in enumerate(pages, start=1):
        start = listed[-1].va_start + 1 if listed else 0
        reply, work = machine.handle(ListAreas(1, start, limit))
        assert isinstance(reply, Areas)
        assert len(reply.areas) == size
        assert reply.more == (page < len(pages))
        assert counts(work) == (LOCK, 3, size)
        listed += reply.areas
    assert listed == areas


def test_a_listing_of_nothing_still_tells_whether_there_is_more() -> None:
    machine = machine_with(A, B)
    assert machine.handle(ListAreas(1, 24, 0))[0] == Areas((), more=True)
    assert machine.handle(ListAreas(1, 25, 0))[0] == Areas((), more=False)


@pytest.mark.parametrize("request_", [case[0] for case in CASES], ids=repr)
def test_every_request_counts_once_whatever_came_of_it(request_: NodeRequest) -> None:
    machine = machine_with(A, B, C)
    machine.handle(request_)
    goes_nowhere = request_ == InsertBatch(())
    assert machine.statistics(1).requests == (0 if goes_nowhere else 1)


def test_statistics_follow_the_tree_and_looking_from_outside_does_not_count() -> None:
    machine = machine_with(A, B, C)
    assert list(machine.areas(1)) == [A, B, C]
    assert machine.statistics(1) == NodeStatistics(1, areas=3, bytes_busy=46, requests=0)
    machine.handle(Unlink(24))
    machine.handle(Insert(VmapArea(16, 17)))
    reply, _ = machine.handle(GetStatistics(1))
    assert reply == machine.statistics(1) == NodeStatistics(1, areas=2, bytes_busy=10, requests=3)


def test_preloaded_areas_go_home_and_are_found() -> None:
    areas = [VmapArea(64, 65), B, VmapArea(0, 9), A]
    machine = all_nodes_under_one_lock(*areas)
    assert list(machine.areas(0)) == [VmapArea(0, 9), VmapArea(64, 65)]
    assert list(machine.areas(1)) == [A, B]
    assert machine.handle(Find(1, 30))[0] == Found(B)
    machine._check()


def test_preload_raises_on_an_overlap() -> None:
    with pytest.raises(AreaOverlap):
        machine_with(A, VmapArea(19, 21))


# -- damage -----------------------------------------------------------------------------------------


def break_home(machine: NodeMachine) -> None:
    machine._nodes[1].tree.insert(VmapArea(0, 1))


def break_tree(machine: NodeMachine) -> None:
    machine._nodes[1].tree.depth += 1


@pytest.mark.parametrize(
    ("damage", "text"), [(break_home, r"\[0x0, 0x1\) is not at home"), (break_tree, "depth is off")]
)
def test_check_notices_each_kind_of_damage(damage: Callable[[NodeMachine], None], text: str) -> None:
    """The other tests lean on `_check()`, so it must be able to fail."""
    machine = machine_with(A, B, C)
    machine._check()
    damage(machine)
    with pytest.raises(AssertionError, match=text):
        machine._check()


@pytest.mark.parametrize("area", [VmapArea(5, 5), VmapArea(9, 3)])
def test_an_area_without_addresses_is_refused(area: VmapArea) -> None:
    """Empty and reversed ranges are no areas; nothing is inserted, alone or in a batch."""
    machine = NodeMachine(ZoneLayout(1, 16), [0], "busy/0")
    for request in (Insert(area), InsertBatch((VmapArea(1, 2), area))):
        reply, _ = machine.handle(request)
        assert isinstance(reply, Refused)
        assert reply.reason == "bad-range"
    assert list(machine.areas(0)) == []


def test_a_listing_is_bounded_whatever_the_request_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of 2^64 - 1 gives the machine's own most, and says that there is more."""
    monkeypatch.setattr("protocol.freed.LIST_MOST", 3)
    machine = NodeMachine(ZoneLayout(1, 16), [0], "busy/0")
    machine.preload(VmapArea(n, n + 1) for n in range(5))
    reply, _ = machine.handle(ListAreas(0, 0, 2**64 - 1))
    assert reply == Areas(tuple(VmapArea(n, n + 1) for n in range(3)), True)


# -- areas that are elsewhere -----------------------------------------------------------------------

LONG = VmapArea(8, 40)
"""Lives in node 0 and reaches through the zone of node 1 into that of node 2."""


def test_a_node_that_was_told_of_an_area_finds_it_until_it_forgets() -> None:
    """Lookups get the area itself; whoever wants to take it out is sent to its home."""
    machine = machine_with(C)
    assert machine.handle(Refer(1, (LONG,)))[0] == Inserted(1)
    assert machine.handle(Find(1, 20))[0] == Found(LONG)
    assert machine.handle(FindUnlink(1, 20))[0] == Moved(0)
    assert machine.handle(Find(1, 144))[0] == Found(C)
    assert machine.handle(Find(1, 50))[0] == machine.handle(FindUnlink(1, 50))[0] == NotFound()
    assert machine.handle(Forget(1, 8))[0] == Unlinked(LONG)
    assert machine.handle(Find(1, 20))[0] == NotFound()
    assert machine.moved(1) == {}


def test_a_home_forwards_to_where_an_area_has_moved() -> None:
    """Lookups and removals alike, at every address of it, until it forgets."""
    machine = machine_with(A, B)
    assert machine.handle(Migrate(1, 24, 3))[0] == Unlinked(B)
    assert machine.moved(1) == {24: 3}
    for addr in (24, 59):
        assert machine.handle(Find(1, addr))[0] == machine.handle(FindUnlink(1, addr))[0] == Moved(3)
    assert machine.handle(Forget(1, 24))[0] == Unlinked(B)
    assert machine.handle(Find(1, 24))[0] == NotFound()


@pytest.mark.parametrize(("limit", "pages"), [(1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (4, [3])])
def test_a_home_lists_which_areas_have_moved_and_where_to(limit: int, pages: list[int]) -> None:
    """Page by page, in address order, all that it forwards and nothing that it only was told of."""
    machine = machine_with(A, B, C)
    machine.handle(Refer(1, (VmapArea(64, 90),)))
    for start, to in ((144, 0), (16, 3), (24, 2)):
        machine.handle(Migrate(1, start, to))
    listed: list[tuple[int, int]] = []
    for page, size in enumerate(pages, start=1):
        reply, work = machine.handle(ListMoved(1, listed[-1][0] + 1 if listed else 0, limit))
        assert isinstance(reply, MovedAreas)
        assert (len(reply.moved), reply.more) == (size, page < len(pages))
        assert counts(work) == (LOCK, 3, size)
        listed += reply.moved
    assert listed == [(16, 3), (24, 2), (144, 0)]


def test_a_list_of_what_has_moved_is_bounded_whatever_the_request_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As listings of areas are."""
    monkeypatch.setattr("protocol.node.LIST_MOST", 2)
    machine = machine_with(A, B, C)
    for area in (A, B, C):
        machine.handle(Migrate(1, area.va_start, 3))
    assert machine.handle(ListMoved(1, 0, ULONG_MAX))[0] == MovedAreas(((16, 3), (24, 3)), more=True)


def test_what_is_elsewhere_can_be_rebuilt() -> None:
    """A fresh machine that gets the requests of `rebuild` answers as the first one does."""
    machine = machine_with(A, B)
    for request in (Refer(1, (VmapArea(64, 90),)), Adopt(1, VmapArea(96, 100)), Migrate(1, 24, 3)):
        machine.handle(request)
    again = NodeMachine(LAYOUT, (1,), LOCK)
    for asked in machine.rebuild() or ():
        again.handle(asked)  # type: ignore[arg-type]
    assert list(again.areas(1)) == list(machine.areas(1)) == [A, VmapArea(96, 100)]
    for addr in (16, 24, 70, 97):
        assert again.handle(Find(1, addr))[0] == machine.handle(Find(1, addr))[0] != NotFound()
    assert again.moved(1) == machine.moved(1) == {24: 3}
