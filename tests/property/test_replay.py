"""Laws of replay: which sets a purge can have taken, and that going back leads where one was."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.area import VMALLOC_END, VMALLOC_START
from sim.replay import Outcome, replay
from sim.replay.purges import Candidate, Known, _prefixes, choices
from sim.replay.ranges import vmalloc_range_of
from sim.replay.recording import recording_of
from sim.replay.state import FreeRanges
from sim.traces.events import AllocEvent, FreeEvent, PurgeEvent, TraceEvent
from sim.traces.read import Trace, read_trace

DATA = Path(__file__).parents[1] / "data"
PAGE = 4096
nodes_of_frees = st.lists(st.integers(0, 3), max_size=7)


@given(nodes_of_frees, st.data())
def test_a_purge_took_a_prefix_of_each_node_and_no_less_of_higher_ones(
    nodes: list[int], data: st.DataObject
) -> None:
    """The sets given are exactly those for which instants exist, one per node, ascending; each is given once."""
    wanted = data.draw(st.integers(0, len(nodes)))
    cuts = [cut for cut in product(range(len(nodes) + 1), repeat=4) if list(cut) == sorted(cut)]
    possible = {tuple(p for p, node in enumerate(nodes) if p < cut[node]) for cut in cuts}
    given_ = list(_prefixes(nodes, wanted))
    assert len(given_) == len(set(given_))
    assert set(given_) == {chosen for chosen in possible if len(chosen) == wanted}


@given(nodes_of_frees, st.data())
def test_what_is_known_of_a_purge_is_true_of_the_sets(nodes: list[int], data: st.DataObject) -> None:
    """With areas known to be taken or spared, the sets given are those of all sets that agree."""
    candidates = [Candidate(index, node, index * PAGE, 1) for index, node in enumerate(nodes)]
    wanted = data.draw(st.integers(0, max(0, len(nodes) - 1)))
    everything = (0, 2**64)
    if len(nodes) <= wanted:
        return
    taken = frozenset(data.draw(st.sets(st.sampled_from([one.va_start for one in candidates]), max_size=2)))
    spared = frozenset(data.draw(st.sets(st.sampled_from([one.va_start for one in candidates]), max_size=2)))
    every = set(choices(candidates, Known(wanted, everything)))
    agreeing = {
        chosen
        for chosen in every
        if taken <= {index * PAGE for index in chosen} and spared.isdisjoint({index * PAGE for index in chosen})
    }
    given_ = set(choices(candidates, Known(wanted, everything, None, taken, spared)))
    assert given_ == agreeing


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.booleans()), max_size=60))
def test_rolling_back_restores_the_free_space_and_the_shape_of_its_tree(
    steps: list[tuple[int, bool, bool]],
) -> None:
    """At each mark the free space is kept beside; rolled back, it is the same to the last link."""
    free = FreeRanges()
    taken: list[tuple[int, int]] = []
    marks: list[tuple[int, object, list[tuple[int, int]]]] = []
    for pages, release, marking in steps:
        if marking:
            marks.append((free.mark(), shape(free), taken.copy()))
        if release and taken:
            va_start, va_end = taken.pop(pages % len(taken))
            free.release(va_start, va_end)
        else:
            addr = free.space.peek(pages * PAGE, PAGE, VMALLOC_START, VMALLOC_END)
            assert addr is not None
            free.take(addr, addr + pages * PAGE)
            taken.append((addr, addr + pages * PAGE))
    for mark, before, _taken in reversed(marks):
        free.rollback(mark)
        assert shape(free) == before
        free.space._check()


def shape(free: FreeRanges) -> object:
    """Give the tree as nested tuples: ranges and colours where they hang."""
    tree = free.space._tree

    def below(node: int) -> object:
        if not node:
            return None
        own = (tree.va_start[node], tree.va_end[node], tree._red[node])
        return (own, below(tree.left[node]), below(tree.right[node]))

    return below(tree.root)


events = st.one_of(
    st.tuples(st.just("alloc"), st.integers(0, 40), st.integers(1, 6), st.integers(0, 1), st.integers(1, 3)),
    st.tuples(st.just("aligned"), st.integers(0, 10), st.integers(1, 6), st.integers(0, 1), st.integers(1, 3)),
    st.tuples(st.just("free"), st.integers(0, 40), st.integers(0, 40), st.integers(0, 1), st.integers(1, 3)),
    st.tuples(st.just("fails"), st.integers(0, 40), st.integers(1, 6), st.integers(0, 1), st.integers(1, 3)),
    st.tuples(st.just("purge"), st.integers(0, 6), st.just(0), st.integers(0, 1), st.integers(1, 4)),
)


def printed(lines: list[tuple[str, int, int, int, int]]) -> Trace:
    """Make a trace of drawn lines."""
    made: list[TraceEvent] = []
    for number, (kind, a, b, cpu, pid) in enumerate(lines, start=1):
        head = (number, cpu, "task", pid, number * 1000)
        page = VMALLOC_START + a * PAGE
        match kind:
            case "alloc":
                made.append(AllocEvent(*head, page, b * PAGE, 1, VMALLOC_START, VMALLOC_END, False))
            case "aligned":
                start = VMALLOC_START + 4 * a * PAGE
                made.append(AllocEvent(*head, start, b * PAGE, 4 * PAGE, VMALLOC_START, VMALLOC_END, False))
            case "fails":
                made.append(AllocEvent(*head, 0, b * PAGE, 2**45, VMALLOC_START, VMALLOC_END, True))
            case "free":
                made.append(FreeEvent(*head, page, b, 16384))
            case _:
                made.append(PurgeEvent(*head, 0, 2**64 - 1, a))
    return Trace(events=made, cpus=2)


@given(st.lists(events, max_size=40), st.sampled_from(["6.8", "6.10", "6.16"]))
def test_any_trace_can_be_replayed_and_no_address_is_lost(
    lines: list[tuple[str, int, int, int, int]], kernel: str
) -> None:
    """Whatever was printed, or lost, or made up: every allocation is counted once, every address has one owner."""
    trace = printed(lines)
    outcome = replay(trace, kernel, 2)
    made = sum(isinstance(event, AllocEvent) and not event.failed for event in trace.events)
    assert outcome.replayed.allocations == made
    conserved = outcome.final.conserved()
    assert conserved.ok, conserved.first


sizes = st.one_of(
    st.integers(1, 40),  # around the 16 pages of the smallest buckets
    st.integers(200, 300),  # around the 256 pages of the next
    st.integers(0, 32).map(lambda bits: 2**bits),
)
ranges = st.tuples(st.one_of(st.integers(0, 600), st.sampled_from([2**12, 2**20, 2**31])), sizes)


@given(st.lists(ranges, max_size=30), st.lists(ranges, min_size=1, max_size=4), st.data())
def test_allocations_over_a_range_are_those_that_touch_it(
    printed_areas: list[tuple[int, int]], asked: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Of a page or of 16 TiB, within any lines: what looking at each line would find, and the first of it."""
    areas = [(VMALLOC_START + page * PAGE, pages * PAGE) for page, pages in printed_areas]
    made: list[TraceEvent] = [
        AllocEvent(line, 0, "task", 1, line, va_start, size, 1, VMALLOC_START, VMALLOC_END, False)
        for line, (va_start, size) in enumerate(areas)
    ]
    recording = recording_of(Trace(events=made, cpus=1), vmalloc_range_of(made))
    for page, pages in asked:
        low, high = VMALLOC_START + page * PAGE, VMALLOC_START + (page + pages) * PAGE
        after, until = data.draw(st.integers(-1, 30)), data.draw(st.integers(0, 31))
        touching = {at for at, (start, size) in enumerate(areas) if start < high and low < start + size}
        assert set(recording.allocations_over(low, high, after, until)) == {
            at for at in touching if after < at < until
        }
        assert recording.next_over(low, high, after) == min((at for at in touching if at > after), default=None)


def searching_everywhere(trace: Trace, kernel: str) -> Outcome:
    """Replay with no allocation thought out of reach of a purge."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sim.replay.search.in_reach", lambda *_: True)
        return replay(trace, kernel, trace.cpus)


@given(st.lists(events, max_size=60), st.sampled_from(["6.10", "6.16"]))
def test_what_is_out_of_reach_cannot_be_found(lines: list[tuple[str, int, int, int, int]], kernel: str) -> None:
    """A purge is gone through in vain where the range is out of reach: the replay is the same."""
    trace = printed(lines)
    assert searching_everywhere(trace, kernel).replayed == replay(trace, kernel, trace.cpus).replayed


def test_what_is_out_of_reach_in_a_real_trace_cannot_be_found() -> None:
    """A machine whose tasks race: some are explained by a purge's phase, some are not."""
    trace = read_trace(DATA / "vn-smp2-mixed.txt.gz")
    pruned = replay(trace, "6.10", trace.cpus).replayed
    assert searching_everywhere(trace, "6.10").replayed == pruned
    assert pruned.counts["purge_phase"], "lines that a purge explains"
    assert pruned.counts["unexplained"], "lines that nothing explains"
