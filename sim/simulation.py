"""One run: build the world a scenario asks for, let it happen, judge what it left.

Who owns what: the machines own areas, the world owns time, the recorder owns what happened. They meet only
here.
"""

import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio
from attrs import frozen

from actors.batch_inserter import BatchInserter
from actors.client import FREE_SPACE, Client
from actors.live import LiveWorld
from actors.router import Router
from actors.system import Driver, Server, run_system
from actors.world import Script, World
from protocol import policies, strategies
from protocol.area import ZoneLayout
from protocol.free_machine import SPACE, FreeSpaceMachine
from protocol.messages import NodeStatistics
from protocol.node import NodeMachine
from sim.checks import Evidence, Verdict, run_all
from sim.costs import CostModel, MessagePassing
from sim.history import History
from sim.metrics.recorder import Recorder
from sim.metrics.warmup import latencies_without_warmup
from sim.queueing import Queueing
from sim.scenario.model import Scenario
from sim.timeline.recording import Gauged, Gauges, Timeline
from sim.virtual import VirtualWorld
from sim.workloads import ClientScript, Plan, plan

Progress = Callable[[int, int], None]
"""Told now and then how many operations are done, and of how many."""


@frozen
class BatchTotals:
    """What the batch inserters did: lock sessions and the areas in them."""

    sessions: int
    areas: int


@frozen
class Outcome:
    """All that a run leaves; `sim.results` makes a file of it."""

    scenario: Scenario
    engine: str
    virtual_ns: int
    wall_s: float
    """Wall seconds from the first event to the last."""
    cpu_s: float
    """CPU seconds from the first actor's start to the last check, on all threads."""
    events: int
    recorder: Recorder
    nodes: list[NodeStatistics]
    batches: BatchTotals
    verdicts: dict[str, Verdict]
    facts: dict[str, int]

    @property
    def ok(self) -> bool:
        """Whether all checks hold."""
        return all(verdict.ok for verdict in self.verdicts.values())


def simulate(
    scenario: Scenario,
    beside: Path,
    *,
    engine: str = "virtual",
    progress: Progress = lambda _done, _total: None,
    timeline: Timeline | None = None,
) -> Outcome:
    """Run `scenario`; files that it names are looked up in the folder `beside`.

    A `timeline` is told what happens when. In the virtual engine the outcome depends on the scenario and those
    files only, but for `wall_s` and `cpu_s`.
    Raises `BadInput`, and an `ExceptionGroup` when an actor fails.
    """
    workload = plan(scenario, beside)
    system = _System(scenario, workload, timeline)
    recorder = system.recorder

    def pause() -> None:
        recorder.fold_if_due()
        recorder.sample(world.now_ns)
        if timeline is not None:
            timeline.sample(world.now_ns, system.gauges())
        progress(recorder.operations, workload.operations)

    observer = recorder.observer()
    world: VirtualWorld | LiveWorld = (
        VirtualWorld(_costs(scenario), scenario.machine.cpus, observer, pause)
        if engine == "virtual"
        else LiveWorld(observer, pause)
    )
    wall_s, virtual_ns = 0.0, 0

    async def conduct() -> None:
        nonlocal wall_s, virtual_ns
        began_s = time.perf_counter()
        await world.conduct()
        wall_s, virtual_ns = time.perf_counter() - began_s, world.now_ns

    with _rare_collections():
        cpu_s = time.process_time()
        trio.run(system.run, world, conduct)
        recorder.finish(virtual_ns)
        if timeline is not None:
            timeline.finish(system.gauges(), virtual_ns)
        verdicts = system.judge()
        cpu_s = time.process_time() - cpu_s
    progress(recorder.operations, workload.operations)
    return Outcome(
        scenario=scenario,
        engine=engine,
        virtual_ns=virtual_ns,
        wall_s=wall_s,
        cpu_s=cpu_s,
        events=world.events,
        recorder=recorder,
        nodes=system.node_statistics(),
        batches=system.batch_totals(),
        verdicts=verdicts,
        facts=workload.facts,
    )


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage cycles rarely: operations that wait to be folded look like growth, and are not.

    At CPython's default of 700 new objects the collector takes a seventh of a run's time.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


