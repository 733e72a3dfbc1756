"""Timelines, read back: slices nest, totals are those of results.json, bounds are kept and said."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from sim.cli import main

SCENARIO = """
[space]
nodes = 4
[machine]
cpus = 5
[workload]
operations = 3000
preload_areas = 300
[workload.mix]
find = 0.6
insert = 0.0
unlink = 0.38
insert_batch = 0.02
interior = 0.4
"""

KINDS = {
    "closed": [],
    "parallel": ["--set", "batch.strategy=parallel", "--set", "lookup.policy=scatter"],
    "one lock": ["--set", "batch.strategy=global"],
    "open": ["--set", "workload.kind=open", "--set", "workload.open.rate_per_s=2e7"],
}


@define
class Stretch:
    """A slice, as the viewer shows it."""

    name: str
    begin_ns: int
    end_ns: int
    depth: int
    flows: tuple[int, ...]
    notes: dict[str, int]


@define
class Shown:
    """The tracks of a trace by name."""

    slices: dict[str, list[Stretch]] = field(factory=lambda: defaultdict(list))
    counters: dict[str, list[tuple[int, int]]] = field(factory=lambda: defaultdict(list))
    instants: list[str] = field(factory=list)


def shown(path: Path) -> Shown:
    """Read a trace as the viewer does; slices that do not nest, or never end, fail here."""
    trace = Trace()
    trace.ParseFromString(path.read_bytes())
    names: dict[int, str] = {}
    stacks: dict[int, list[tuple[Any, int]]] = defaultdict(list)
    result = Shown()
    before_ns = 0
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            assert packet.track_descriptor.parent_uuid == 0 or packet.track_descriptor.parent_uuid in names
            names[packet.track_descriptor.uuid] = packet.track_descriptor.name
            continue
        event, time_ns = packet.track_event, packet.timestamp
        assert time_ns >= before_ns
        before_ns = time_ns
        stack, track = stacks[event.track_uuid], names[event.track_uuid]
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            stack.append((event, time_ns))
        elif event.type == TrackEvent.TYPE_SLICE_END:
            begun, begin_ns = stack.pop()
            notes = {one.name: one.uint_value for one in begun.debug_annotations}
            stretch = Stretch(begun.name, begin_ns, time_ns, len(stack), tuple(begun.flow_ids), notes)
            result.slices[track].append(stretch)
        elif event.type == TrackEvent.TYPE_COUNTER:
            result.counters[track].append((time_ns, event.counter_value))
        else:
            result.instants.append(event.name)
    assert not any(stacks.values()), "a slice does not end"
    return result


def run(folder: Path, *arguments: str) -> tuple[dict[str, Any], Shown]:
    (folder / "small.toml").write_text(SCENARIO)
    assert (
        main(["run", str(folder / "small.toml"), "--out", str(folder / "out"), "--timeline", "--quiet", *arguments])
        == 0
    )
    results: dict[str, Any] = json.loads((folder / "out" / "results.json").read_text())
    return results, shown(folder / "out" / "timeline.perfetto-trace")


def on_cpus(timeline: Shown) -> Iterator[Stretch]:
    for track, slices in timeline.slices.items():
        if track.startswith("CPU ") and "beside" not in track:
            yield from slices


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_totals_are_those_of_the_results(tmp_path: Path, kind: str) -> None:
    """Per lock, holds and waits add up to results.json; per operation, counts and latencies do."""
    results, timeline = run(tmp_path, *KINDS[kind])
    for lock in results["locks"]:
        holds = timeline.slices[lock["name"]]
        assert len(holds) == lock["acquisitions"]
        assert sum(hold.end_ns - hold.begin_ns for hold in holds) == lock["hold_ns"]
        assert max(hold.end_ns - hold.begin_ns for hold in holds) == lock["hold_max_ns"]
        waiting, waited_ns, since_ns = 0, 0, 0
        for time_ns, value in timeline.counters[f"{lock['name']} waiters"]:
            waited_ns += waiting * (time_ns - since_ns)
            waiting, since_ns = value, time_ns
        assert (waited_ns, waiting) == (lock["wait_ns"], 0)
    operations = [one for one in on_cpus(timeline) if one.depth == 0]
    counts = Counter(one.name for one in operations)
    for name, latency in results["latency"].items():
        if name != "all":
            assert counts.pop(name) == latency["count"]
            total_ns = sum(
                one.end_ns - one.begin_ns + one.notes.get("waited for its CPU (ns)", 0)
                for one in operations
                if one.name == name
            )
            assert total_ns == pytest.approx(latency["mean_ns"] * latency["count"], abs=0.5)
    assert not counts


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_requests_are_within_their_operations_and_lead_to_their_holds(tmp_path: Path, kind: str) -> None:
    """Every hold has one request, of the same CPU, lock and end; requests lie in operations, waits in requests."""
    results, timeline = run(tmp_path, *KINDS[kind])
    locks = {lock["name"] for lock in results["locks"]}
    requests = {}
    for track, slices in timeline.slices.items():
        for one in slices if track.startswith("CPU ") else ():
            if one.name in locks:
                assert one.depth == ("beside" not in track)
                requests[one.flows[0]] = (track.partition(",")[0], one.name, one.end_ns)
            elif one.name == "wait":
                assert one.depth == 1 + ("beside" not in track)
    holds = {hold.flows[0]: (hold.name, lock, hold.end_ns) for lock in locks for hold in timeline.slices[lock]}
    assert requests == holds
    assert len(holds) == sum(lock["acquisitions"] for lock in results["locks"])
    has_lanes = any("beside" in track for track in timeline.slices)
    assert has_lanes == (kind == "parallel")


def test_gauges_count_areas(tmp_path: Path) -> None:
    """The counter of each node ends with the areas of results.json."""
    results, timeline = run(tmp_path)
    for node in results["nodes"]:
        assert timeline.counters[f"areas of node {node['id']}"][-1][1] == node["areas"]


def test_a_timeline_changes_nothing(tmp_path: Path) -> None:
    """With and without one the run is the same, by its digest; and two timelines are the same bytes."""
    results, _timeline = run(tmp_path)
    first = (tmp_path / "out" / "timeline.perfetto-trace").read_bytes()
    run(tmp_path)
    assert (tmp_path / "out" / "timeline.perfetto-trace").read_bytes() == first
    assert main(["run", str(tmp_path / "small.toml"), "--out", str(tmp_path / "plain"), "--quiet"]) == 0
    plain = json.loads((tmp_path / "plain" / "results.json").read_text())
    assert {**plain, "wall_s": 0} == {**results, "wall_s": 0}
    assert not (tmp_path / "plain" / "timeline.perfetto-trace").exists()


def test_it_is_bounded_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At most N holds, up to one instant on all tracks; what is left out stands in the file and on the screen."""
    (tmp_path / "small.toml").write_text(SCENARIO)
    out = tmp_path / "out"
    assert main(["run", str(tmp_path / "small.toml"), "--out", str(out), "--timeline-holds", "500"]) == 0
    timeline = shown(out / "timeline.perfetto-trace")
    said = timeline.instants[0]
    assert "others left out (at most 500 holds)" in said
    assert said in capsys.readouterr().out
    until_ns = int(said.partition(" to ")[2].partition(" ns")[0].replace(",", ""))
    stretches = [one for slices in timeline.slices.values() for one in slices]
    assert max(one.end_ns for one in stretches) <= until_ns
    holds = [one for track, own in timeline.slices.items() for one in own if track.startswith("busy/")]
    assert 450 < len(holds) <= 500
    assert 200 < len([one for one in on_cpus(timeline) if one.depth == 0]) <= 500


def test_a_window_shows_that_time_whole(tmp_path: Path) -> None:
    """Within the window every hold of the full timeline is there, and nothing outside it."""
    _results, full = run(tmp_path)
    middle = [hold for hold in full.slices["busy/1"] if hold.begin_ns > 50_000 and hold.end_ns < 90_000]
    _results, part = run(tmp_path, "--timeline-window", "40000:100000")
    seen = [(hold.name, hold.begin_ns, hold.end_ns) for hold in part.slices["busy/1"]]
    assert middle
    assert {(hold.name, hold.begin_ns, hold.end_ns) for hold in middle} <= set(seen)
    assert all(begin_ns >= 40_000 and end_ns <= 100_000 for _name, begin_ns, end_ns in seen)


@pytest.mark.parametrize("window", ["5", "9:3", "a:b", "-1:5", "3:3"])
def test_a_window_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], window: str) -> None:
    """One line with the option, what was found and what is allowed."""
    (tmp_path / "small.toml").write_text(SCENARIO)
    assert (
        main(["run", str(tmp_path / "small.toml"), "--out", str(tmp_path / "out"), f"--timeline-window={window}"])
        == 2
    )
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "--timeline-window" in message
    assert "FROM:TO" in message
