"""One run: build the world a scenario asks for, let it happen, judge what it left.

Who owns what: the machines own areas, the world owns time, the recorder owns what happened. They meet only
here.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import trio
from attrs import field, frozen

from actors.batch_inserter import BatchInserter
from actors.client import FREE_SPACE, Client
from actors.live import LiveWorld
from actors.patience import patient
from actors.router import Router
from actors.system import Driver, Server, run_system
from actors.world import Driving, Script, World
from protocol import policies, strategies
from protocol.area import VmapArea, ZoneLayout
from protocol.free_machine import SPACE, FreeSpaceMachine
from protocol.machine import Machine
from protocol.messages import NodeStatistics
from protocol.node import NodeMachine
from protocol.sessions import SessionMachine
from sim.checks import Evidence, Verdict, run_all
from sim.costs import MessagePassing
from sim.faults import FaultPlan, patience_of
from sim.garbage import rare_collections
from sim.history import History
from sim.metrics.recorder import Recorder
from sim.scenario.model import Scenario
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
    faults: dict[str, int] = field(factory=dict)
    """What went wrong, by kind; empty without `[faults]`."""
    cluster: dict[str, Any] = field(factory=dict)
    """What only processes have: commits, connections that broke."""

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
) -> Outcome:
    """Run `scenario`; files that it names are looked up in the folder `beside`.

    In the virtual engine the outcome depends on the scenario and those files only, but for `wall_s` and `cpu_s`.
    Raises `BadInput`, and an `ExceptionGroup` when an actor fails.
    """
    workload = plan(scenario, beside)
    system = System(scenario, workload, engine)
    recorder = system.recorder

    def pause() -> None:
        recorder.fold_if_due()
        progress(recorder.operations, workload.operations)

    observer = recorder.observer()
    faults = system.faults
    world: VirtualWorld | LiveWorld = (
        VirtualWorld(_costs(scenario), scenario.machine.cpus, observer, pause, faults)
        if engine == "virtual"
        else LiveWorld(observer, pause, faults)
    )
    wall_s, virtual_ns = 0.0, 0

    async def conduct() -> None:
        nonlocal wall_s, virtual_ns
        began_s = time.perf_counter()
        await world.conduct()
        wall_s, virtual_ns = time.perf_counter() - began_s, world.now_ns

    with rare_collections():
        cpu_s = time.process_time()
        trio.run(system.run, world, conduct)
        recorder.fold()
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
        faults={} if faults is None else dict(sorted(faults.counts.items())),
    )


class System:
    """The actors of one run and what they own."""

    def __init__(self, scenario: Scenario, workload: Plan, engine: str) -> None:
        self.scenario = scenario
        self.workload = workload
        self.layout = ZoneLayout(scenario.space.nodes, scenario.space.zone_size)
        self.strategy = strategies.load(scenario.batch.strategy, chunk=scenario.batch.chunk)
        self.recorder = Recorder(History(workload.cpus))
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
        for area in workload.preload if engine != "cluster" else ():
            self.machines[self.router.addresses[self.layout.addr_to_node_id(area.va_start)]].preload([area])
        addresses = [*self.machines, *([FREE_SPACE] if workload.uses_free_space else [])]
        self.faults = FaultPlan(scenario.faults, scenario.seed, addresses) if scenario.faults.any else None
        self._engine = engine
        self._patience = patience_of(scenario.faults, engine)

    async def run(self, world: World, conduct: Callable[[], Awaitable[None]]) -> None:
        """Run all actors in `world` until the scripts are over; `conduct` lets its time pass."""
        servers = [self._server(address, machine) for address, machine in self.machines.items()]
        if self.workload.uses_free_space:
            servers.append(self._server(FREE_SPACE, self.free_space))
        await run_system(world, servers, self.drivers(world), conduct)

    def judge(
        self, nodes: dict[int, list[VmapArea]] | None = None, free: list[VmapArea] | None = None
    ) -> dict[str, Verdict]:
        """Run the checks on what the run has left: in its own machines, or in `nodes` and `free` elsewhere."""
        if nodes is None:
            nodes = {
                node_id: list(machine.areas(node_id))
                for machine in self.machines.values()
                for node_id in machine.node_ids
            }
            free = list(self.free_space.space) if self.workload.uses_free_space else None
        history = self.recorder.history
        history.finish()
        return run_all(
            Evidence(
                layout=self.layout,
                nodes=nodes,
                free=free,
                space=SPACE,
                history=history,
            )
        )

    def node_statistics(self) -> list[NodeStatistics]:
        """Give the counters of all nodes, ascending."""
        return [machine.statistics(node_id) for machine in self.machines.values() for node_id in machine.node_ids]

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

    def drivers(self, world: Driving) -> Sequence[Driver]:
        """Make the clients, for `world`."""
        scripts = self.workload.scripts(world)
        return [Driver(cpu, self._script(scripts[cpu], self.inserters[cpu])) for cpu in self.workload.cpus]

    def _script(self, script: ClientScript, inserter: BatchInserter) -> Script:
        if self._engine == "cluster":  # its world makes all scripts patient
            return lambda port: script(Client(port, self.router, inserter, forgiving=True))
        if self.faults is None:
            return lambda port: script(Client(port, self.router, inserter))
        return patient(lambda port: script(Client(port, self.router, inserter, forgiving=True)), self._patience)

    def _server(self, address: str, machine: Machine) -> Server:
        """Put a machine behind sessions where messages can arrive twice."""
        if self.faults is None:
            return Server(address, machine)
        return Server(address, SessionMachine(machine, address, once=self.scenario.faults.once))


def _costs(scenario: Scenario) -> MessagePassing:
    costs = scenario.costs
    return MessagePassing(costs.lock_ns, costs.visit_ns, costs.insert_ns, costs.link_ns)
