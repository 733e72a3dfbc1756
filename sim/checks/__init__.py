"""Checks: what must be true of every run. Each is one function in a file of its own.

A check looks at the evidence of a finished run and counts the exceptions to its rule.
"""

import sys
from typing import Protocol

from attrs import Factory, frozen

from protocol import registry
from protocol.area import VmapArea, ZoneLayout
from sim.history import History


@frozen
class LazyPagesEvidence:
    """What a run leaves about the pages that are lazily freed."""

    counted: int
    """What the counter says (`vmap_lazy_nr`)."""
    bytes_lazy: int
    """Bytes that the lazy trees hold."""
    page_size: int
    most: int
    """The bound: `lazy_max_pages()`."""
    undrained: int
    """Pages above the bound that a free found, with no drain begun after it; 0 if there are none."""


@frozen
class Evidence:
    """What a run leaves for the checks."""

    layout: ZoneLayout
    nodes: dict[int, list[VmapArea]]
    """The areas of each node, in its tree's order."""
    free: list[VmapArea] | None
    """The free ranges in address order; None where the workload does without the free space."""
    space: tuple[int, int]
    """What busy, freed and free ranges together have to make up: [start, end)."""
    history: History
    freed: dict[int, list[VmapArea]] = Factory(dict)
    """What each node holds of freed areas: pools, lazy tree, and what is being purged."""
    moved: dict[int, dict[int, int]] = Factory(dict)
    """By node, where areas whose home it is live instead: the node, by start address."""
    lazy: LazyPagesEvidence | None = None
    """None where nothing is lazily freed."""


@frozen
class Verdict:
    """How many exceptions to a rule were found, and the first in words."""

    count: int = 0
    first: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the rule holds."""
        return self.count == 0


SEPARATOR = "_"
"""Words of names, as results.json has them (see `protocol.registry`)."""


class Check(Protocol):
    """The shape of a check."""

    def __call__(self, evidence: Evidence) -> Verdict:
        """Judge a finished run."""
        ...


SHAPE = Check
"""What the files of this folder offer (see `protocol.registry`)."""


def verdict_of(exceptions: list[str]) -> Verdict:
    """Give the verdict for a list of exceptions, each in words."""
    return Verdict(len(exceptions), exceptions[0] if exceptions else None)


def run_all(evidence: Evidence) -> dict[str, Verdict]:
    """Run every check of this folder, by its name."""
    folder = sys.modules[__name__]
    verdicts = {name: registry.load(folder, name, {})(evidence) for name in registry.names(folder)}
    for name, verdict in verdicts.items():
        registry.insist(folder, name, verdict, Verdict)
    return verdicts
