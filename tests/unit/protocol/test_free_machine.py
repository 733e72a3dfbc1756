"""The free-space machine: replies, refusals and work; placement itself is held by test_free_space.py."""

from typing import get_args

import pytest

from protocol.area import PAGE_SIZE, ULONG_MAX, VMALLOC_END, VMALLOC_START, VmapArea
from protocol.free_machine import LOCK, SPACE, FreeSpaceMachine
from protocol.messages import (
    Allocate,
    Allocated,
    AllocatePercpu,
    Areas,
    FreeSpaceRequest,
    FreeStatistics,
    GetFreeStatistics,
    ListFree,
    NotFound,
    Refused,
    Release,
    Released,
    ReleaseMany,
    Reply,
)
from protocol.work import Work

PAGES = 4 * PAGE_SIZE
FIRST = VmapArea(VMALLOC_START, VMALLOC_START + PAGES)
ALLOCATE = Allocate(PAGES, PAGE_SIZE, VMALLOC_START, VMALLOC_END)
TOTAL = ULONG_MAX - 1


def counts(work: Work) -> tuple[str, int, int]:
    return work.lock, work.visited, work.moved


@pytest.fixture
def machine() -> FreeSpaceMachine:
    """Make a machine from which `FIRST` was taken: two free ranges are left, below and above it."""
    made = FreeSpaceMachine()
    assert made.handle(ALLOCATE)[0] == Allocated(FIRST)
    return made


def test_at_first_the_whole_kernel_space_is_one_free_range() -> None:
    assert SPACE == (1, 2**64 - 1)
    machine = FreeSpaceMachine()
    assert machine.statistics() == FreeStatistics(ranges=1, bytes_free=TOTAL, largest=TOTAL, requests=0)
    machine._check()


def test_allocations_are_the_lowest_of_the_window_one_above_the_other() -> None:
    machine = FreeSpaceMachine()
    got = [machine.handle(ALLOCATE)[0] for _ in range(3)]
    assert got == [
        Allocated(VmapArea(VMALLOC_START + index * PAGES, VMALLOC_START + (index + 1) * PAGES))
        for index in range(3)
    ]
    machine._check()


def test_a_released_range_is_the_next_to_be_taken(machine: FreeSpaceMachine) -> None:
    machine.handle(ALLOCATE)
    assert machine.handle(Release(FIRST))[0] == Released()
    assert machine.handle(ALLOCATE)[0] == Allocated(FIRST)


def test_alignment_is_kept(machine: FreeSpaceMachine) -> None:
    huge = 1 << 21
    reply, _ = machine.handle(Allocate(PAGES, huge, VMALLOC_START, VMALLOC_END))
    assert reply == Allocated(VmapArea(VMALLOC_START + huge, VMALLOC_START + huge + PAGES))


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(Allocate(PAGES, PAGE_SIZE, FIRST.va_start, FIRST.va_end), id="the window is taken"),
        pytest.param(Allocate(2, 1, VMALLOC_END, VMALLOC_END + 1), id="the window is too small"),
        pytest.param(Allocate(1, 1, VMALLOC_END, VMALLOC_END), id="the window is empty"),
        pytest.param(Allocate(TOTAL, 1, 1, ULONG_MAX), id="no range is as large"),
        pytest.param(Allocate(1, 1, ULONG_MAX, ULONG_MAX + 1), id="the window is above the space"),
        pytest.param(Allocate(1, 1, 0, 1), id="the window is below the space"),
    ],
)
def test_no_room_is_an_answer_and_changes_nothing(machine: FreeSpaceMachine, request_: Allocate) -> None:
    before = list(machine.space)
    assert machine.handle(request_)[0] == NotFound()
    assert list(machine.space) == before


BAD: list[tuple[Allocate | Release, str, str]] = [
    (Allocate(0, PAGE_SIZE, 1, 100), "bad-range", "size 0 with align 4096"),
    (Allocate(-1, PAGE_SIZE, 1, 100), "bad-range", "size -1 with align 4096"),
    (Allocate(8, 0, 1, 100), "bad-range", "size 8 with align 0"),
    (Allocate(8, -8, 1, 100), "bad-range", "size 8 with align -8"),
    (Allocate(8, 3, 1, 100), "bad-range", "size 8 with align 3"),
    (Allocate(8, 4097, 1, 100), "bad-range", "size 8 with align 4097"),
    (Allocate(8, 8, 100, 99), "bad-range", "vstart 0x64 above vend 0x63"),
    (Release(VmapArea(FIRST.va_end, FIRST.va_end + 1)), "overlap", "double free"),
    (Release(VmapArea(FIRST.va_start - 1, FIRST.va_end)), "overlap", "double free"),
    (Release(VmapArea(0, FIRST.va_end)), "bad-range", "outside the space"),
    (Release(VmapArea(FIRST.va_start, ULONG_MAX + 1)), "bad-range", "outside the space"),
    (Release(VmapArea(FIRST.va_start, FIRST.va_start)), "bad-range", "empty"),
]


