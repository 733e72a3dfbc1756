"""Timelines of flows: parts lie in their operations, kworkers beside clients, every arrow has two ends."""

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from sim.results import results_of
from sim.scenario.file import structure
from sim.simulation import simulate
from sim.timeline.nesting import Slice, lanes_of, put
from sim.timeline.perfetto import to_perfetto
from sim.timeline.recording import Grant, Operation, Timeline

HERE = Path(__file__).parent

FLOWS: dict[str, dict[str, Any]] = {
    "an allocation in two steps": {
        "space": {"kernel": "6.8"},
        "machine": {"cpus": 4},
        "workload": {"kind": "vmalloc", "operations": 1500, "preload_areas": 50},
    },
    "a notifier that frees": {
        "machine": {"cpus": 4},
        "workload": {
            "kind": "vmalloc",
            "operations": 3000,
            "preload_areas": 20,
            "vmalloc": {"window_pages": 6000, "held_areas": 40, "cached_areas": 60},
        },
    },
    "kworkers": {
        "space": {"kernel": "7.1"},
        "machine": {"cpus": 4},
        "workload": {
            "kind": "test_vmalloc",
            "test_vmalloc": {
                "run_test_mask": 5,
                "nr_threads": 4,
                "test_loop_count": 3,
                "scale": 100,
                "lazy_scale": 100,
            },
        },
    },
}

PARTS = {"setup_vmalloc_vm", "free_vmap_block"}
"""What is always a part of something else."""


@define
class Stretch:
    """A slice of a trace, and the slices around it, the outermost first."""

    track: str
    name: str
    begin_ns: int
    end_ns: int
    around: "list[Stretch]"
    flows: tuple[int, ...]


def stretches_of(text: bytes) -> list[Stretch]:
    """Read the slices of a trace in the order in which they begin; what is around one must reach as far as it."""
    trace = Trace()
    trace.ParseFromString(text)
    names: dict[int, str] = {}
    stacks: defaultdict[str, list[Stretch]] = defaultdict(list)
    stretches = []
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            names[packet.track_descriptor.uuid] = packet.track_descriptor.name
            continue
        event, time_ns = packet.track_event, packet.timestamp
        track = names[event.track_uuid]
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            new = Stretch(track, event.name, time_ns, -1, list(stacks[track]), tuple(event.flow_ids))
            stacks[track].append(new)
            stretches.append(new)
        elif event.type == TrackEvent.TYPE_SLICE_END:
            stacks[track].pop().end_ns = time_ns
    assert not any(stacks.values()), "a slice does not end"
    for one in stretches:
        assert all(outer.begin_ns <= one.begin_ns <= one.end_ns <= outer.end_ns for outer in one.around)
    return stretches


def cpu_of(track: str) -> int:
    return int(track.partition(",")[0].removeprefix("CPU "))


@pytest.fixture(scope="module", params=sorted(FLOWS))
def run(request: pytest.FixtureRequest) -> tuple[str, Timeline, list[Stretch], dict[str, Any]]:
    timeline = Timeline()
    outcome = simulate(structure(FLOWS[request.param], "test"), HERE, timeline=timeline)
    assert timeline.described().startswith("timeline: all ")
    return request.param, timeline, stretches_of(to_perfetto(timeline, "test")), results_of(outcome)


Run = tuple[str, Timeline, list[Stretch], dict[str, Any]]


def test_every_operation_begins_and_ends_as_it_was_recorded(run: Run) -> None:
    """Nobody waits for a CPU where flows are run: not for a part of its own, and not for a kworker."""
    _kind, timeline, stretches, _results = run
    shown = Counter(
        (one.name, cpu_of(one.track), one.begin_ns, one.end_ns)
        for one in stretches
        if one.track.startswith("CPU ") and not one.flows and one.name != "wait"
    )
    assert shown == Counter((one.name, one.cpu, one.begin_ns, one.end_ns) for one in timeline.operations)


def test_parts_lie_in_operations_and_kworkers_in_nothing(run: Run) -> None:
    """A part has an operation of its CPU around it; a kworker's operation has none around or in it."""
    kind, _timeline, stretches, _results = run
    parents = Counter[tuple[str, str]]()
    overlapping = 0
    for one in stretches:
        if not one.track.startswith("CPU ") or one.flows or one.name == "wait":
            continue
        operations = [outer for outer in one.around if not outer.flows]
        assert operations or one.name not in PARTS
        if one.name in {"drain_vmap_area_work", "purge_vmap_node"}:
            assert not operations
            overlapping += "beside" in one.track
        if operations:
            assert operations[-1].name not in {"drain_vmap_area_work", "purge_vmap_node"}
            parents[one.name, operations[-1].name] += 1
    if kind == "an allocation in two steps":
        assert parents["setup_vmalloc_vm", "alloc"] > 400
    elif kind == "a notifier that frees":
        assert parents["free", "alloc_failed"] > 50
    else:
        assert overlapping


