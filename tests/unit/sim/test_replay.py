"""Replay on traces made by hand: what each way of explaining explains, and what none may explain."""

import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import evolve

from protocol.area import PAGE_SIZE, VMALLOC_END, VMALLOC_START, VmapArea
from sim.errors import BadInput
from sim.replay import Outcome, replay
from sim.replay.ranges import VmallocRange, checked, vmalloc_range_of
from sim.traces.events import AllocEvent, FreeEvent, PurgeEvent, TraceEvent
from sim.traces.read import Trace
from sim.vmallocinfo import UnpurgedLine, VmallocInfoLine, VmStructLine, read_vmallocinfo

ULONG_MAX = 2**64 - 1


class Script:
    """A trace in the making: lines in the order of printing, tasks by pid, pages counted from VMALLOC_START."""

    def __init__(self) -> None:
        self.events: list[TraceEvent] = []

    def alloc(self, page: int, pages: int, *, pid: int = 1, cpu: int = 0, align: int = 1) -> None:
        self.events.append(
            AllocEvent(*self._head(pid, cpu), at(page), pages * PAGE_SIZE, align, VMALLOC_START, VMALLOC_END, False)
        )

    def fails(self, pages: int, *, pid: int = 1, cpu: int = 0) -> None:
        big = 2**45
        self.events.append(
            AllocEvent(*self._head(pid, cpu), 0, pages * PAGE_SIZE, big, VMALLOC_START, VMALLOC_END, True)
        )

    def free(self, page: int, nr_lazy: int, *, pid: int = 1, cpu: int = 0) -> None:
        self.events.append(FreeEvent(*self._head(pid, cpu), at(page), nr_lazy, 16384))

    def purge(self, count: int, *, pid: int = 9, cpu: int = 0) -> None:
        bounds = (0, ULONG_MAX) if count else (ULONG_MAX, 0)
        self.events.append(PurgeEvent(*self._head(pid, cpu), *bounds, count))

    def _head(self, pid: int, cpu: int) -> tuple[int, int, str, int, int]:
        line = len(self.events) + 1
        return line, cpu, "task", pid, line * 1000

    def replay(self, kernel: str = "6.10", cpus: int = 2, initial: Sequence[VmallocInfoLine] = ()) -> Outcome:
        """Replay it; whatever happens, every address has one owner at the end."""
        outcome = replay(Trace(events=self.events, cpus=cpus), kernel, cpus, initial)
        assert outcome.final.conserved().ok, outcome.final.conserved().first
        return outcome


def at(page: int) -> int:
    return VMALLOC_START + page * PAGE_SIZE


def counts(outcome: Outcome) -> dict[str, int]:
    """Give the ways that explained anything."""
    return {how: count for how, count in outcome.replayed.counts.items() if count}


def two_areas_purged() -> Script:
    """Two areas of two pages each, allocated, freed and purged: into a pool, where there are pools."""
    script = Script()
    script.alloc(0, 2)
    script.alloc(2, 2)
    script.free(0, 2)
    script.free(2, 4)
    script.purge(2)
    return script


def test_what_happened_in_the_order_of_its_lines_is_explained_as_printed() -> None:
    """The lowest addresses, then a pool after a purge, head first: the highest address of the purged ones."""
    script = two_areas_purged()
    script.alloc(2, 2)
    script.alloc(0, 2)
    script.alloc(4, 2)
    outcome = script.replay()
    assert counts(outcome) == {"as_printed": 5}
    assert outcome.replayed.pool_hits == 2


def test_a_task_that_printed_late_is_explained_by_another_order() -> None:
    """Task 2 took the lowest pages before task 1 did, and printed after it."""
    script = Script()
    script.alloc(2, 2, pid=1)
    script.alloc(0, 2, pid=2)
    assert counts(script.replay()) == {"reordered": 2}


def test_a_task_cannot_have_come_before_its_own_line() -> None:
    """By one task: it printed the higher address first, so it took it first, and no order explains that."""
    script = Script()
    script.alloc(2, 2, pid=1)
    script.alloc(0, 2, pid=1)
    outcome = script.replay()
    assert outcome.replayed.counts["unexplained"] == 1
    (difference,) = outcome.replayed.differences
    assert (difference.line, difference.expected, difference.actual) == (1, at(0), at(2))


def test_a_task_cannot_have_come_before_what_it_printed_before() -> None:
    """Task 2's earlier line stands after task 1's: its allocation cannot have come before that."""
    script = Script()
    script.alloc(2, 2, pid=1)
    script.alloc(4, 2, pid=2)
    script.alloc(0, 2, pid=2)
    assert script.replay().replayed.counts["unexplained"] >= 1