@pytest.mark.parametrize(("request_", "reason", "detail"), BAD, ids=lambda x: str(x))
def test_a_request_that_cannot_be_served_is_refused_and_changes_nothing(
    machine: FreeSpaceMachine, request_: Allocate | Release, reason: str, detail: str
) -> None:
    before = list(machine.space)
    reply, work = machine.handle(request_)
    assert isinstance(reply, Refused)
    assert reply.reason == reason
    assert detail in reply.detail
    assert counts(work) == (LOCK, 2, 1)
    assert list(machine.space) == before
    machine._check()


def test_a_second_release_is_refused_naming_both_ranges(machine: FreeSpaceMachine) -> None:
    assert machine.handle(Release(FIRST))[0] == Released()
    reply, _ = machine.handle(Release(FIRST))
    whole = VmapArea(*SPACE)
    assert reply == Refused("overlap", f"double free: {FIRST} overlaps the free range {whole}")
    assert list(machine.space) == [whole]


def test_work_counts_areas_that_become_free_together(machine: FreeSpaceMachine) -> None:
    """One alone is as if it was released by itself."""
    pages = [VmapArea(start, start + PAGE_SIZE) for start in range(VMALLOC_START, VMALLOC_START + PAGES, PAGE_SIZE)]
    works = [machine.handle(ReleaseMany(tuple(areas)))[1] for areas in (pages[:1], pages[1:])]
    assert [(work.moved, work.released) for work in works] == [(1, 0), (3, 3)]


def test_work_counts_the_ranges_at_the_start_of_service() -> None:
    """The tree of free ranges is searched as it is found: one range, then two, three, four, three."""
    machine = FreeSpaceMachine()
    window = (VMALLOC_START, VMALLOC_END)
    requests: list[FreeSpaceRequest] = [
        Allocate(PAGE_SIZE, 2 * PAGE_SIZE, *window),
        Allocate(PAGE_SIZE, 2 * PAGE_SIZE, *window),
        Allocate(PAGE_SIZE, 2 * PAGE_SIZE, *window),
        Release(VmapArea(VMALLOC_START, VMALLOC_START + PAGE_SIZE)),
        ReleaseMany((VmapArea(VMALLOC_START + 2 * PAGE_SIZE, VMALLOC_START + 3 * PAGE_SIZE),)),
        AllocatePercpu((0, 2 * PAGE_SIZE), (PAGE_SIZE, PAGE_SIZE), PAGE_SIZE, *window),
        GetFreeStatistics(),
        ListFree(0, 10),
    ]
    replies = [machine.handle(request) for request in requests]
    visited_moved = [(1, 1), (2, 1), (2, 1), (3, 1), (2, 1), (2, 2), (3, 1), (3, 4)]
    assert [counts(work) for _, work in replies] == [("free", visited, moved) for visited, moved in visited_moved]
    assert [type(reply) for reply, _ in replies] == [
        Allocated,
        Allocated,
        Allocated,
        Released,
        Released,
        Areas,
        FreeStatistics,
        Areas,
    ]
    assert {type(request) for request in requests} == set(get_args(FreeSpaceRequest))


def test_statistics_count_every_request_whatever_came_of_it(machine: FreeSpaceMachine) -> None:
    replies: list[Reply] = [machine.handle(request)[0] for request, _, _ in BAD]
    assert all(isinstance(reply, Refused) for reply in replies)
    reply, _ = machine.handle(GetFreeStatistics())
    above = ULONG_MAX - FIRST.va_end
    below = VMALLOC_START - 1
    assert below > above
    assert reply == FreeStatistics(ranges=2, bytes_free=above + below, largest=below, requests=1 + len(BAD) + 1)
    assert machine.statistics() == reply


def test_check_looks_at_the_free_space(machine: FreeSpaceMachine) -> None:
    """The other tests lean on `_check()`, so it must be able to fail."""
    machine._check()
    machine.space._bytes_free += 1
    with pytest.raises(AssertionError):
        machine._check()