def test_every_request_leads_to_its_hold(run: Run) -> None:
    """Every arrow has two ends, a request of the holder's CPU that ends with the hold."""
    _kind, timeline, stretches, _results = run
    requests = {one.flows[0]: one for one in stretches if one.flows and one.track.startswith("CPU ")}
    holds = {one.flows[0]: one for one in stretches if one.flows and not one.track.startswith("CPU ")}
    assert len(requests) == len(holds) == len(timeline.grants)
    assert sum(len(one.flows) for one in stretches) == 2 * len(timeline.grants)
    for flow, hold in holds.items():
        request = requests[flow]
        assert (request.name, request.end_ns) == (hold.track, hold.end_ns)
        assert cpu_of(request.track) == cpu_of(hold.name)


def test_holds_of_a_lock_follow_each_other_and_add_up(run: Run) -> None:
    """The mutex's, too, which is told of when it is let go: its times are those of the run."""
    _kind, timeline, stretches, results = run
    for lock in results["locks"]:
        holds = [one for one in stretches if one.track == lock["name"]]
        assert all(before.end_ns <= after.begin_ns for before, after in pairwise(holds))
        assert sum(one.end_ns - one.begin_ns for one in holds) == lock["hold_ns"]
        own = [grant for grant in timeline.grants if grant.lock == lock["name"]]
        assert sum(grant.start_ns - grant.arrival_ns for grant in own) == lock["wait_ns"]


def operation(name: str, begin_ns: int, end_ns: int, *, part: bool = False) -> Operation:
    return Operation(name, 0, begin_ns, end_ns, 1, 0, part)


def outline(slices: list[Slice]) -> list[Any]:
    return [(one.name, outline(one.inner)) if one.inner else one.name for one in slices]


def test_what_takes_no_time_comes_before_what_begins_then() -> None:
    """It is no part of that, though it lies within it."""
    noted = [operation("vb_free", 5, 5), operation("alloc", 5, 9)]
    assert [outline(lane) for lane in lanes_of(noted, [], {}, in_turn=False)] == [["vb_free", "alloc"]]


def test_only_what_was_recorded_as_a_part_is_one() -> None:
    """A free by another script of the CPU is beside an allocation, not in it."""
    noted = [operation("free", 2, 4, part=True), operation("free", 5, 6), operation("alloc", 1, 9)]
    lanes = lanes_of(noted, [], {}, in_turn=False)
    assert [outline(lane) for lane in lanes] == [[("alloc", ["free"])], ["free"]]


def test_parts_are_found_behind_a_kworker_that_ended_between_them() -> None:
    noted = [
        operation("free", 2, 4, part=True),
        operation("drain_vmap_area_work", 3, 6),
        operation("free", 7, 8, part=True),
        operation("alloc", 1, 9),
    ]
    lanes = lanes_of(noted, [], {}, in_turn=False)
    assert [outline(lane) for lane in lanes] == [[("alloc", ["free", "free"])], ["drain_vmap_area_work"]]


def test_operations_that_take_turns_have_no_parts() -> None:
    """Two that came at the same time follow each other, and the second says how long it waited."""
    [lane] = lanes_of([operation("find", 3, 10), operation("insert", 3, 12)], [], {}, in_turn=True)
    assert [(one.name, one.begin_ns, one.end_ns) for one in lane] == [("find", 3, 10), ("insert", 10, 12)]
    assert lane[1].notes["waited for its CPU (ns)"] == 7


def test_requests_and_parts_lie_in_the_hold_of_a_mutex() -> None:
    """From when it is held, not from when it was asked for; other requests at the same time go beside."""
    noted = [operation("free_vmap_block", 4, 7, part=True), operation("alloc", 1, 20)]
    grants = [
        Grant("busy/0", 0, 4, 5, 6),
        Grant("busy/1", 0, 4, 4, 6),
        Grant("purge", 0, 2, 3, 10, sleeping=True),
        Grant("busy/2", 0, 30, 30, 31),
    ]
    lanes = lanes_of(noted, grants, {id(grant): 1 for grant in grants}, in_turn=False)
    inner = [("purge", ["wait", ("free_vmap_block", [("busy/0", ["wait"])])])]
    assert [outline(lane) for lane in lanes] == [[("alloc", inner)], ["busy/1", "busy/2"]]


def test_what_crosses_another_does_not_fit() -> None:
    lane = [Slice("alloc", 5, 9, inner_from_ns=5)]
    assert not put(lane, Slice("busy/0", 4, 6))
    assert not put(lane, Slice("busy/0", 8, 10))
    assert not put(lane, Slice("busy/0", 6, 7), nested=False)
    assert put(lane, Slice("busy/0", 5, 9))
    assert put(lane, Slice("busy/1", 9, 10))
    assert outline(lane) == [("alloc", ["busy/0"]), "busy/1"]
