"""One run: build the world a scenario asks for, let it happen, judge what it left.

Who owns what: the machines own areas, the world owns time, the recorder owns what happened. They meet only
here.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from actors.addresses import ALL_NODES, FREE_SPACE, LAZY_PAGES, address_of_node, node_actors
from actors.batch_inserter import BatchInserter
from actors.client import Client
from actors.mutex import Mutex
from actors.patience import patient
from actors.purge import drain_vmap_area_work
from actors.router import Router
from actors.system import Driver, Server, run_system
from actors.vmalloc_client import VmallocClient
from actors.vmap import Vmap
from actors.workqueue import WORKERS, Workqueue
from actors.world import Driving, Port, Script, World
from protocol import policies, strategies
from protocol.area import ZoneLayout
from protocol.free_machine import SPACE, FreeSpaceMachine
from protocol.lazy_pages import LazyPagesMachine
from protocol.machine import Machine
from protocol.messages import NodeStatistics
from protocol.node import NodeMachine
from protocol.policies import Policy
from protocol.sessions import SessionMachine
from protocol.strategies import Strategy
from protocol.vmap_block import VmapBlocks
from sim.checks import Evidence, LazyPagesEvidence, Verdict, run_all
from sim.costs import cost_model, flushes
from sim.errors import BadInput
from sim.faults import FaultPlan, patience_of
from sim.garbage import rare_collections
from sim.history import History
from sim.metrics.latency import Latencies
from sim.metrics.recorder import Recorder
from sim.outcome import BatchTotals, Clocks, NodeAreas, Outcome, Progress, Remains
from sim.scenario.model import Scenario
from sim.virtual import VirtualWorld
from sim.workloads import ClientScript, Plan, plan

if TYPE_CHECKING:
    from actors.live import LiveWorld
    from sim.timeline.recording import Gauges, Timeline


def simulate(
    scenario: Scenario,
    beside: Path,
    *,
    engine: str = "virtual",
    progress: Progress = lambda _done, _total: None,
    timeline: "Timeline | None" = None,
) -> Outcome:
    """Run `scenario`; files that it names are looked up in the folder `beside`.

    A `timeline` is told what happens when. In the virtual engine the outcome depends on the scenario and those
    files only, but for `wall_s` and `cpu_s`.
    Raises `BadInput`, and an `ExceptionGroup` when an actor fails.
    """
    with rare_collections():
        system = System(scenario, plan(scenario, beside), engine, timeline)
        if timeline is not None:
            timeline.in_turn = system.workload.window is None  # where there are flows, there are kworkers
        world = _world_of(system, beside, progress)
        clocks = Clocks()

        async def conduct() -> None:
            began_s = time.perf_counter()
            await world.conduct()
            clocks.wall_s, clocks.world_ns = time.perf_counter() - began_s, world.now_ns

        cpu_s = time.process_time()
        trio.run(system.run, world, conduct)
        system.recorder.finish(clocks.world_ns)
        if timeline is not None:
            timeline.finish(system.gauges(), clocks.world_ns)
        remains = system.remains()
        verdicts = system.judge(remains)
        clocks.cpu_s = time.process_time() - cpu_s
    progress(system.recorder.operations, system.workload.operations)
    return system.outcome(remains, verdicts, clocks, world.events, system.node_statistics())


def _world_of(system: "System", beside: Path, progress: Progress) -> "VirtualWorld | LiveWorld":
    """Make the world in which a system's actors live, told now and then to look how far they are."""
    scenario, recorder, timeline = system.scenario, system.recorder, system.recorder.timeline

    def pause() -> None:
        recorder.fold_if_due()
        recorder.sample(world.now_ns)
        if timeline is not None:
            timeline.sample(world.now_ns, system.gauges())
        progress(recorder.operations, system.workload.operations)

    observer = recorder.observer()
    world: VirtualWorld | LiveWorld
    if system.engine == "virtual":
        costs = cost_model(scenario, beside)
        world = VirtualWorld(costs, scenario.machine.cpus, observer, pause, system.faults)
    else:
        from actors import live  # most runs are virtual, and start sooner without

        world = live.LiveWorld(observer, pause, system.faults)
    return world


def policy_of(scenario: Scenario) -> Policy:
    """Give the policy that a scenario names, with the parameters that it has for it."""
    own = scenario.parameters.get(scenario.lookup.policy)
    return policies.load(scenario.lookup.policy, extra=scenario.lookup.extra, parameters=own)


def strategy_of(scenario: Scenario) -> Strategy:
    """Give the strategy that a scenario names, with the parameters that it has for it."""
    own = scenario.parameters.get(scenario.batch.strategy)
    return strategies.load(scenario.batch.strategy, chunk=scenario.batch.chunk, parameters=own)


