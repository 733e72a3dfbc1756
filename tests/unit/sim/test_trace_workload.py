"""A trace becomes steps: what is taken over, what is left out, and what waits for what."""

from collections import Counter
from pathlib import Path

import pytest

from protocol.area import PAGE_SIZE, VMALLOC_START, VmapArea, ZoneLayout
from sim.errors import BadInput
from sim.scenario.machine import Machine
from sim.scenario.model import Batch, Lookup, Scenario, Space, TraceUse, Workload
from sim.simulation import simulate
from sim.traces.dependencies import Dependencies, Step
from sim.traces.events import AllocEvent, FreeEvent, TraceEvent
from sim.traces.read import Trace, read_trace
from sim.workloads.trace import trace, unroll

CONFIGS = Path(__file__).parents[3] / "configs"
DEB_SMP4 = "traces/deb-smp4.txt.gz"
LINE = "init-1 [000] ..... {seconds}.0: {event}\n"
ALLOC = "alloc_vmap_area: va_start: {start} size=8192 align=1 vstart=0x0 vend=0xffffffffffffffff failed={failed}"
FREE = "free_vmap_area_noflush: va_start={start:#x} nr_lazy=0 nr_lazy_max=0"
PURGE = "purge_vmap_area_lazy: start=0x0 end=0x0 num_purged=0"


def scenario(**use: object) -> Scenario:
    return Scenario(workload=Workload(kind="trace", file="x", trace=TraceUse(**use)))  # type: ignore[arg-type]


def alloc(cpu: int, page: int, pages: int, at_ns: int = 0, *, failed: bool = False) -> AllocEvent:
    start = VMALLOC_START + page * PAGE_SIZE
    return AllocEvent(1, cpu, "task", 1, at_ns, start, pages * PAGE_SIZE, 1, 0, 0, failed)


def free(cpu: int, page: int, at_ns: int = 0) -> FreeEvent:
    return FreeEvent(1, cpu, "task", 1, at_ns, VMALLOC_START + page * PAGE_SIZE, 0, 0)


