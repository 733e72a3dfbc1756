"""Faults: what goes wrong in a run, as answers to a world's questions. Each kind is one function in a file.

It makes a `Fault` of a scenario and the servers of a run. The kinds that have tables in `[faults]` take part where
there are such tables, others where `faults.also` names them. The plan asks one after the other, so that a message's
fate is what the last one makes of it; what is drawn comes from streams of the run's seed: in virtual time the same
faults happen in every run.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import merge
from typing import Protocol

from actors.faults import Crash
from actors.patience import Patience
from protocol import registry
from sim.scenario.faults import TABLES, Faults
from sim.scenario.model import Scenario

ONCE = (0,)
"""The fate of a message to which nothing happens."""


class Fault:
    """One kind of thing that goes wrong; here nothing does: a kind says otherwise where it has a say."""

    counts: Counter[str]
    """What has happened so far, by kind; whoever does it counts it."""

    def __init__(self) -> None:
        self.counts = Counter()

    def fates(self, fates: Sequence[int], source: str, target: str, now_ns: int) -> Sequence[int]:  # noqa: ARG002
        """Give after how many extra ns each copy of a message arrives; `fates` is what was so before."""
        return fates

    def slowdown(self, address: str, now_ns: int) -> int:  # noqa: ARG002
        """Give how many times as long as usual an actor takes now, at least 1."""
        return 1

    def crashes(self) -> Iterator[Crash]:
        """Give all crashes in the order of time; there may be no end to them."""
        return iter(())


class MakesFault(Protocol):
    """The shape of a file's function."""

    def __call__(self, scenario: Scenario, servers: Sequence[str]) -> Fault:
        """Make the fault of `scenario`, for a run with these servers; clients need not be known."""
        ...


SHAPE = MakesFault
"""What the files of this folder offer (see `protocol.registry`)."""


class FaultPlan:
    """Implements `actors.faults.Faults`."""

    def __init__(self, scenario: Scenario, servers: Sequence[str]) -> None:
        """Plan for a run with these servers."""
        faults = scenario.faults
        names = [name for name in TABLES if getattr(faults, name)] + list(faults.also)
        self._faults = [_fault(name, scenario, servers) for name in names]
        self._servers = servers
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> Counter[str]:
        """What has happened so far, by kind."""
        return sum((fault.counts for fault in self._faults), self._counts.copy())

    def fates(self, source: str, target: str, now_ns: int) -> Sequence[int]:
        """See `actors.faults.Faults.fates`."""
        self._counts["messages"] += 1
        fates: Sequence[int] = ONCE
        for fault in self._faults:
            fates = fault.fates(fates, source, target, now_ns)
            if not fates:
                break
        return fates

    def slowdown(self, address: str, now_ns: int) -> int:
        """See `actors.faults.Faults.slowdown`."""
        factor = 1
        for fault in self._faults:
            factor *= fault.slowdown(address, now_ns)
        return factor

    def crashes(self) -> Iterator[Crash]:
        """See `actors.faults.Faults.crashes`."""
        return merge(*(fault.crashes() for fault in self._faults), key=lambda crash: crash.at_ns)

    def crashed(self, address: str) -> None:
        """See `actors.faults.Faults.crashed`."""
        assert address in self._servers, f"{address} is no server of this run"
        self._counts["crashes"] += 1


def _fault(name: str, scenario: Scenario, servers: Sequence[str]) -> Fault:
    folder = sys.modules[__name__]
    make: MakesFault = registry.load(folder, name, {})
    made = make(scenario, servers)
    registry.insist(folder, name, made, Fault)
    return made


def patience_of(faults: Faults, engine: str) -> Patience:
    """Give how patient clients are; where the scenario leaves it open, the engine decides."""
    timeout_ns, deadline_ns = (5_000, 10_000_000) if engine == "virtual" else (10**9, 30 * 10**9)
    return Patience(faults.timeout_ns or timeout_ns, faults.deadline_ns or deadline_ns)
