"""Which answers can be true: every verdict by hand, and random histories against a slow judge."""

from collections.abc import Iterable

import pytest
from attrs import define
from hypothesis import event, given, settings
from hypothesis import strategies as st

from actors.world import Answer, Completed
from protocol.area import VmapArea
from sim.history import BUCKET_BITS, LONG_BUCKETS, History
from tests.twins.history import SlowHistory

A = VmapArea(0x1000, 0x4000)
B = VmapArea(0x8000, 0x9000)
BUCKET = 1 << BUCKET_BITS

ME, OTHER, THIRD = range(3)


def did(name: str, cpu: int, begin_ns: int, end_ns: int, answer: Answer, addr: int = 0x1000) -> Completed:
    """Make a completed operation at address 0x1000, the start of A, if not told otherwise."""
    return (name, cpu, begin_ns, end_ns, 1, 0, 0, addr, answer)


def judged(*operations: Completed, preload: Iterable[VmapArea] = ()) -> str | None:
    """Feed operations in the order in which they ended; give the one exception in words, None if none."""
    history = History([ME, OTHER, THIRD])
    history.preload(preload)
    history.extend(sorted(operations, key=lambda operation: operation[3]))
    history.finish()
    assert history.exceptions == (history.first_exception is not None)
    return history.first_exception


# -- found something ------------------------------------------------------------------------------


@pytest.mark.parametrize("addr", [0x1000, 0x2345, 0x3FFF])
def test_a_preloaded_area_can_be_found_from_the_beginning(addr: int) -> None:
    """At each of its addresses, in an operation that begins at 0."""
    assert judged(did("find", ME, 0, 9, A, addr), preload=[A]) is None


@pytest.mark.parametrize("addr", [0xFFF, 0x4000])
def test_an_area_does_not_answer_for_its_neighbours(addr: int) -> None:
    """An area that does not contain the address asked for is no answer."""
    assert judged(did("find", ME, 5, 9, A, addr), preload=[A]) == (
        f"find of {addr:#x} by cpu 0 at 5-9 ns gave [0x1000, 0x4000), which does not contain it"
    )


@pytest.mark.parametrize("inserting", ["insert", "alloc"])
@pytest.mark.parametrize(
    "window",
    [
        pytest.param((31, 40), id="after"),
        pytest.param((25, 40), id="inside"),
        pytest.param((12, 18), id="within the insertion's window"),
        pytest.param((0, 10), id="until the insertion begins"),
    ],
)
def test_an_area_can_be_found_while_and_after_it_is_inserted(inserting: str, window: tuple[int, int]) -> None:
    """Its insertion may have taken effect as soon as it began."""
    assert judged(did(inserting, OTHER, 10, 30, A), did("find", ME, *window, A)) is None


def test_an_area_cannot_be_found_before_its_insertion_begins() -> None:
    """A find that was over at 9 cannot know of an insertion that began at 10."""
    assert judged(did("find", ME, 5, 9, A), did("insert", OTHER, 10, 30, A)) == (
        "find of 0x1000 by cpu 0 at 5-9 ns gave [0x1000, 0x4000), which was not there"
    )


def test_every_area_of_a_batch_is_there() -> None:
    """Each one can be found from the beginning of the batch's insertion on, and not before."""
    batch = did("insert_batch", OTHER, 10, 30, (A, B))
    assert judged(batch, did("find", ME, 11, 12, B, 0x8000), did("find", ME, 40, 50, A)) is None
    assert judged(batch, did("find", ME, 5, 9, B, 0x8000)) == (
        "find of 0x8000 by cpu 0 at 5-9 ns gave [0x8000, 0x9000), which was not there"
    )


def test_what_nobody_inserted_cannot_be_found() -> None:
    """Neither a find nor an unlink can give an area that never was."""
    assert judged(did("find_interior", ME, 5, 9, A, 0x3000)) == (
        "find_interior of 0x3000 by cpu 0 at 5-9 ns gave [0x1000, 0x4000), which was not there"
    )
    assert judged(did("unlink", ME, 5, 9, A)) == (
        "unlink of 0x1000 by cpu 0 at 5-9 ns gave [0x1000, 0x4000), which was not there"
    )


