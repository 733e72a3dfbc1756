"""A real kernel's trace as a workload: its allocations and frees, at its addresses, and lookups among them.

Every allocation takes the very range that the kernel chose out of the free space and inserts it into its
home node; every free takes it out and gives it back (at once: pools and lazy freeing are the kernel's
business, not the trace's). Each CPU keeps its order, and waits for another where `sim.traces.dependencies`
says so; that waiting is part of no operation.

So every allocation finds its range free and every free its area: the reader lets only areas within the
free space through, those that are live at any line of the trace are apart, and who comes after whom at an
address is a dependency (`tests/property/test_dependencies.py`). What happens is asserted to be that.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import Random

from attrs import define, field

from actors.client import Client
from actors.world import Driving, Signal
from protocol.area import PAGE_SIZE, VmapArea, ZoneLayout
from protocol.busy_tree import BusyTree
from sim.chance import stream
from sim.errors import BadInput
from sim.scenario.model import Scenario, TraceUse
from sim.traces.dependencies import Dependencies, Step
from sim.traces.events import AllocEvent, FreeEvent, PurgeEvent
from sim.traces.read import Trace, read_trace
from sim.workloads import ClientScript, Plan
from sim.workloads._drawing import Draws


def trace(scenario: Scenario, beside: Path) -> Plan:
    """Replay the allocations of a recorded trace, with lookups: `[workload.trace]`."""
    page_size = scenario.space.page_size
    if page_size != PAGE_SIZE:
        allowed = f"{PAGE_SIZE}: traces are of kernels with {PAGE_SIZE}-byte pages"
        raise BadInput("space.page_size", str(page_size), allowed)
    path = beside / scenario.workload.file
    recorded = read_trace(path)
    steps, facts = unroll(recorded, scenario)
    if not steps:
        raise BadInput(f"{path}: nothing to replay", _unusable(recorded), "at least one successful alloc_vmap_area")
    by_cpu: dict[int, list[Step]] = {}
    for step in steps:
        by_cpu.setdefault(step.cpu, []).append(step)
    if max(by_cpu) >= scenario.machine.cpus:
        raise BadInput(
            "machine.cpus", str(scenario.machine.cpus), f"at least {max(by_cpu) + 1}, the CPUs of {path}"
        )

    def scripts(world: Driving) -> Mapping[int, ClientScript]:
        signals = {step: world.signal() for step in steps if step.awaited}
        return {
            cpu: partial(_run, steps=by_cpu[cpu], signals=signals, use=scenario.workload.trace) for cpu in by_cpu
        }

    return Plan(
        cpus=sorted(by_cpu),
        preload=[],
        operations=len(steps),
        uses_free_space=True,
        scripts=scripts,
        facts=facts,
    )


def unroll(recorded: Trace, scenario: Scenario) -> tuple[list[Step], dict[str, int]]:
    """Make steps of a trace, with lookups added, and say in numbers what became of its events.

    Frees of areas that the trace never allocated are left out; an allocation over areas that are still
    there frees them first: their free was lost, or is printed later, and is then taken for the new occupant's.
    """
    layout = ZoneLayout(scenario.space.nodes, scenario.space.zone_size)
    unrolling = _Unrolling(layout, scenario.workload.trace, stream(scenario.seed, "trace/lookups"))
    for event in recorded.events:
        if isinstance(event, AllocEvent):
            unrolling.allocate(event)
        elif isinstance(event, FreeEvent):
            unrolling.free(event)
    facts = Counter(
        {
            "events": len(recorded.events),
            "events_lost": recorded.lost,
            "unknown_events": sum(recorded.unknown.values()),
        }
    )
    facts.update(unrolling.facts)
    return unrolling.steps, dict(sorted(facts.items()))


def _unusable(recorded: Trace) -> str:
    """Count the events of a trace of which none could be replayed."""
    kinds = Counter(type(event) for event in recorded.events)
    return (
        f"{kinds[AllocEvent]} failed allocations, {kinds[FreeEvent]} frees of unknown areas, "
        f"{kinds[PurgeEvent]} purges"
    )


@define
class _Unrolling:
    """The state of the trace at one of its lines: what is live, and what has to wait for what."""

    _layout: ZoneLayout
    _use: TraceUse
    _random: Random
    steps: list[Step] = field(factory=list)
    facts: Counter[str] = field(factory=Counter)
    _live: BusyTree = field(factory=BusyTree)
    _all: Draws = field(factory=Draws)
    _spanning: Draws = field(factory=Draws)
    _dependencies: Dependencies = field(factory=Dependencies)
    _first_ns: int | None = None

    def allocate(self, event: AllocEvent) -> None:
        """Take over an allocation, and let some lookups follow it on its CPU."""
        if event.failed:
            self.facts["failed_allocations"] += 1
            return
        area = VmapArea(event.va_start, event.va_start + event.size)
        while (there := self._live.find_exceed(area.va_start)) and there.va_start < area.va_end:
            self.facts["inferred_frees"] += 1
            self._free(there, event)
        self.facts["allocations"] += 1
        self._live.insert(area)
        self._all.add(area)
        if self._layout.zones_spanned(area) > 1:
            self._spanning.add(area)
        self._dependencies.allocate(self._step(event, "alloc", area, area.va_start))
        lookups = self._use.lookups
        for _ in range(int(lookups) + (self._random.random() < lookups % 1.0)):
            self._look_up(event)

    def free(self, event: FreeEvent) -> None:
        """Take over a free, if the area is known."""
        area = self._live.find(event.va_start)
        if area is None or area.va_start != event.va_start:
            self.facts["frees_of_unknown_areas"] += 1
            return
        self.facts["frees"] += 1
        self._free(area, event)

    def _free(self, area: VmapArea, event: AllocEvent | FreeEvent) -> None:
        self._live.unlink(area.va_start)
        self._all.discard(area.va_start)
        if self._layout.zones_spanned(area) > 1:
            self._spanning.discard(area.va_start)
        self._dependencies.free(self._step(event, "free", area, area.va_start))

    def _look_up(self, event: AllocEvent) -> None:
        interior = self._random.random() < self._use.interior and len(self._spanning) > 0
        if interior:
            area = self._spanning.draw(self._random)
            pages = area.size // PAGE_SIZE
            addr = area.va_start + PAGE_SIZE * (1 + int(self._random.random() * (pages - 1)))
        else:
            area = self._all.draw(self._random)
            addr = area.va_start
        self.facts["lookups"] += 1
        step = self._step(event, "find_interior" if interior else "find", area, addr)
        self._dependencies.look_up(step)

    def _step(self, event: AllocEvent | FreeEvent, operation: str, area: VmapArea, addr: int) -> Step:
        if self._first_ns is None:
            self._first_ns = event.time_ns
        step = Step(event.cpu, operation, area, addr, event.time_ns - self._first_ns)
        self.steps.append(step)
        return step


async def _run(client: Client, *, steps: list[Step], signals: Mapping[Step, Signal], use: TraceUse) -> None:
    """Carry out one CPU's steps; with `batched`, allocations are inserted a batch at a time.

    Whatever waits, for time or for another CPU, and whoever needs one of the collected areas, inserts
    what has been collected first: nobody waits for an area that waits for somebody.
    """
    collected: list[Step] = []

    async def flush() -> None:
        await client.flush()
        for step in collected:
            if step.awaited:
                signals[step].set()
        collected.clear()

    for step in steps:
        awaiting = [signals[earlier] for earlier in step.after if not signals[earlier].is_set()]
        pause_ns = step.at_ns - client.port.now_ns if use.times == "recorded" else 0
        if awaiting or pause_ns > 0 or client.inserter.holds(step.addr):
            await flush()
        for signal in awaiting:
            await client.wait(signal)
        if pause_ns > 0:
            await client.sleep(step.at_ns - client.port.now_ns)
        area = step.area
        if step.operation == "alloc" and use.batched:
            taken = await client.reserve(area.size, 1, area.va_start, area.va_end)
            assert taken is not None, f"{area!r} was not free: it came before what it comes after"
            collected.append(step)
            if client.inserter.add(area):
                await flush()
            continue
        if step.operation == "alloc":
            taken = await client.alloc(area.size, 1, area.va_start, area.va_end)
            assert taken is not None, f"{area!r} was not free: it came before what it comes after"
        elif step.operation == "free":
            freed = await client.free(step.addr)
            assert freed is not None, f"{area!r} was not there to be freed: it came before what it comes after"
        else:
            await client.find(step.addr, step.operation)
        if step.awaited:
            signals[step].set()
    await flush()
