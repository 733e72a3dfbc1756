"""Real kernels' traces, replayed: the model's own state gives the addresses that the kernels chose.

The kernels are Debian's 6.12, unmodified, so what they did is 6.9's and 6.10's. Where the traces come from and what
they show: configs/traces/README.md and tests/data/README.md.
"""

import gzip
import re
from pathlib import Path

import pytest
from attrs import evolve

from protocol.area import VMALLOC_END, VMALLOC_START, VmapArea
from sim.replay import Outcome, replay
from sim.traces.events import AllocEvent, FreeEvent, PurgeEvent, TraceEvent
from sim.traces.read import Trace, read_trace
from sim.vmallocinfo import UnpurgedLine, read_vmallocinfo

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
DEB_SMP4 = ROOT / "configs" / "traces" / "deb-smp4.txt.gz"

STATE_LINE = re.compile(r"\s*(busy|lazy|pool\d+) 0x([0-9a-f]+)-0x([0-9a-f]+) ")


def explained(outcome: Outcome) -> tuple[float, float]:
    """Give the shares explained in any order, and in the order of the lines."""
    replayed = outcome.replayed
    return replayed.share, replayed.counts["as_printed"] / replayed.allocations


@pytest.mark.parametrize(
    ("trace", "share", "as_printed"),
    [
        pytest.param(DEB_SMP4, 0.99, 0.98, id="Debian's own kernel, from boot"),
        pytest.param(DATA / "deb-smp4-scan-trace.txt.gz", 0.99, 0.98, id="with probes"),
        pytest.param(DATA / "vn-smp2-mixed.txt.gz", 0.97, 0.95, id="two CPUs, processes and modules"),
        pytest.param(DATA / "vn-smp4-testvmalloc-beginning.txt.gz", 0.999, 0.99, id="test_vmalloc"),
    ],
)
def test_addresses_of_a_real_kernel_are_explained(trace: Path, share: float, as_printed: float) -> None:
    """The share of addresses that the model names is what it was found to be, and all addresses have one owner."""
    outcome = replay(read_trace(trace), "6.10")
    in_any_order, in_line_order = explained(outcome)
    assert in_any_order >= share
    assert in_line_order >= as_printed
    assert outcome.final.conserved().ok, outcome.final.conserved().first


GIB = 1 << 30


@pytest.mark.parametrize(
    "by",
    [
        pytest.param(-0x1234 * GIB, id="with KASLR, which moves it by whole GiB"),
        pytest.param(0xFFA0_0000_0000_0000 - VMALLOC_START, id="with five levels of page tables"),
    ],
)
def test_a_kernel_whose_vmalloc_space_is_elsewhere_is_explained_as_well(by: int) -> None:
    """The same trace of the same kernel, moved: what was explained is, in the same way, and on the same kernel."""
    trace = read_trace(DATA / "vn-smp2-mixed.txt.gz")
    there, here = replay(trace, "auto"), replay(moved(trace, by), "auto")
    assert (here.vmalloc.start, here.vmalloc.end) == (VMALLOC_START + by, VMALLOC_END + by)
    assert here.replayed.pool_hits == there.replayed.pool_hits > 1000
    assert here.trials == there.trials
    assert here.replayed.kernel == there.replayed.kernel == "6.10"
    assert here.replayed.counts == there.replayed.counts
    assert [(one.line, one.source, one.owner) for one in here.replayed.differences] == [
        (one.line, one.source, one.owner) for one in there.replayed.differences
    ]


def moved(trace: Trace, by: int) -> Trace:
    """Give the trace with x86_64's vmalloc space moved, and the direct mapping below; modules stay where they are.

    A purge's start may be of the direct mapping: permissions are set there, too, when modules go.
    """

    def there(addr: int) -> int:
        return addr + by if 0 < addr <= VMALLOC_END else addr

    def event_there(event: TraceEvent) -> TraceEvent:
        match event:
            case AllocEvent():
                vstart, vend = there(event.vstart), there(event.vend)
                return evolve(event, va_start=there(event.va_start), vstart=vstart, vend=vend)
            case FreeEvent():
                return evolve(event, va_start=there(event.va_start))
            case PurgeEvent():
                return evolve(event, start=there(event.start), end=there(event.end))

    return evolve(trace, events=[event_there(event) for event in trace.events])