@pytest.mark.parametrize("removing", ["unlink", "free"])
def test_an_area_can_be_found_until_its_removal_is_over(removing: str) -> None:
    """A find that begins when the removal ends may have been earlier than it took effect."""
    removal = did(removing, OTHER, 10, 30, A)
    assert judged(removal, did("find", ME, 30, 40, A), preload=[A]) is None
    assert judged(removal, did("find", ME, 31, 40, A), preload=[A]) == (
        "find of 0x1000 by cpu 0 at 31-40 ns gave [0x1000, 0x4000), which was not there"
    )


def test_an_area_cannot_be_taken_out_twice() -> None:
    """Of two unlinks that give the same area one is an exception."""
    taken_twice = (did("unlink", ME, 5, 9, A), did("unlink", OTHER, 5, 19, A))
    assert judged(*taken_twice, preload=[A]) is not None


def test_an_area_can_come_back() -> None:
    """Taken out and inserted again it can be found again."""
    assert (
        judged(
            did("unlink", ME, 5, 9, A),
            did("insert", ME, 10, 20, A),
            did("find", OTHER, 30, 40, A),
            preload=[A],
        )
        is None
    )


@pytest.mark.parametrize("found", [VmapArea(0x1000, 0x3000), VmapArea(0x1000, 0x5000)])
def test_an_area_of_another_extent_is_another_area(found: VmapArea) -> None:
    """Same start, other end: nobody inserted that."""
    assert judged(did("find", ME, 5, 9, found), preload=[A]) == (
        f"find of 0x1000 by cpu 0 at 5-9 ns gave {found}, which was not there"
    )


def test_an_equal_area_is_the_same_area() -> None:
    """What counts is the range, not the object: replies may have crossed a wire."""
    assert judged(did("find", ME, 5, 9, VmapArea(0x1000, 0x4000)), preload=[A]) is None


# -- found nothing --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["find", "find_miss", "unlink", "free"])
@pytest.mark.parametrize("addr", [0x1000, 0x3FFF])
def test_an_area_that_is_there_all_the_time_must_be_found(name: str, addr: int) -> None:
    """Whatever kind of operation found nothing, it missed what was there."""
    assert judged(did(name, ME, 5, 9, None, addr), preload=[A]) == (
        f"{name} of {addr:#x} by cpu 0 at 5-9 ns found nothing, but [0x1000, 0x4000) was there all the time"
    )


@pytest.mark.parametrize("addr", [0x0, 0xFFF, 0x4000, 0x7FFF, 2**63])
def test_nothing_is_found_where_nothing_is(addr: int) -> None:
    """Addresses beside areas are in none of them."""
    assert judged(did("find_miss", ME, 5, 9, None, addr), preload=[A, B]) is None


def test_without_areas_all_misses_are_true() -> None:
    """Nothing was ever inserted."""
    assert judged(did("find_miss", ME, 5, 9, None), did("unlink", OTHER, 5, 9, None)) is None


@pytest.mark.parametrize(
    ("window", "true"),
    [
        pytest.param((0, 10), True, id="before the insertion"),
        pytest.param((0, 99), True, id="around it"),
        pytest.param((30, 40), True, id="when the insertion ends"),
        pytest.param((31, 40), False, id="after the insertion"),
    ],
)
def test_a_miss_is_true_until_the_insertion_is_over(window: tuple[int, int], true: bool) -> None:
    """An insertion may have taken effect as late as it ended."""
    verdict = judged(did("insert", OTHER, 10, 30, A), did("find_miss", ME, *window, None))
    assert (verdict is None) == true


@pytest.mark.parametrize(
    ("window", "true"),
    [
        pytest.param((0, 9), False, id="before the removal"),
        pytest.param((0, 10), True, id="until the removal begins"),
        pytest.param((15, 20), True, id="within its window"),
        pytest.param((31, 40), True, id="after the removal"),
    ],
)
def test_a_miss_is_true_from_the_beginning_of_the_removal(window: tuple[int, int], true: bool) -> None:
    """A removal may have taken effect as early as it began."""
    miss = did("find_miss", ME, *window, None)
    verdict = judged(miss, did("unlink", OTHER, 10, 30, A), preload=[A])
    assert (verdict is None) == true


def test_operations_that_give_nothing_say_nothing() -> None:
    """A reservation puts nothing into a tree, nor does an allocation without room."""
    silent = (did("reserve", ME, 0, 5, None), did("alloc", OTHER, 0, 5, None))
    assert judged(*silent, did("find_miss", ME, 10, 20, None)) is None


