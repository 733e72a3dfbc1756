"""Servers that crash, once or again and again; see `[[faults.crashes]]`.

Each table draws from a stream for each server.
"""

from collections.abc import Iterator, Sequence
from heapq import merge

from actors.faults import Crash
from sim.chance import stream
from sim.faults import Fault
from sim.scenario.faults import Crashes as Table
from sim.scenario.faults import fits
from sim.scenario.model import Scenario


class Crashing(Fault):
    """Merges the crashes of all tables and servers."""

    def __init__(self, tables: Sequence[Table], seed: int, servers: Sequence[str]) -> None:
        super().__init__()
        self._tables = tables
        self._seed = seed
        self._servers = servers

    def crashes(self) -> Iterator[Crash]:
        """See `Fault.crashes`."""
        sources = [
            self._crashes_of(table, index, server)
            for index, table in enumerate(self._tables)
            for server in self._servers
            if fits(table.actor, server)
        ]
        return merge(*sources, key=lambda crash: crash.at_ns)

    def _crashes_of(self, table: Table, index: int, server: str) -> Iterator[Crash]:
        if not table.every_ns:
            yield Crash(table.at_ns, server, table.down_ns)
            return
        random = stream(self._seed, f"faults/crashes/{index}/{server}")
        at_ns = table.at_ns
        while True:
            at_ns += 1 + round(random.expovariate(1.0 / table.every_ns))
            yield Crash(at_ns, server, table.down_ns)


def crashes(scenario: Scenario, servers: Sequence[str]) -> Crashing:
    """Crash servers, once or again and again: `[[faults.crashes]]`."""
    return Crashing(scenario.faults.crashes, scenario.seed, servers)
