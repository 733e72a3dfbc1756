"""Workloads: what the CPUs do. Each is one function in a file of its own, named in `workload.kind`.

A workload is planned before the clock starts and gives one script per CPU. Scripts draw from streams of
their own (`sim.chance`) and touch nothing of each other's but through signals of their world.
"""

import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from attrs import field, frozen

from actors.vmap import Window
from actors.world import Driving
from protocol import registry
from protocol.area import VmapArea
from sim.scenario.model import Scenario

SEPARATOR = "_"
"""Words of names: `test_vmalloc` is called as in the kernel (see `protocol.registry`)."""

ClientScript: TypeAlias = Callable[[Any], Coroutine[Any, Any, None]]
"""A CPU's script: a function of its `Client`, or `VmallocClient` where the plan has a window."""


@frozen
class Plan:
    """A workload, ready to be run."""

    cpus: list[int]
    """The CPUs that do something, ascending."""
    preload: list[VmapArea]
    """Areas that are in the trees before the first operation."""
    operations: int
    """About how many operations the scripts will complete, for progress."""
    uses_free_space: bool
    """Whether ranges come from the free space and go back there."""
    scripts: Callable[[Driving], Mapping[int, ClientScript]]
    """Makes the script of each CPU, in the world it will run in."""
    window: Window | None = None
    """Where vmalloc's areas go, for scripts that want a `VmallocClient`, and kworkers beside them."""
    lazy_scale: int = 1
    """By how much less than in the kernel may be lazily freed (`Vmap.lazy_scale`)."""
    facts: dict[str, int] = field(factory=dict)
    """What is worth knowing about the workload's source, for the log."""
    report: Callable[[], dict[str, Any]] = dict
    """Gives what the workload itself found, when its scripts are over: further keys of results.json."""


class Workload(Protocol):
    """The shape of a workload."""

    def __call__(self, scenario: Scenario, beside: Path) -> Plan:
        """Plan the workload of `scenario`; files are looked up in the folder `beside`.

        Raises `BadInput`.
        """
        ...


SHAPE = Workload
"""What the files of this folder offer (see `protocol.registry`)."""


def share_of(total: int, cpus: int, cpu: int) -> int:
    """Deal `total` out to CPUs, and give a CPU's part; the first ones get what does not divide."""
    return total // cpus + (cpu < total % cpus)


def plan(scenario: Scenario, beside: Path) -> Plan:
    """Plan the workload that `scenario` names; raises `BadInput`."""
    folder, name = sys.modules[__name__], scenario.workload.kind
    workload: Workload = registry.load(folder, name, {})
    planned = workload(scenario, beside)
    registry.insist(folder, name, planned, Plan)
    return planned