def steps_of(*events: TraceEvent, **use: object) -> tuple[list[tuple[int, str, int, list[int]]], dict[str, int]]:
    """Unroll events; give CPU, operation, page and the numbers of the steps it comes after, and the facts."""
    steps, facts = unroll(Trace(list(events)), scenario(**{"lookups": 0.0, **use}))
    number = {step: index for index, step in enumerate(steps)}
    return [
        (step.cpu, step.operation, (step.addr - VMALLOC_START) // PAGE_SIZE, sorted(number[s] for s in step.after))
        for step in steps
    ], facts


def test_a_cpu_by_itself_waits_for_nobody() -> None:
    """Allocate, free and allocate again on one CPU: its own order is enough."""
    steps, facts = steps_of(alloc(0, 1, 2), free(0, 1), alloc(0, 1, 2))
    assert steps == [(0, "alloc", 1, []), (0, "free", 1, []), (0, "alloc", 1, [])]
    assert (facts["allocations"], facts["frees"]) == (2, 1)


def test_a_free_elsewhere_comes_after_the_allocation_and_the_next_one_after_the_free() -> None:
    """CPU 1 frees what CPU 0 allocated, CPU 2 takes a part of it, CPU 3 the rest and more."""
    steps, _ = steps_of(alloc(0, 10, 4), free(1, 10), alloc(2, 11, 1), alloc(3, 12, 8))
    assert steps == [(0, "alloc", 10, []), (1, "free", 10, [0]), (2, "alloc", 11, [1]), (3, "alloc", 12, [1])]


def test_what_is_left_of_a_former_occupant_still_counts() -> None:
    """An area was freed, its middle used and freed by another CPU: both ends and the middle have their order."""
    steps, _ = steps_of(alloc(0, 10, 9), free(0, 10), alloc(1, 13, 3), free(2, 13), alloc(3, 10, 9))
    assert steps[2:] == [(1, "alloc", 13, [1]), (2, "free", 13, [2]), (3, "alloc", 10, [1, 3])]


def test_frees_of_unknown_areas_and_failed_allocations_are_left_out_and_counted() -> None:
    """Areas from before the trace, or taken without an event, cannot be freed here."""
    steps, facts = steps_of(free(0, 5), alloc(0, 9, 1, failed=True), alloc(0, 7, 2), free(0, 8))
    assert [step[1] for step in steps] == ["alloc"]
    assert (facts["frees_of_unknown_areas"], facts["failed_allocations"]) == (2, 1)


def test_an_allocation_over_a_live_area_infers_its_free() -> None:
    """The free was lost or is printed later: it is put before the allocation, and counted."""
    steps, facts = steps_of(alloc(0, 10, 4), alloc(0, 16, 1), alloc(1, 12, 5))
    assert [step[:3] for step in steps[2:]] == [(1, "free", 10), (1, "free", 16), (1, "alloc", 12)]
    assert facts["inferred_frees"] == 2


def test_lookups_follow_allocations_by_the_stated_share() -> None:
    """2.5 lookups per allocation, all of them inside the one area that spans zones."""
    events = [alloc(0, 16 * 3 * n, 20) for n in range(400)]
    steps, facts = unroll(Trace(list(events)), scenario(lookups=2.5, interior=1.0))
    assert 950 <= facts["lookups"] <= 1050
    assert Counter(step.operation for step in steps) == {"alloc": 400, "find_interior": facts["lookups"]}
    assert all(step.addr % PAGE_SIZE == 0 and step.area.va_start < step.addr < step.area.va_end
               for step in steps if step.operation == "find_interior")  # fmt: skip


def test_lookups_come_after_the_allocation_and_before_the_free() -> None:
    """CPU 1 and 2 look up what CPU 0 allocated, CPU 1 twice; CPU 0's free waits for the last of each."""
    area = VmapArea(PAGE_SIZE, 3 * PAGE_SIZE)
    dependencies = Dependencies()
    allocated, first, second, third, freed = (
        Step(cpu, operation, area, area.va_start, 0)
        for cpu, operation in ((0, "alloc"), (1, "find"), (1, "find"), (2, "find"), (0, "free"))
    )
    dependencies.allocate(allocated)
    for step in (first, second, third):
        dependencies.look_up(step)
    dependencies.free(freed)
    assert first.after == second.after == third.after == [allocated]
    assert freed.after == [second, third]
    assert [step.awaited for step in (allocated, first, second, third, freed)] == [True, False, True, True, False]


def of_deb_smp4(policy: str = "backward", strategy: str = "grouped", **use: object) -> Scenario:
    return Scenario(
        space=Space(nodes=4),
        machine=Machine(cpus=4),
        lookup=Lookup(policy=policy),
        batch=Batch(strategy=strategy),
        workload=Workload(kind="trace", file=DEB_SMP4, trace=TraceUse(**use)),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("policy", ["forward", "backward"])
def test_lookups_in_a_real_trace_ask_as_many_nodes_as_the_formula_says(policy: str) -> None:
    """End to end: with k zones between address and start, k mod n + 1 backward, (-k) mod n + 1 forward."""
    asked = of_deb_smp4(policy, lookups=0.5, interior=0.5)
    layout = ZoneLayout(4)
    steps, _ = unroll(read_trace(CONFIGS / DEB_SMP4), asked)
    expected: Counter[int] = Counter()
    for step in steps:
        if step.operation.startswith("find"):
            k = step.addr // layout.zone_size - step.area.va_start // layout.zone_size
            expected[(k if policy == "backward" else -k) % 4 + 1] += 1
    outcome = simulate(asked, CONFIGS)
    assert outcome.ok
    found: Counter[int] = Counter()
    for operation, by_probes in outcome.recorder.latencies.by_operation().items():
        if operation.startswith("find"):
            found.update({probes: latency.count for probes, latency in by_probes.items()})
    assert found == expected


@pytest.fixture(scope="module")
def live_at_the_end() -> dict[int, VmapArea]:
    """What is live after the last event of the real trace, by start."""
    live: dict[int, VmapArea] = {}
    for event in read_trace(CONFIGS / DEB_SMP4).events:
        if isinstance(event, AllocEvent):
            live[event.va_start] = VmapArea(event.va_start, event.va_start + event.size)
        elif isinstance(event, FreeEvent):
            live.pop(event.va_start, None)
    return live


@pytest.mark.parametrize("strategy", ["per-area", "coalesced", "grouped", "chunked", "parallel", "global"])
def test_a_real_trace_ends_with_its_live_areas_whatever_the_strategy(
    strategy: str, live_at_the_end: dict[int, VmapArea]
) -> None:
    """134 areas are live at the end of the trace; each is in its home node, and all the rest is free."""
    outcome = simulate(of_deb_smp4(strategy=strategy, batched=True, lookups=0.25), CONFIGS)
    assert outcome.ok
    live = live_at_the_end
    assert list(outcome.recorder.history.areas()) == [live[start] for start in sorted(live)]
    assert sum(node.areas for node in outcome.nodes) == len(live) == 134
    assert outcome.batches.areas == outcome.facts["allocations"] == 16_256


def replayed(tmp_path: Path, *events: str, space: Space | None = None, **use: object) -> Scenario:
    """Write a trace whose times go backwards, a second per event, and a scenario that replays it."""
    lines = [LINE.format(seconds=len(events) - number, event=event) for number, event in enumerate(events)]
    (tmp_path / "trace.txt").write_text("".join(lines))
    workload = Workload(kind="trace", file="trace.txt", trace=TraceUse(**use))  # type: ignore[arg-type]
    return Scenario(space=space or Space(), workload=workload)


def test_a_trace_with_nothing_to_replay_is_refused(tmp_path: Path) -> None:
    """One line counts what there is instead of an allocation."""
    failed = ALLOC.format(start=2**64 - 12, failed=1)
    events = [failed, FREE.format(start=VMALLOC_START), PURGE, failed, PURGE, PURGE]
    with pytest.raises(BadInput) as caught:
        trace(replayed(tmp_path, *events), tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'trace.txt'}: nothing to replay: "
        "found 2 failed allocations, 1 frees of unknown areas, 3 purges; "
        "allowed: at least one successful alloc_vmap_area"
    )


def test_pages_are_those_of_the_traced_kernels(tmp_path: Path) -> None:
    """A trace's addresses are multiples of 4096; nodes of other pages would be another machine."""
    use = replayed(tmp_path, ALLOC.format(start=VMALLOC_START, failed=0), space=Space(page_size=8192))
    with pytest.raises(BadInput, match=r"^space\.page_size: found 8192; allowed: 4096: traces are of kernels"):
        trace(use, tmp_path)


@pytest.mark.parametrize("batched", [False, True])
def test_the_borders_of_the_address_space_can_be_replayed(tmp_path: Path, batched: bool) -> None:
    """What the reader lets through finds its range free, the lowest and the highest, though time goes back."""
    starts = [PAGE_SIZE, 2**64 - 3 * PAGE_SIZE]
    events = [ALLOC.format(start=start, failed=0) for start in starts]
    again = [FREE.format(start=starts[1]), events[1]]
    outcome = simulate(replayed(tmp_path, *events, *again, batched=batched, times="recorded"), tmp_path)
    assert outcome.ok
    assert [area.va_start for area in outcome.recorder.history.areas()] == starts


def test_recorded_times_are_kept() -> None:
    """With times = "recorded" the run takes as long as the trace: 45 s of the recording kernel's clock."""
    events = read_trace(CONFIGS / DEB_SMP4).events
    outcome = simulate(of_deb_smp4(times="recorded", lookups=0.0), CONFIGS)
    assert outcome.ok
    last = max(event.time_ns for event in events if isinstance(event, (AllocEvent, FreeEvent)))
    assert last <= outcome.virtual_ns < last + 10_000
