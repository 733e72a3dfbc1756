"""What a run leaves, as plain data: for results, reports, checks and whoever calls `simulate`."""

from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen

from actors.vmap import Vmap
from protocol.area import VmapArea
from protocol.messages import NodeStatistics
from sim.checks import Verdict
from sim.extensions import Extension, loaded
from sim.metrics.recorder import Recorder
from sim.scenario.model import Scenario

Progress = Callable[[int, int], None]
"""Told now and then how many operations are done, and of how many."""


@frozen
class BatchTotals:
    """What the batch inserters did: lock sessions and the areas in them."""

    sessions: int
    areas: int


@frozen
class NodeAreas:
    """What a node holds at the end: busy, lazily freed and pooled areas, each in the order of its own list."""

    node_id: int
    busy: list[VmapArea]
    lazy: list[VmapArea] = field(factory=list)
    pooled: list[VmapArea] = field(factory=list)
    purged: list[VmapArea] = field(factory=list)
    """What a purge has taken up and not brought to its end."""
    moved: dict[int, int] = field(factory=dict)
    """Where areas whose home it is live instead: the node, by start address."""

    @property
    def freed(self) -> list[VmapArea]:
        """All that is not busy."""
        return [*self.lazy, *self.pooled, *self.purged]


@frozen
class Remains:
    """What a run's machines hold at the end, wherever they are."""

    nodes: list[NodeAreas]
    """Ascending by their ids."""
    free: list[VmapArea] | None
    """The free ranges in address order; None where the workload does without the free space."""
    lazy_pages: int = 0
    """What the counter of lazily freed pages says."""


@define
class Clocks:
    """What the clocks say of a run."""

    world_ns: int = 0
    """The world's own time at the end."""
    wall_s: float = 0.0
    cpu_s: float = 0.0


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
    report: dict[str, Any]
    """What the workload itself found: further keys of results.json."""
    areas: list[NodeAreas]
    """What each node holds at the end, ascending: what /proc/vmallocinfo would show, and the pools."""
    vmap: Vmap | None
    """What vmalloc did beside its nodes; None where the workload used busy trees only."""
    faults: dict[str, int] = field(factory=dict)
    """What went wrong, by kind; empty without `[faults]`."""
    cluster: dict[str, Any] = field(factory=dict)
    """What only processes have: commits, connections that broke."""
    extensions: tuple[Extension, ...] = field(factory=loaded)
    """What was loaded besides the program's own files."""

    @property
    def ok(self) -> bool:
        """Whether all checks hold."""
        return all(verdict.ok for verdict in self.verdicts.values())