def test_an_allocation_in_the_middle_of_a_purge_is_explained_by_its_phase() -> None:
    """The area is back in its pool before the purge has printed."""
    script = Script()
    script.alloc(0, 2)
    script.alloc(2, 2)
    script.free(0, 2)
    script.alloc(0, 2)
    script.purge(1)
    assert counts(script.replay()) == {"as_printed": 2, "purge_phase": 1}


def test_a_purge_cannot_have_begun_before_the_line_of_the_one_before() -> None:
    """Two purges: an allocation before the first's line cannot use what only the second takes."""
    script = Script()
    script.alloc(0, 2)
    script.alloc(2, 2)
    script.free(0, 2)
    script.alloc(0, 2)
    script.purge(0, pid=9)
    script.purge(1, pid=9)
    assert script.replay().replayed.counts["unexplained"] == 1


@pytest.mark.parametrize(("kernel", "explained"), [("6.10", True), ("6.16", False)])
def test_small_pools_decay_entirely_before_6_16(kernel: str, explained: bool) -> None:
    """A purge of nothing empties a pool of one area; since 6.16 the area stays, and would be taken again."""
    script = Script()
    script.alloc(0, 2)
    script.alloc(2, 3)
    script.free(0, 2)
    script.purge(1)
    script.purge(0)
    script.alloc(0, 1, pid=2)
    outcome = script.replay(kernel)
    assert (outcome.replayed.counts["unexplained"] == 0) == explained


def test_a_kernel_without_nodes_has_no_pools() -> None:
    """On 6.8 what was purged is free space: the lowest address comes first."""
    script = Script()
    for page in (0, 2):
        script.alloc(page, 2)
    script.free(0, 2)
    script.free(2, 4)
    script.purge(1)
    script.alloc(0, 2)
    outcome = script.replay("6.8")
    assert counts(outcome) == {"as_printed": 3}
    assert len(outcome.final.nodes) == 1


def test_a_purge_after_a_failure_empties_all_pools() -> None:
    """`reclaim_and_purge_vmap_areas` decays fully, and hands nothing to the pools."""
    script = Script()
    script.alloc(0, 2)
    script.free(0, 2)
    script.purge(1)
    script.fails(2)
    script.purge(0, pid=1)
    script.fails(2)
    script.alloc(0, 1)
    outcome = script.replay()
    assert counts(outcome) == {"as_printed": 2}
    assert outcome.replayed.failed == 2


def test_a_misaligned_head_is_rotated_and_missed() -> None:
    """The aligned area behind it is not looked at; the next request finds it."""
    script = Script()
    script.alloc(0, 2)
    script.alloc(2, 2)
    script.alloc(4, 2)
    script.free(0, 2)
    script.free(2, 4)
    script.purge(2)
    script.alloc(8, 2, align=8 * PAGE_SIZE)
    script.alloc(0, 2, align=8 * PAGE_SIZE)
    assert counts(script.replay()) == {"as_printed": 5}


def test_an_area_freed_that_no_line_allocated_is_inferred() -> None:
    """As pcpu_get_vm_areas leaves it: it was taken, so it is not lost when it is purged."""
    script = Script()
    script.alloc(0, 2)
    script.free(1 << 30, 16)
    script.purge(1)
    script.alloc(2, 2)
    outcome = script.replay()
    assert [event.line for event in outcome.replayed.inferred] == [2]
    assert "16 pages" in outcome.replayed.inferred[0].what


def test_an_area_whose_allocation_was_never_printed_is_inferred_once() -> None:
    """The kernel skips a range for good; the allocation that shows it is counted apart, the later ones are not."""
    script = Script()
    script.alloc(0, 5)
    script.alloc(10, 5)
    script.alloc(15, 5)
    outcome = script.replay()
    assert counts(outcome) == {"as_printed": 2, "inferred": 1}


def test_another_cpus_pool_is_inferred() -> None:
    """The task asked CPU 1's pool and was moved to CPU 0 before it printed."""
    script = Script()
    script.alloc(0, 2, cpu=1)
    script.alloc(2, 2, cpu=0)
    script.free(0, 2)
    script.purge(1)
    script.alloc(0, 2, cpu=0)
    outcome = script.replay()
    assert counts(outcome) == {"as_printed": 2, "inferred": 1}
    assert "CPU 1" in outcome.replayed.inferred[0].what


def test_one_difference_breeds_no_others() -> None:
    """After an address from nowhere the state is the kernel's: what follows is explained."""
    script = Script()
    script.alloc(0, 2)
    script.alloc(100, 2)
    script.alloc(2, 2)
    script.alloc(4, 2)
    outcome = script.replay()
    assert outcome.replayed.counts["unexplained"] == 1
    assert outcome.replayed.counts["as_printed"] == 3


