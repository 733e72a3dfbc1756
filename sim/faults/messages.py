"""Messages that get lost, doubled, late and overtaken; see `[[faults.messages]]`.

They draw from one stream, in the order in which they are sent.
"""

from collections.abc import Sequence

from sim.chance import stream
from sim.faults import Fault
from sim.scenario.faults import Messages as Table
from sim.scenario.faults import fits
from sim.scenario.model import Scenario


class Unreliable(Fault):
    """Lets every table that fits happen to a message."""

    def __init__(self, tables: Sequence[Table], seed: int) -> None:
        super().__init__()
        self._tables = tables
        self._random = stream(seed, "faults/messages").random
        self._between: dict[tuple[str, str], list[Table]] = {}

    def fates(self, fates: Sequence[int], source: str, target: str, now_ns: int) -> Sequence[int]:  # noqa: ARG002
        """See `Fault.fates`."""
        tables = self._between.get((source, target))
        if tables is None:
            tables = self._between[source, target] = [
                table
                for table in self._tables
                if (fits(table.source, source) and fits(table.target, target))
                or (fits(table.source, target) and fits(table.target, source))
            ]
        for table in tables:
            fates = self._apply(table, fates)
        return fates

    def _apply(self, table: Table, fates: Sequence[int]) -> Sequence[int]:
        """Let one table happen to a message; it draws equally often, whatever happens."""
        lost, doubled, delayed, by, held = [self._random() for _ in range(5)]
        if lost < table.loss:
            self.counts["lost"] += bool(fates)
            return ()
        extra_ns = 0
        if delayed < table.delay:
            self.counts["delayed"] += 1
            fewest_ns, most_ns = table.delay_ns
            extra_ns += fewest_ns + int(by * (most_ns - fewest_ns + 1))
        if held < table.reordering:
            self.counts["held_back"] += 1
            extra_ns += table.reorder_ns
        changed = [fate + extra_ns for fate in fates] if extra_ns else list(fates)
        if doubled < table.duplication and changed:
            self.counts["duplicated"] += 1
            changed.append(fates[0])
        return changed


def messages(scenario: Scenario, servers: Sequence[str]) -> Unreliable:  # noqa: ARG001 (the shape of every fault)
    """Lose messages, double them, make them late: `[[faults.messages]]`."""
    return Unreliable(scenario.faults.messages, scenario.seed)
