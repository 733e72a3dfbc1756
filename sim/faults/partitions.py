"""Partitions: a host is cut off from all others, in a time; see `[[faults.partitions]]`."""

from collections.abc import Sequence

from sim.faults import Fault
from sim.scenario.faults import Partitions as Table
from sim.scenario.faults import fits
from sim.scenario.model import Scenario


class Partitioned(Fault):
    """Loses what passes between a host and any other actor."""

    def __init__(self, tables: Sequence[Table]) -> None:
        super().__init__()
        self._tables = tables
        self._between: dict[tuple[str, str], list[Table]] = {}

    def fates(self, fates: Sequence[int], source: str, target: str, now_ns: int) -> Sequence[int]:
        """See `Fault.fates`."""
        tables = self._between.get((source, target))
        if tables is None:
            tables = self._between[source, target] = [
                table for table in self._tables if _is_within(table, source) != _is_within(table, target)
            ]
        for table in tables:
            if table.from_ns <= now_ns < table.until_ns:
                self.counts["cut_off"] += 1
                return ()
        return fates


def partitions(scenario: Scenario, servers: Sequence[str]) -> Partitioned:  # noqa: ARG001 (the shape of every fault)
    """Cut a host off from all others, in a time: `[[faults.partitions]]`."""
    return Partitioned(scenario.faults.partitions)


def _is_within(table: Table, actor: str) -> bool:
    return any(fits(pattern, actor) for pattern in table.actors)