def test_what_was_there_before_the_recording_is_not_free() -> None:
    """Busy areas stay; unpurged ones are lazy, and free after a purge."""
    initial: list[VmallocInfoLine] = [
        VmStructLine(VmapArea(at(0), at(4))),
        UnpurgedLine(VmapArea(at(4), at(6))),
    ]
    script = Script()
    script.alloc(6, 2)
    script.purge(1)
    script.alloc(4, 1)
    script.free(0, 4)
    outcome = script.replay(initial=initial)
    assert counts(outcome) == {"as_printed": 2}
    assert [area.va_start for node in outcome.final.nodes for area in node.lazy] == [at(0)]


def test_a_real_machines_vmallocinfo_can_be_the_initial_state() -> None:
    """All areas of a real file find their places, and the lowest free one is the file's first gap."""
    records = read_vmallocinfo(Path(__file__).parents[2] / "data" / "vn-smp2-mixed-vmallocinfo-after.txt.gz")
    script = Script()
    script.alloc(1 << 20, 1, align=2**32)
    outcome = script.replay(initial=records)
    held = {area.va_start for node in outcome.final.nodes for area in (*node.busy, *node.lazy)}
    assert {record.area.va_start for record in records} <= held


def test_an_area_takes_the_memory_of_a_line_whatever_its_size() -> None:
    """64 GiB in one line, asked for again while a purge may have it: some kilobytes, not some per 64 KiB."""
    script = Script()
    script.alloc(0, 1 << 24)
    script.alloc(1 << 24, 2)
    script.free(0, 1 << 24)
    script.alloc(1 << 25, 2, pid=2)
    script.purge(1)
    script.alloc(0, 1 << 24, pid=3)
    tracemalloc.start()
    outcome = script.replay()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcome.replayed.allocations == 4
    assert peak < 2_000_000


MODULES = (0xFFFF_FFFF_C000_0000, 0xFFFF_FFFF_FF00_0000)
VMALLOC = (VMALLOC_START, VMALLOC_END)
IO = (VMALLOC_START + 2**50, VMALLOC_END + 2**50)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param([VMALLOC, VMALLOC, MODULES], VmallocRange(*VMALLOC, 2, 3), id="the widest"),
        pytest.param(
            [MODULES] * 9 + [VMALLOC], VmallocRange(*VMALLOC, 1, 10), id="the widest, though of few lines"
        ),
        pytest.param([IO, VMALLOC, IO], VmallocRange(*IO, 2, 3), id="of equally wide ones that of the most lines"),
        pytest.param([IO, VMALLOC], VmallocRange(*VMALLOC, 1, 2), id="of these the lowest, whatever the order"),
        pytest.param([MODULES], VmallocRange(*MODULES, 1, 1), id="the only one"),
        pytest.param([], VmallocRange(*VMALLOC, 0, 0), id="x86_64's, where no line has one"),
    ],
)
def test_where_vmallocs_addresses_are_is_seen_in_the_lines(
    asked: list[tuple[int, int]], found: VmallocRange
) -> None:
    """Whatever else asks for a range of its own; failed allocations count, frees do not say anything."""
    script = Script()
    for page, (vstart, vend) in enumerate(asked):
        script.alloc(page, 1)
        script.free(page, 1)
        allocation = script.events[-2]
        assert isinstance(allocation, AllocEvent)
        script.events[-2] = evolve(allocation, vstart=vstart, vend=vend, failed=page % 2 == 0)
    assert vmalloc_range_of(script.events) == found
    assert vmalloc_range_of(script.events, (1, 2)) == VmallocRange(1, 2, 0, len(asked))


def test_pools_serve_the_range_that_is_vmallocs() -> None:
    """Two areas are purged into a pool; who says that vmalloc's range is another finds them in the free space."""
    script = two_areas_purged()
    script.alloc(2, 2)
    trace = Trace(events=script.events, cpus=2)
    assert counts(replay(trace, "6.10")) == {"as_printed": 3}
    elsewhere = replay(trace, "6.10", vmalloc_range=MODULES)
    assert counts(elsewhere) == {"as_printed": 2, "inferred": 1}
    assert f"2 pages at {at(0):#x}" in elsewhere.replayed.inferred[0].what


@pytest.mark.parametrize("limits", [(2, 1), (1, 1), (-1, 1), (0, 2**64)])
def test_a_range_that_cannot_be_is_refused(limits: tuple[int, int]) -> None:
    """It begins before it ends, within 64 bits."""
    with pytest.raises(BadInput, match=r"^here: found -?0x[0-9a-f]+:0x[0-9a-f]+; allowed: START below END"):
        checked("here", *limits)
