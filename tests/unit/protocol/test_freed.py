"""What a node keeps of freed areas: the way from lazy tree to pools and free space, and the locks on it."""

import pytest

from protocol.area import PAGE_SIZE, Vm, VmapArea, VmStruct, encode_vn_id
from protocol.freed import REPLY_BYTES, FreedAreas, listing
from protocol.kernel import KERNELS
from protocol.messages import (
    Allocated,
    Areas,
    CollectReclaimed,
    Counted,
    CountPools,
    DecayPools,
    Detached,
    DetachLazy,
    FreedRequest,
    Inserted,
    LazyInsert,
    ListLazy,
    ListPools,
    NotFound,
    PoolTake,
    PopulatePools,
    Refused,
    Reply,
)
from protocol.work import Work


def area(page: int, pages: int = 2, node_id: int | None = 3) -> VmapArea:
    flags = 0 if node_id is None else encode_vn_id(node_id)
    return VmapArea(page * PAGE_SIZE, (page + pages) * PAGE_SIZE, flags)


class Node:
    """Node 3 of a kernel."""

    def __init__(self, kernel: str = "6.16") -> None:
        self.freed = FreedAreas(3, KERNELS[kernel])

    def ask(self, request: FreedRequest) -> Reply:
        reply, self.work = self.freed.handle(request)
        self.freed._check()
        return reply

    def free(self, *areas: VmapArea) -> None:
        for one in areas:
            assert self.ask(LazyInsert(3, one)) == Inserted(1)

    @property
    def counted(self) -> tuple[str, int, int]:
        """The lock of the last work, how often it was taken, and areas moved."""
        work: Work = self.work
        return work.lock, work.holds, work.moved


def test_a_purge_fills_the_pools_in_ascending_order_and_the_highest_ends_on_top() -> None:
    node = Node()
    node.free(area(20), area(0), area(10))
    assert node.counted == ("lazy/3", 1, 1)
    assert node.ask(DetachLazy(3)) == Detached(3, 6, 0, 22 * PAGE_SIZE)
    assert node.counted == ("lazy/3", 1, 1)
    assert (len(node.freed.lazy), node.freed.purge_list) == (0, [area(0), area(10), area(20)])
    assert node.ask(PopulatePools(3, populate=True)) == Areas((), more=False)
    assert node.counted == ("pool/3", 3, 3), "the lock is taken once per area"
    assert node.ask(CountPools(3)) == Counted(3)
    assert node.ask(PoolTake(3, 2 * PAGE_SIZE, 1)) == Allocated(area(20))
    assert node.counted == ("pool/3", 1, 1)


def test_what_no_pool_takes_is_left_in_descending_order() -> None:
    """Areas without a node, and those over 256 pages; a local list is filled at its head."""
    node = Node()
    node.free(area(0, node_id=None), area(10), area(20, 257), area(500, node_id=None))
    node.ask(DetachLazy(3))
    left = (area(500, node_id=None), area(20, 257), area(0, node_id=None))
    assert node.ask(PopulatePools(3, populate=True)) == Areas(left, more=False)
    assert node.counted == ("pool/3", 1, 4)
    assert len(node.freed.pools) == 1