@pytest.mark.parametrize("trace", ["vn-smp2-mixed.txt.gz", "deb-smp4-scan-trace.txt.gz"])
def test_the_best_fitting_kernel_is_the_one_that_it_was(trace: str) -> None:
    """Of all kernels 6.9 and 6.10, which a trace cannot tell apart, explain a 6.12 best, by far."""
    outcome = replay(read_trace(DATA / trace), "auto")
    best, *others = sorted(outcome.trials, key=lambda trial: trial.share, reverse=True)
    assert best.kernels == ("6.9", "6.10")
    assert outcome.replayed.kernel == "6.10"
    assert all(other.share < best.share - 0.05 for other in others)


def test_the_state_at_the_end_is_the_kernels_own() -> None:
    """After 27,749 lines every node has the areas that a debugger found there, but for those of a moment later.

    The state was read after the recording had stopped: some tasks had come and gone in between.
    """
    outcome = replay(read_trace(DATA / "vn-smp4-stacks.txt.gz"), "6.10")
    assert explained(outcome)[0] >= 0.97
    read = kernel_state(DATA / "vn-smp4-stacks-state.txt.gz")
    for node in outcome.final.nodes:
        busy, lazy, pools = read[node.node]
        assert len(set(node.busy) ^ set(busy)) <= 2
        assert len(set(node.lazy) ^ set(lazy)) <= 2
        pooled = [area for pool in node.pools.values() for area in pool]
        assert len(set(pooled) ^ set(pools)) <= 1
        if node.node == 0:
            assert pooled == pools  # 565 areas, from the head to the tail
    assert sum(len(areas) for node in read.values() for areas in node) == 74 + 3734 + 574


def test_the_areas_at_the_end_are_those_of_vmallocinfo() -> None:
    """/proc/vmallocinfo, read when the trace ended, shows the replay's busy areas, node by node, and its lazy ones.

    The process that read it has an area more in the one or the other.
    """
    outcome = replay(read_trace(DATA / "vn-smp2-mixed.txt.gz"), "6.10")
    records = read_vmallocinfo(DATA / "vn-smp2-mixed-vmallocinfo-after.txt.gz")
    unpurged = {record.area for record in records if isinstance(record, UnpurgedLine)}
    busy = {record.area for record in records} - unpurged
    assert len({area for node in outcome.final.nodes for area in node.busy} ^ busy) <= 2
    assert len({area for node in outcome.final.nodes for area in node.lazy} ^ unpurged) <= 3


def kernel_state(path: Path) -> dict[int, tuple[list[VmapArea], list[VmapArea], list[VmapArea]]]:
    """Read busy, lazy and pooled areas of each node, pools from the head."""
    nodes: dict[int, tuple[list[VmapArea], list[VmapArea], list[VmapArea]]] = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            if line.startswith("node "):
                current = nodes[int(line.split()[1])] = ([], [], [])
            elif found := STATE_LINE.match(line):
                kind = {"busy": 0, "lazy": 1}.get(found[1], 2)
                current[kind].append(VmapArea(int(found[2], 16), int(found[3], 16)))
    return nodes


@pytest.mark.slow
@pytest.mark.parametrize("trace", [DEB_SMP4, DATA / "vn-smp4-stacks.txt.gz"], ids=["deb-smp4", "vn-smp4-stacks"])
def test_the_best_fitting_kernel_of_long_traces(trace: Path) -> None:
    """6.9 and 6.10 explain best; where a trace has no small pools that decay, 6.16 explains as much and no more."""
    outcome = replay(read_trace(trace), "auto")
    assert outcome.replayed.kernel == "6.10"
    assert outcome.trials[0].kernels == ("6.8", "v3-04")
    assert outcome.trials[0].share < 0.7
