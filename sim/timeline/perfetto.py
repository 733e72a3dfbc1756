"""The timeline as a Perfetto trace: TrackEvent packets, timestamps in nanoseconds of the run's clock.

    CPU 3             operations; in each its parts and the locks it asked for ("busy/2"), in these the waits
    CPU 3, beside 1   what overlaps with that: a kworker's operations, requests that an operation has under way at
                      once, requests of operations that failed, were not recorded, or are left out
    busy/2            who held the lock ("CPU 3")
    busy/2 waiters    how many requests waited for it
    others            gauges: areas by node, lazy pages, areas in pools

An arrow (flow) leads from every request to the hold that served it. Slices of a track nest (see `nesting`); an
operation that came while its CPU was busy begins on the track when the one before it ends, and says how long it had
waited.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from attrs import define, field
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent

from sim.results import natural
from sim.timeline.nesting import Slice, lanes_of
from sim.timeline.recording import Grant, Operation, Timeline

SEQUENCE = 1
"""All packets are of one sequence: their order is that of this file."""

Event: TypeAlias = tuple[int, Any]
"""Time and packet."""


def to_perfetto(timeline: Timeline, title: str) -> bytes:
    """Give the trace; the same for the same timeline and title."""
    tracks = _Tracks()
    about = tracks.named(f"{title}: {timeline.described()}")
    events = list(tracks.instants(about, timeline.described(), timeline.from_ns))
    flows = {id(grant): number for number, grant in enumerate(timeline.grants, start=1)}
    events += _cpu_events(timeline, tracks, flows)
    events += _lock_events(timeline, tracks, flows)
    events += _gauge_events(timeline, tracks)
    events.sort(key=lambda event: event[0])  # stable: the order of each track stays
    trace = Trace()
    trace.packet.extend(tracks.descriptors)
    trace.packet.extend(packet for _time_ns, packet in events)
    whole: bytes = trace.SerializeToString(deterministic=True)
    return whole


@define
class _Tracks:
    """Makes tracks, and packets for them."""

    descriptors: list[Any] = field(factory=list)

    def named(self, name: str, parent: int = 0, *, counter: bool = False) -> int:
        """Make a track; give its number."""
        packet = _packet(None)
        packet.track_descriptor.uuid = len(self.descriptors) + 1
        packet.track_descriptor.name = name
        if parent:
            packet.track_descriptor.parent_uuid = parent
        if counter:
            packet.track_descriptor.counter.unit_name = "count"
        self.descriptors.append(packet)
        return len(self.descriptors)

    def slices(self, track: int, slices: Iterable[Slice]) -> Iterator[Event]:
        """Give the events of slices that follow each other, with those in them."""
        for one in slices:
            yield one.begin_ns, _begin(track, one)
            yield from self.slices(track, one.inner)
            yield one.end_ns, _event(track, one.end_ns, TrackEvent.TYPE_SLICE_END)

    def counter(self, track: int, values: Iterable[tuple[int, int]]) -> Iterator[Event]:
        """Give the events of a counter."""
        for time_ns, value in values:
            packet = _event(track, time_ns, TrackEvent.TYPE_COUNTER)
            packet.track_event.counter_value = value
            yield time_ns, packet

    def instants(self, track: int, name: str, time_ns: int) -> Iterator[Event]:
        """Give an event without a length."""
        packet = _event(track, time_ns, TrackEvent.TYPE_INSTANT)
        packet.track_event.name = name
        yield time_ns, packet


def _packet(time_ns: int | None) -> Any:
    packet = TracePacket()
    packet.trusted_packet_sequence_id = SEQUENCE
    if time_ns is not None:
        packet.timestamp = time_ns
    return packet


def _event(track: int, time_ns: int, kind: int) -> Any:
    packet = _packet(time_ns)
    packet.track_event.type = kind
    packet.track_event.track_uuid = track
    return packet


def _begin(track: int, one: Slice) -> Any:
    packet = _event(track, one.begin_ns, TrackEvent.TYPE_SLICE_BEGIN)
    packet.track_event.name = one.name
    for name, value in one.notes.items():
        annotation = packet.track_event.debug_annotations.add()
        annotation.name = name
        annotation.uint_value = value
    if one.flow:
        packet.track_event.flow_ids.append(one.flow)
    return packet


# -- CPUs -----------------------------------------------------------------------------------------


def _cpu_events(timeline: Timeline, tracks: _Tracks, flows: dict[int, int]) -> list[Event]:
    root = tracks.named("CPUs")
    grants: defaultdict[int, list[Grant]] = defaultdict(list)
    operations: defaultdict[int, list[Operation]] = defaultdict(list)
    for grant in timeline.grants:
        grants[grant.cpu].append(grant)
    for operation in timeline.operations:
        operations[operation.cpu].append(operation)
    events: list[Event] = []
    for cpu in sorted(operations.keys() | grants.keys()):
        lanes = lanes_of(operations[cpu], grants[cpu], flows, in_turn=timeline.in_turn)
        track = tracks.named(f"CPU {cpu}", root)
        events += tracks.slices(track, lanes[0])
        for number, lane in enumerate(lanes[1:], start=1):
            events += tracks.slices(tracks.named(f"CPU {cpu}, beside {number}", track), lane)
    return events


# -- locks and gauges -------------------------------------------------------------------------------


def _lock_events(timeline: Timeline, tracks: _Tracks, flows: dict[int, int]) -> list[Event]:
    root = tracks.named("Locks")
    grants: dict[str, list[Grant]] = {}
    for grant in timeline.grants:
        grants.setdefault(grant.lock, []).append(grant)
    events: list[Event] = []
    for lock, own in sorted(grants.items(), key=lambda item: natural(item[0])):
        own.sort(key=lambda grant: grant.start_ns)
        holds = [Slice(f"CPU {grant.cpu}", grant.start_ns, grant.end_ns, flow=flows[id(grant)]) for grant in own]
        events += tracks.slices(tracks.named(lock, root), holds)
        events += tracks.counter(tracks.named(f"{lock} waiters", root, counter=True), _waiters(own))
    return events


def _waiters(grants: Sequence[Grant]) -> Iterator[tuple[int, int]]:
    """Give how many wait, at each instant at which that changes."""
    changes: defaultdict[int, int] = defaultdict(int)
    for grant in grants:
        if grant.start_ns > grant.arrival_ns:
            changes[grant.arrival_ns] += 1
            changes[grant.start_ns] -= 1
    waiting = 0
    for time_ns in sorted(changes):
        if changes[time_ns]:
            waiting += changes[time_ns]
            yield time_ns, waiting


def _gauge_events(timeline: Timeline, tracks: _Tracks) -> list[Event]:
    names = dict.fromkeys(name for _time_ns, values in timeline.gauges for name in values)
    events: list[Event] = []
    root = tracks.named("Gauges") if names else 0
    for name in names:
        samples = [(time_ns, values[name]) for time_ns, values in timeline.gauges if name in values]
        events += tracks.counter(tracks.named(name, root, counter=True), samples)
    return events