class _System:
    """The actors of one run and what they own."""

    def __init__(self, scenario: Scenario, workload: Plan, timeline: Timeline | None) -> None:
        self.scenario = scenario
        self.workload = workload
        self.layout = ZoneLayout(scenario.space.nodes, scenario.space.zone_size)
        self.strategy = strategies.load(scenario.batch.strategy, chunk=scenario.batch.chunk)
        self.recorder = Recorder(
            History(workload.cpus), latencies_without_warmup(scenario.warmup, workload.operations), timeline
        )
        self.machines = self._node_machines()
        self.free_space = FreeSpaceMachine()
        self.router = Router(
            self.layout,
            policies.load(scenario.lookup.policy, extra=scenario.lookup.extra),
            [self._address(node_id) for node_id in range(self.layout.nr_nodes)],
        )
        self.inserters = {
            cpu: BatchInserter(self.router, self.strategy, scenario.batch.areas) for cpu in workload.cpus
        }
        for machine in self.machines.values():
            self.recorder.lock(machine.lock)
        self.recorder.history.preload(workload.preload)
        for area in workload.preload:
            self.machines[self.router.addresses[self.layout.addr_to_node_id(area.va_start)]].preload([area])

    async def run(self, world: World, conduct: Callable[[], Awaitable[None]]) -> None:
        """Run all actors in `world` until the scripts are over; `conduct` lets its time pass."""
        servers = [Server(address, machine) for address, machine in self.machines.items()]
        if self.workload.uses_free_space:
            servers.append(Server(FREE_SPACE, self.free_space))
        await run_system(world, servers, self._drivers(self.workload.scripts(world)), conduct)

    def judge(self) -> dict[str, Verdict]:
        """Run the checks on what the run has left."""
        history = self.recorder.history
        history.finish()
        return run_all(
            Evidence(
                layout=self.layout,
                nodes={
                    node_id: list(machine.areas(node_id))
                    for machine in self.machines.values()
                    for node_id in machine.node_ids
                },
                free=list(self.free_space.space) if self.workload.uses_free_space else None,
                space=SPACE,
                history=history,
            )
        )

    def node_statistics(self) -> list[NodeStatistics]:
        """Give the counters of all nodes, ascending."""
        return [machine.statistics(node_id) for machine in self.machines.values() for node_id in machine.node_ids]

    def gauges(self) -> Gauges:
        """Give what can be counted now: the areas of each node, and what machines count besides."""
        areas = {f"areas of node {node.node_id}": node.areas for node in self.node_statistics()}
        offered = [machine.gauges() for machine in self.machines.values() if isinstance(machine, Gauged)]
        return areas | {name: value for gauges in offered for name, value in gauges.items()}

    def batch_totals(self) -> BatchTotals:
        """Add up what the batch inserters did."""
        return BatchTotals(
            sessions=sum(inserter.sessions for inserter in self.inserters.values()),
            areas=sum(inserter.areas for inserter in self.inserters.values()),
        )

    def _node_machines(self) -> dict[str, NodeMachine]:
        node_ids = range(self.layout.nr_nodes)
        if strategies.needs_one_lock(self.strategy):
            return {self._address(0): NodeMachine(self.layout, node_ids, "busy/all")}
        return {
            self._address(node_id): NodeMachine(self.layout, [node_id], f"busy/{node_id}") for node_id in node_ids
        }

    def _address(self, node_id: int) -> str:
        return "nodes" if strategies.needs_one_lock(self.strategy) else f"node/{node_id}"

    def _drivers(self, scripts: Mapping[int, ClientScript]) -> Sequence[Driver]:
        return [Driver(cpu, self._script(scripts[cpu], self.inserters[cpu])) for cpu in self.workload.cpus]

    def _script(self, script: ClientScript, inserter: BatchInserter) -> Script:
        return lambda port: script(Client(port, self.router, inserter))


def _costs(scenario: Scenario) -> CostModel:
    costs = scenario.costs
    if costs.model == "queueing":
        return Queueing(scenario.seed, costs.service_ns, costs.distribution, costs.link_ns)
    return MessagePassing(costs.lock_ns, costs.visit_ns, costs.insert_ns, costs.link_ns)