def test_an_unknown_operation_is_a_mistake() -> None:
    """Whoever adds an operation has to say what it does to areas."""
    with pytest.raises(AssertionError, match="nobody knows what teleport does"):
        judged(did("teleport", ME, 0, 5, A))


@pytest.mark.parametrize("first", [0, 0xF000], ids=["bucket's start", "bucket's last page"])
@pytest.mark.parametrize("buckets", [1, LONG_BUCKETS - 1, LONG_BUCKETS, LONG_BUCKETS + 1, 1000])
def test_long_areas_are_missed_at_all_their_addresses(first: int, buckets: int) -> None:
    """Areas up to and over the limit of what is looked up by buckets, at both ends and in the middle."""
    for size in (buckets * BUCKET - 0x1000, buckets * BUCKET, buckets * BUCKET + 0x1000):
        start = 0xFFFF_C900_0000_0000 + first
        long = VmapArea(start, start + size)
        for addr in (start, start + size // 2, start + size - 1):
            assert judged(did("find_miss", ME, 5, 9, None, addr), preload=[A, long]) is not None
        for addr in (start - 1, start + size):
            assert judged(did("find_miss", ME, 5, 9, None, addr), preload=[A, long]) is None


def test_long_areas_are_forgotten_when_they_go() -> None:
    """The look-up by address is kept up by insertions and removals after the first miss."""
    long = VmapArea(0, 100 * BUCKET)
    history = History([ME])
    addr = 50 * BUCKET
    history.extend([did("find_miss", ME, 0, 1, None, addr)])
    history.extend([did("insert", ME, 2, 3, long), did("unlink", ME, 4, 5, long)])
    history.extend([did("find_miss", ME, 6, 7, None, addr)])
    assert history.exceptions == 0
    history.extend([did("insert", ME, 8, 9, long), did("find_miss", ME, 10, 11, None, addr)])
    history.finish()
    assert history.exceptions == 1


# -- verdicts that wait ---------------------------------------------------------------------------


def test_a_find_waits_for_the_insertion_it_overlaps() -> None:
    """Found before the insertion is reported: no verdict until that comes, and then a good one."""
    history = History([ME, OTHER])
    history.extend([did("find", ME, 15, 20, A)])
    history.extend([did("find_miss", ME, 21, 22, None, 0x8000)])
    assert history.exceptions == 0
    history.extend([did("insert", OTHER, 10, 30, A)])
    history.finish()
    assert history.exceptions == 0
    assert list(history.areas()) == [A]


def test_a_find_waits_no_longer_than_an_insertion_can_come() -> None:
    """When every CPU has completed something after it, nothing that began in time is under way."""
    history = History([ME, OTHER])
    history.extend([did("find", ME, 15, 20, A)])
    history.extend([did("find_miss", OTHER, 0, 21, None, 0x8000)])
    assert history.exceptions == 0, "cpu 0's own next operation may have begun at 20"
    history.extend([did("find_miss", ME, 20, 22, None, 0x8000)])
    assert history.exceptions == 1


def test_a_miss_waits_for_the_removal_it_overlaps() -> None:
    """Missed before the removal is reported: no verdict until that comes."""
    for begin_ns, exceptions in ((20, 0), (21, 1)):
        history = History([ME, OTHER])
        history.preload([A])
        history.extend([did("find_miss", ME, 15, 20, None)])
        assert history.exceptions == 0
        history.extend([did("unlink", OTHER, begin_ns, 30, A)])
        history.finish()
        assert history.exceptions == exceptions


def test_a_removal_waits_for_the_insertion_it_overlaps() -> None:
    """Taken out before its insertion is reported, an area is gone when that comes."""
    history = History([ME, OTHER, THIRD])
    history.extend([did("find", THIRD, 11, 15, A), did("unlink", ME, 15, 20, A)])
    assert history.exceptions == 0
    history.extend([did("insert", OTHER, 10, 30, A)])
    assert list(history.areas()) == []
    history.extend([did("find", THIRD, 20, 40, A)])
    history.extend([did("find_miss", THIRD, 41, 42, None), did("find", ME, 41, 43, A)])
    history.finish()
    assert history.first_exception == (
        "find of 0x1000 by cpu 0 at 41-43 ns gave [0x1000, 0x4000), which was not there"
    )
    assert history.exceptions == 1


def test_a_removal_waits_no_longer_than_an_insertion_can_come() -> None:
    """An insertion that begins when the removal ends is still in time, a later one is not."""
    for now_ns, exceptions in ((20, 0), (21, 1)):
        history = History([ME, OTHER])
        history.extend([did("unlink", ME, 15, 20, A)])
        history.extend(
            [did("find_miss", ME, 20, 25, None, 0x8000), did("find_miss", OTHER, 0, now_ns, None, 0x8000)]
        )
        assert history.exceptions == exceptions


def test_who_has_left_is_not_waited_for() -> None:
    """A CPU whose script is over has nothing under way."""
    history = History([ME, OTHER])
    history.extend([did("find", ME, 15, 20, A)])
    history.left(OTHER)
    history.extend([did("find_miss", ME, 20, 25, None, 0x8000)])
    assert history.exceptions == 1


def test_the_end_ends_all_waiting() -> None:
    """`finish` judges what hangs on operations that never came."""
    history = History([ME, OTHER])
    history.preload([B])
    history.extend([did("find", ME, 1, 2, A), did("find_miss", ME, 3, 4, None, 0x8000)])
    history.extend([did("unlink", ME, 5, 6, A)])
    assert history.exceptions == 0
    history.finish()
    assert history.exceptions == 3


def test_the_first_exception_is_the_one_reported() -> None:
    """All are counted, one is told."""
    history = History([ME])
    history.extend([did("find", ME, 5, 9, A, 0x9999), did("find", ME, 10, 12, A, 0x8888)])
    assert history.exceptions == 2
    assert history.first_exception is not None
    assert history.first_exception.startswith("find of 0x9999")


def test_areas_are_those_that_are_there() -> None:
    """In address order, as far as clients know: preloaded and inserted, less what was taken out."""
    history = History([ME])
    history.preload([B])
    history.extend([did("insert", ME, 0, 1, A), did("insert", ME, 2, 3, VmapArea(0x9000, 0xA000))])
    assert list(history.areas()) == [A, B, VmapArea(0x9000, 0xA000)]
    history.extend([did("unlink", ME, 4, 5, B)])
    assert list(history.areas()) == [A, VmapArea(0x9000, 0xA000)]


def test_memory_does_not_grow_with_operations() -> None:
    """What came and went long ago is forgotten: two areas at a time, in 4,000 chunks, though a CPU left early."""
    left_early = 2
    history = History([ME, OTHER, left_early])
    history.left(left_early)
    history.extend([did("find_miss", left_early, 0, 1, None, 0)])
    sizes = set()
    for chunk in range(4000):
        now_ns = chunk * 100
        start = 0x1000 * chunk
        one, two = VmapArea(start, start + 0x800), VmapArea(start + 0x800, start + 0x1000)
        history.extend(
            [
                did("insert", ME, now_ns, now_ns + 10, one),
                did("find", OTHER, now_ns + 11, now_ns + 12, two, start + 0x800),
                did("unlink", OTHER, now_ns + 13, now_ns + 14, two, two.va_start),
                did("insert_batch", ME, now_ns + 11, now_ns + 20, (two,)),
                did("find_miss", ME, now_ns + 21, now_ns + 22, None, start),
                did("unlink", OTHER, now_ns + 22, now_ns + 30, one, start),
            ]
        )
        surroundings = history._surroundings
        assert surroundings is not None
        sizes.add(
            (
                len(history._there),
                len(history._lives),
                len(history._unsettled),
                len(history._doubtful),
                len(surroundings._buckets),
                len(surroundings._long),
            )
        )
    assert history.exceptions == 0
    assert max(map(max, sizes)) <= 4


# -- addresses that are used again ----------------------------------------------------------------

WIDER = VmapArea(0x1000, 0x8000)
"""Another area with the same start as A."""


def test_a_start_can_be_used_again_before_the_removal_is_acknowledged() -> None:
    """A far CPU's free returns after a near CPU has long inserted there again: nobody lied."""
    history = (
        did("insert", ME, 120, 160, WIDER),
        did("find", ME, 161, 170, WIDER),
        did("unlink", OTHER, 50, 200, A),
        did("find", ME, 201, 210, WIDER),
    )
    assert judged(*history, preload=[A]) is None


def test_a_slow_lookup_may_have_seen_what_two_others_have_replaced() -> None:
    """A was there when the find began; WIDER came and went since."""
    history = (
        did("unlink", OTHER, 0, 100, A),
        did("insert", OTHER, 110, 150, WIDER),
        did("unlink", OTHER, 160, 200, WIDER),
        did("find", ME, 50, 300, A),
    )
    assert judged(*history, preload=[A]) is None


def test_a_removal_cannot_be_over_before_its_insertion_began() -> None:
    """An unlink answered with an area that somebody inserted only later; the insertion itself is fine."""
    removal, insertion = did("unlink", ME, 10, 100, A), did("insert", OTHER, 200, 300, A)
    assert judged(removal, insertion, did("find", ME, 310, 320, A)) == (
        "unlink of 0x1000 by cpu 0 at 10-100 ns gave [0x1000, 0x4000), which was not there"
    )


def test_a_removal_must_contain_the_address_asked_for() -> None:
    """`unlink` of one address gave an area elsewhere."""
    assert judged(did("unlink", ME, 5, 9, A, 0x9000), preload=[A]) == (
        "unlink of 0x9000 by cpu 0 at 5-9 ns gave [0x1000, 0x4000), which does not contain it"
    )


def test_an_area_that_is_there_cannot_be_inserted() -> None:
    """Twice inserted and once taken out leaves one, yet between the insertions and the removal there were two."""
    twice = did("insert", ME, 10, 20, A), did("insert", OTHER, 30, 40, A)
    assert judged(*twice, did("unlink", ME, 50, 60, A)) == "[0x1000, 0x4000) was inserted where it was"


def test_what_is_not_there_when_nothing_happens_is_not_there_at_all() -> None:
    """Taken out twice and inserted once more, an area is there less than once: no find can see it."""
    history = History([ME, OTHER])
    history.preload([A])
    history.extend([did("unlink", ME, 5, 9, A), did("unlink", OTHER, 5, 9, A), did("find_miss", ME, 10, 11, None)])
    history.extend([did("find_miss", OTHER, 10, 12, None), did("find", ME, 20, 30, A)])
    history.finish()
    assert history.exceptions == 2


def test_operations_that_take_no_time_are_in_any_order() -> None:
    """In one nanosecond nobody can tell which of two came first, and nothing rests between them."""
    came_and_went = did("insert", ME, 5, 5, A), did("unlink", ME, 5, 5, A)
    assert judged(*came_and_went, did("find_miss", OTHER, 6, 7, None)) is None
    assert judged(*reversed(came_and_went), did("find_miss", OTHER, 6, 7, None)) is None


def test_a_cpu_sees_what_it_inserted_in_the_same_nanosecond() -> None:
    """The same CPU's find begins when its insertion ends, and after it; another CPU's may have been earlier."""
    insertion = did("insert", ME, 10, 20, A)
    assert judged(insertion, did("find_miss", ME, 20, 30, None, 0x1000)) is not None
    assert judged(insertion, did("find_miss", OTHER, 20, 30, None, 0x1000)) is None


# -- random histories -----------------------------------------------------------------------------

SIZES = (0x1000, 0x3000, 0xF_F000, 0x10_0000, 0x20_0000)
SLOTS = [
    VmapArea(start, start + size)
    for number, size in enumerate(SIZES)
    for start in [(number + 1) * 0x100_0000 + 0xF000]
]
"""Areas that may come and go once, each."""


@define
class Draft:
    """An operation as drawn: after `gap_ns` it takes `length_ns` and does `what` to a slot or two."""

    gap_ns: int
    length_ns: int
    what: str
    slot: int
    page: int

    def addr(self) -> int:
        """An address in the slot's area, or just beside it."""
        area = SLOTS[self.slot]
        return (area.va_start, area.va_end - 1, (area.va_start + area.va_end) // 2, area.va_end)[self.page]


drafts = st.builds(
    Draft,
    gap_ns=st.integers(0, 6),
    length_ns=st.integers(0, 12),
    what=st.sampled_from(["insert", "insert_batch", "find", "find", "miss", "miss", "unlink", "free", "none"]),
    slot=st.integers(0, len(SLOTS) - 1),
    page=st.integers(0, 3),
)


@define
class Written:
    """Drafts as completed operations, in the order in which they ended."""

    preload: list[VmapArea]
    operations: list[Completed]


def written(preloaded: set[int], cpus: list[list[Draft]]) -> Written:
    """Make a history that may be full of lies, but keeps to some order.

    No area is inserted again before as many removals of it have ended; what would be becomes a miss.
    """
    timed = []
    for cpu, program in enumerate(cpus):
        now_ns = 0
        for draft in program:
            begin_ns = now_ns + draft.gap_ns
            now_ns = begin_ns + draft.length_ns
            timed.append((now_ns, cpu, begin_ns, draft))
    timed.sort(key=lambda one: one[0])
    there = dict.fromkeys(range(len(SLOTS)), 0) | dict.fromkeys(preloaded, 1)
    operations = []
    for end_ns, cpu, begin_ns, draft in timed:
        slot, area = draft.slot, SLOTS[draft.slot]
        name, answer, addr = draft.what, area, draft.addr()
        if name in ("insert", "insert_batch") and there[slot] > 0:
            name = "miss"
        elif name in ("insert", "insert_batch"):
            there[slot] += 1
        elif name in ("unlink", "free") and there[slot] > 0:
            there[slot] -= 1
            addr = area.va_start
        given = {"miss": None, "none": None, "insert_batch": (answer,)}.get(name, answer)
        name = {"miss": "find_miss", "none": "unlink"}.get(name, name)
        operations.append(did(name, cpu, begin_ns, end_ns, given, addr))
    return Written([SLOTS[slot] for slot in sorted(preloaded)], operations)


@given(
    preloaded=st.sets(st.integers(0, len(SLOTS) - 1), max_size=3),
    cpus=st.lists(st.lists(drafts, max_size=12), min_size=1, max_size=3),
    chunk=st.integers(1, 40),
)
@settings(max_examples=300, deadline=None)
def test_random_histories_are_judged_as_by_the_slow_twin(
    preloaded: set[int], cpus: list[list[Draft]], chunk: int
) -> None:
    """However they are cut into chunks, as many answers are exceptions as when all windows are compared."""
    history = written(preloaded, cpus)
    fast, slow = History(range(len(cpus))), SlowHistory()
    fast.preload(history.preload)
    slow.preload(history.preload)
    for first in range(0, len(history.operations), chunk):
        operations = history.operations[first : first + chunk]
        fast.extend(operations)
        slow.extend(operations)
    fast.finish()
    event(f"{min(3, fast.exceptions)} exceptions")
    wrong, wrong_removals = slow.judge()
    assert (fast.exceptions == 0) == (wrong == 0)
    # Once somebody has taken out what was not there, how much else is wrong depends on whom one believes.
    assert fast.exceptions == wrong or wrong_removals
    assert fast.exceptions == 0 or fast.first_exception is not None


# -- vmalloc's operations ---------------------------------------------------------------------------


@pytest.mark.parametrize("inserting", ["alloc", "vm_map_ram", "new_vmap_block"])
@pytest.mark.parametrize("removing", ["free", "vm_unmap_ram", "free_vmap_block"])
def test_each_insertion_of_vmalloc_is_undone_by_each_removal(inserting: str, removing: str) -> None:
    """Found in between, gone after."""
    there = did(inserting, ME, 1, 5, A), did("find", OTHER, 6, 7, A)
    assert judged(*there, did(removing, ME, 8, 9, A), did("find_miss", OTHER, 10, 11, None)) is None
    told = judged(*there, did(removing, ME, 8, 9, A), did("find", OTHER, 10, 11, A))
    assert told == "find of 0x1000 by cpu 1 at 10-11 ns gave [0x1000, 0x4000), which was not there"


def test_the_areas_of_a_percpu_chunk_come_and_go_one_by_one() -> None:
    came = did("pcpu_get_vm_areas", ME, 1, 5, (A, B))
    assert (
        judged(came, did("pcpu_free_vm_areas", ME, 8, 9, (A, B)), did("find_miss", OTHER, 10, 11, None, 0x8000))
        is None
    )
    told = judged(came, did("pcpu_free_vm_areas", ME, 8, 9, (A,)), did("find_miss", OTHER, 10, 11, None, 0x8000))
    assert told is not None
    assert "found nothing, but [0x8000, 0x9000) was there all the time" in told


def test_a_kworker_says_nothing_about_how_far_its_cpu_has_come() -> None:
    """It ends at 50 ns on the CPU of an allocation that is still under way then, and that another CPU has seen."""
    history = History([ME, OTHER])
    history.extend([did("find", OTHER, 20, 30, A), did("drain_vmap_area_work", ME, 10, 50, None)])
    history.extend([did("find_miss", OTHER, 60, 70, None, 0x8000)])
    assert history.exceptions == 0
    history.extend([did("alloc", ME, 5, 80, A)])
    history.finish()
    assert history.exceptions == 0