class System:
    """The actors of one run and what they own."""

    def __init__(self, scenario: Scenario, workload: Plan, engine: str, timeline: "Timeline | None" = None) -> None:
        if workload.window is not None and scenario.faults.any and not scenario.faults.once:
            allowed = (
                f"true, for workload.kind {scenario.workload.kind}: its flows are lost where a step is done twice"
            )
            raise BadInput("faults.once", "false", allowed)
        self.scenario = scenario
        self.workload = workload
        self.engine = engine
        self.layout = ZoneLayout(scenario.space.nodes, scenario.space.zone_size)
        self.strategy = strategy_of(scenario)
        self.one_lock = strategies.needs_one_lock(self.strategy)
        self.recorder = Recorder(History(workload.cpus), _latencies(scenario, workload.operations), timeline)
        self.kernel = scenario.chosen_kernel
        self.machines = self._node_machines()
        taken = sorted(workload.preload, key=lambda area: area.va_start) if workload.uses_free_space else []
        self.free_space = FreeSpaceMachine(taken, scenario.space.page_size)
        self.lazy_pages = LazyPagesMachine()
        self.vmap: Vmap | None = None
        self.router = Router(
            self.layout,
            policy_of(scenario),
            [ALL_NODES if self.one_lock else address_of_node(node) for node in range(self.layout.nr_nodes)],
        )
        self.inserters = {
            cpu: BatchInserter(self.router, self.strategy, scenario.batch.areas) for cpu in workload.cpus
        }
        for machine in self.machines.values():
            self.recorder.lock(machine.lock)
        self.recorder.history.preload(workload.preload)
        for area in workload.preload if engine != "cluster" else ():
            self.machines[self.router.addresses[self.layout.addr_to_node_id(area.va_start)]].preload([area])
            if self.router.told is not None:
                for node_id in self.router.told(area, self.layout):
                    self.machines[self.router.addresses[node_id]].preload_references(node_id, [area])
        self.served: dict[str, Machine] = {**self.machines}
        """All machines, by where they are served."""
        if workload.uses_free_space:
            self.served[FREE_SPACE] = self.free_space
        if workload.window is not None:
            self.served[LAZY_PAGES] = self.lazy_pages
        self.faults = FaultPlan(scenario, [*self.served]) if scenario.faults.any else None
        self._patience = patience_of(scenario.faults, engine)

    async def run(self, world: World, conduct: Callable[[], Awaitable[None]]) -> None:
        """Run all actors in `world` until the scripts are over; `conduct` lets its time pass."""
        servers = [self._server(address, machine) for address, machine in self.served.items()]
        await run_system(world, servers, self.drivers(world), conduct)

    def judge(self, remains: Remains) -> dict[str, Verdict]:
        """Run the checks on what the run has left."""
        history = self.recorder.history
        history.finish()
        return run_all(
            Evidence(
                layout=self.layout,
                nodes={node.node_id: node.busy for node in remains.nodes},
                free=remains.free,
                freed={node.node_id: node.freed for node in remains.nodes},
                moved={node.node_id: node.moved for node in remains.nodes if node.moved},
                lazy=self._lazy_pages_evidence(remains),
                space=SPACE,
                history=history,
            )
        )

    def outcome(
        self,
        remains: Remains,
        verdicts: dict[str, Verdict],
        clocks: Clocks,
        events: int,
        nodes: list[NodeStatistics],
        cluster: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Give all that the run leaves, once it is judged."""
        return Outcome(
            scenario=self.scenario,
            engine=self.engine,
            virtual_ns=clocks.world_ns,
            wall_s=clocks.wall_s,
            cpu_s=clocks.cpu_s,
            events=events,
            recorder=self.recorder,
            nodes=nodes,
            batches=self.batch_totals(),
            verdicts=verdicts,
            facts=self.workload.facts,
            report=self.workload.report(),
            areas=remains.nodes,
            vmap=self.vmap,
            faults={} if self.faults is None else dict(sorted(self.faults.counts.items())),
            cluster=dict(cluster or {}),
        )

    def _lazy_pages_evidence(self, remains: Remains) -> LazyPagesEvidence | None:
        if self.vmap is None:
            return None
        return LazyPagesEvidence(
            counted=remains.lazy_pages,
            bytes_lazy=sum(area.size for node in remains.nodes for area in node.lazy),
            page_size=self.scenario.space.page_size,
            most=self.vmap.lazy_max_pages,
            undrained=self.vmap.undrained_excess,
        )

    def remains(self) -> Remains:
        """Give what this system's own machines hold."""
        return Remains(
            nodes=self._areas(),
            free=list(self.free_space.space) if self.workload.uses_free_space else None,
            lazy_pages=self.lazy_pages.pages,
        )

    def _areas(self) -> list[NodeAreas]:
        return [
            NodeAreas(
                node_id,
                list(machine.areas(node_id)),
                list(machine.freed(node_id).lazy),
                list(machine.freed(node_id).pools),
                machine.freed(node_id).in_purge,
                machine.moved(node_id),
            )
            for machine in self.machines.values()
            for node_id in machine.node_ids
        ]

    def node_statistics(self) -> list[NodeStatistics]:
        """Give the counters of all nodes, ascending."""
        return [machine.statistics(node_id) for machine in self.machines.values() for node_id in machine.node_ids]

    def gauges(self) -> "Gauges":
        """Give what can be counted now: each node's areas; where vmalloc is used, lazy pages and areas in pools."""
        gauges = {f"areas of node {node.node_id}": node.areas for node in self.node_statistics()}
        if self.vmap is not None:
            gauges["lazy pages"] = self.lazy_pages.pages
            for machine in self.machines.values():
                for node_id in machine.node_ids:
                    gauges[f"areas in pools of node {node_id}"] = len(machine.freed(node_id).pools)
        return gauges

    def batch_totals(self) -> BatchTotals:
        """Add up what the batch inserters did."""
        return BatchTotals(
            sessions=sum(inserter.sessions for inserter in self.inserters.values()),
            areas=sum(inserter.areas for inserter in self.inserters.values()),
        )

    def _node_machines(self) -> dict[str, NodeMachine]:
        page_size = self.scenario.space.page_size
        return {
            actor.address: NodeMachine(self.layout, actor.node_ids, actor.lock, self.kernel, page_size)
            for actor in node_actors(range(self.layout.nr_nodes), one_lock=self.one_lock)
        }

    @property
    def _cpus(self) -> range:
        return range(self.scenario.machine.cpus)

    def _vmap(self, world: Driving) -> Vmap:
        """Make what vmalloc's flows share in `world`."""
        assert self.workload.window is not None, "the workload does without vmalloc"
        page_size = self.scenario.space.page_size
        return Vmap(
            kernel=self.kernel,
            router=self.router,
            online_cpus=self.scenario.machine.cpus,
            purge_lock=Mutex(world.signal, self.recorder.lock("purge")),
            workqueue=Workqueue(world.signal, self._cpus, clients=len(self.workload.cpus)),
            blocks=VmapBlocks(self._cpus, page_size),
            drain_vmap_work=drain_vmap_area_work,
            window=self.workload.window,
            page_size=page_size,
            lazy_scale=self.workload.lazy_scale,
            flush_ns=flushes(self.scenario),
            flush_idle_ns=self.scenario.costs.tlb_flush_idle_ns,
            lock_stat=lambda: self.recorder.locks,
        )

    def drivers(self, world: Driving) -> Sequence[Driver]:
        """Make the clients for `world`, and the kworkers beside them."""
        if self.workload.window is not None:
            self.vmap = self._vmap(world)
        scripts = self.workload.scripts(world)
        drivers = [Driver(cpu, self._script(scripts[cpu], self.inserters[cpu])) for cpu in self.workload.cpus]
        if self.vmap is not None:
            kworker = self._patiently(self.vmap.workqueue.work)
            drivers += [Driver(cpu, kworker) for cpu in self._cpus for _ in range(WORKERS)]
        return drivers

    def _script(self, script: ClientScript, inserter: BatchInserter) -> Script:
        vmap = self.vmap
        if vmap is None:
            forgiving = self.faults is not None or self.engine == "cluster"
            return self._patiently(lambda port: script(Client(port, self.router, inserter, forgiving=forgiving)))

        async def use_vmalloc(port: Port) -> None:
            try:
                await script(VmallocClient(port, self.router, inserter, vmap))
            finally:
                vmap.workqueue.client_is_over()

        return self._patiently(use_vmalloc)

    def _patiently(self, script: Script) -> Script:
        """Make a script patient where messages can get lost; the cluster's world does that itself, to all."""
        return script if self.faults is None or self.engine == "cluster" else patient(script, self._patience)

    def _server(self, address: str, machine: Machine) -> Server:
        """Put a machine behind sessions where messages can arrive twice."""
        if self.faults is None:
            return Server(address, machine)
        return Server(address, SessionMachine(machine, address, once=self.scenario.faults.once))


def _latencies(scenario: Scenario, operations: int) -> Latencies | None:
    if scenario.warmup.method == "none":
        return None
    from sim.metrics.warmup import latencies_without_warmup  # numpy would be a fifth of the time to the first event

    return latencies_without_warmup(scenario.warmup, operations)
