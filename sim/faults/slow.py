"""Servers that take longer, in a time; see `[[faults.slow]]`."""

from collections.abc import Sequence

from sim.faults import Fault
from sim.scenario.faults import Slow as Table
from sim.scenario.faults import fits
from sim.scenario.model import Scenario


class Slowed(Fault):
    """Multiplies the factors of all tables that fit."""

    def __init__(self, tables: Sequence[Table]) -> None:
        super().__init__()
        self._tables = tables

    def slowdown(self, address: str, now_ns: int) -> int:
        """See `Fault.slowdown`."""
        factor = 1
        for table in self._tables:
            if table.from_ns <= now_ns < table.until_ns and fits(table.actor, address):
                factor *= table.factor
        return factor


def slow(scenario: Scenario, servers: Sequence[str]) -> Slowed:  # noqa: ARG001 (the shape of every fault)
    """Make servers take longer, in a time: `[[faults.slow]]`."""
    return Slowed(scenario.faults.slow)