def test_a_purge_is_done_in_steps_between_which_others_get_the_pools_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no pool takes is given with the last step, in descending order over all of them, and kept till then."""
    monkeypatch.setattr("protocol.freed.POPULATE_MOST", 2)
    node = Node()
    node.free(area(0, node_id=None), area(10), area(20), area(30, node_id=None), area(40))
    node.ask(DetachLazy(3))
    assert node.ask(PopulatePools(3, populate=True)) == Areas((), more=False)
    assert node.counted == ("pool/3", 1, 2)
    assert set(node.freed.in_purge) == {area(0, node_id=None), area(20), area(30, node_id=None), area(40)}
    assert node.ask(PoolTake(3, 2 * PAGE_SIZE, 1)) == Allocated(area(10))
    assert node.ask(PopulatePools(3, populate=True)) == Areas((), more=False)
    left = (area(30, node_id=None), area(0, node_id=None))
    assert node.ask(PopulatePools(3, populate=True)) == Areas(left, more=False)
    assert node.freed.in_purge == []
    assert set(node.freed.pools) == {area(20), area(40)}


def test_a_full_purge_populates_nothing() -> None:
    node = Node()
    node.free(area(0), area(10))
    node.ask(DetachLazy(3))
    assert node.ask(PopulatePools(3, populate=False)) == Areas((area(10), area(0)), more=False)
    assert node.counted == ("", 0, 1)


def test_before_pools_areas_are_merged_and_left_in_ascending_order() -> None:
    node = Node("6.8")
    node.free(area(2, node_id=None), area(10, node_id=None), area(0, node_id=None))
    assert node.ask(DetachLazy(3)) == Detached(2, 6, 0, 12 * PAGE_SIZE)
    assert node.ask(PopulatePools(3, populate=False)) == Areas((area(0, 4), area(10)), more=False)


def test_nothing_lazy_is_seen_without_the_lock() -> None:
    node = Node()
    assert node.ask(DetachLazy(3)) == Detached(0, 0, 2**64 - 1, 0)
    assert node.counted == ("", 0, 1)


def test_an_empty_class_is_seen_without_the_lock_and_a_misaligned_head_with_it() -> None:
    node = Node()
    node.freed.pools.add(area(1))
    assert node.ask(PoolTake(3, 3 * PAGE_SIZE, 1)) == NotFound()
    assert node.counted == ("", 0, 1)
    assert node.ask(PoolTake(3, 2 * PAGE_SIZE, 2 * PAGE_SIZE)) == NotFound()
    assert node.counted == ("pool/3", 1, 1)


@pytest.mark.parametrize(("kernel", "left", "holds"), [("6.9", 3, 3), ("6.16", 4, 4)])
def test_a_decay_takes_the_lock_to_detach_a_class_and_to_attach_the_rest(
    kernel: str, left: int, holds: int
) -> None:
    """A class of four and one of one: until v6.15 the latter is emptied and not attached again."""
    node = Node(kernel)
    for page in (0, 10, 20, 30):
        node.freed.pools.add(area(page))
    node.freed.pools.add(area(40, 3))
    reply = node.ask(DecayPools(3, full=False))
    assert isinstance(reply, Areas)
    assert len(node.freed.pools) == left
    assert reply.areas == ((area(30), area(40, 3)) if kernel == "6.9" else (area(30),))
    assert node.work.holds == holds


def test_more_than_fits_a_message_is_collected_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.freed.LIST_MOST", 2)
    node = Node()
    node.free(*(area(page, node_id=None) for page in (0, 10, 20, 30, 40)))
    node.ask(DetachLazy(3))
    assert node.ask(PopulatePools(3, populate=True)) == Areas((area(40), area(30)), more=True)
    assert set(node.freed) == {area(20), area(10), area(0)}
    assert node.ask(CollectReclaimed(3)) == Areas((area(20), area(10)), more=True)
    assert node.ask(CollectReclaimed(3)) == Areas((area(0),), more=False)


def test_the_lazy_tree_is_listed_from_an_address_on() -> None:
    node = Node()
    node.free(area(20), area(0), area(10))
    assert node.ask(ListLazy(3, 1)) == Areas((area(10), area(20)), more=False)
    assert node.counted == ("lazy/3", 1, 2)


def test_freeing_twice_is_refused() -> None:
    node = Node()
    node.free(area(0))
    reply = node.ask(LazyInsert(3, area(0)))
    assert isinstance(reply, Refused)
    assert reply.reason == "overlap"


def test_a_listing_is_cut_where_its_bytes_would_not_fit_a_frame() -> None:
    """Callers' names count."""
    caller = "x" * 10_000
    areas = [VmapArea(n, n + 1, 0, VmStruct(Vm.ALLOC, caller)) for n in range(100)]
    reply = listing(areas)
    assert reply.more
    assert len(reply.areas) == REPLY_BYTES // (65 + 40_000)


def test_pools_are_listed_in_address_order_from_a_start() -> None:
    """Whatever their order in the pools; nothing is taken out."""
    freed = FreedAreas(3, KERNELS["6.16"])
    areas = [area(page) for page in (40, 8, 24)]
    for one in areas:
        freed.pools.add(one)
    reply, work = freed.handle(ListPools(3, areas[1].va_start + 1))
    assert reply == Areas((areas[2], areas[0]), False)
    assert work.lock == "pool/3"
    assert len(freed.pools) == 3
    assert not freed.is_empty
    assert FreedAreas(3, KERNELS["6.16"]).is_empty
