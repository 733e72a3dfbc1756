"""What scenarios can name, and a line on each: what `list` prints."""

from collections.abc import Callable
from types import ModuleType

import protocol.policies
import protocol.strategies
import sim.checks
import sim.costs
import sim.faults
import sim.topologies
import sim.workloads
from protocol import registry
from protocol.kernel import KERNELS
from sim.scenario import presets

Catalogue = dict[str, str]


def _folder(folder: ModuleType) -> Catalogue:
    return {name: registry.summary(folder, name) for name in registry.names(folder)}


CATALOGUES: dict[str, Callable[[], Catalogue]] = {
    "kernels": lambda: {kernel.name: kernel.summary for kernel in KERNELS.values()},
    "policies": lambda: _folder(protocol.policies),
    "strategies": lambda: _folder(protocol.strategies),
    "workloads": lambda: _folder(sim.workloads),
    "costs": lambda: _folder(sim.costs),
    "topologies": lambda: _folder(sim.topologies),
    "presets": presets.summaries,
    "faults": lambda: _folder(sim.faults),
    "checks": lambda: _folder(sim.checks),
}
"""What can be listed: for each, names and summaries."""
