"""Drains, here and on the machine: what their purges purged, and how long after the first the second one ended."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import TypeAlias

from attrs import frozen

from sim.traces.events import PurgeEvent
from sim.traces.read import read_trace

Purged: TypeAlias = tuple[int, int]
"""When a purge ended, in microseconds, and how many areas it purged."""

SECOND = 0.7
"""A purge of fewer areas than this share of a drain's first one is one of what was freed in the meantime."""

SOON_US = 15_000
"""By how much a third purge ends later at most; a second one may end as late as it likes."""

TICK_US = 4000
"""A second purge of a few areas that ends later than this has waited for its turn."""


@frozen
class Drain:
    """A drain: a purge of what was too much, and one of what was freed while that one ran, if anything was.

    Seldom there is a third one, by a free that had found too much before it was interrupted; it is left out.
    """

    first: Purged
    second: Purged | None
    last_us: int
    """When its latest purge ended."""

    @property
    def later_us(self) -> int:
        """How long after the first purge the second one ended; 0 without one."""
        return self.second[0] - self.first[0] if self.second else 0


def drains_of(purges: Iterable[Sequence[int]]) -> list[Drain]:
    """Tell which purges, in the order of their ends, belong together."""
    drains: list[Drain] = []
    for end_us, areas in purges:
        latest = drains[-1] if drains else None
        if latest is None or areas >= SECOND * latest.first[1]:
            drains.append(Drain((end_us, areas), None, end_us))
        elif latest.second is None:
            drains[-1] = Drain(latest.first, (end_us, areas), end_us)
        elif end_us - latest.last_us <= SOON_US:
            drains[-1] = Drain(latest.first, latest.second, end_us)
        else:
            drains.append(Drain((end_us, areas), None, end_us))
    return drains


def recorded_drains(path: Path) -> dict[str, list[Drain]]:
    """Read the drains of each test from a trace with marks `TEST name` and `TEST-END name`. Raises `TraceError`.

    They are the purges of kworkers.
    """
    trace = read_trace(path)
    purges = [event for event in trace.events if isinstance(event, PurgeEvent) and event.task.startswith("kworker")]
    found: dict[str, list[Drain]] = {}
    for mark, after in zip(trace.marks, trace.marks[1:], strict=False):
        kind, _, rest = mark.text.partition(" ")
        if kind == "TEST":
            own = [purge for purge in purges if mark.line < purge.line < after.line]
            found[rest.split()[0]] = drains_of((purge.time_ns // 1000, purge.num_purged) for purge in own)
    return found


def drains_table(loads: Mapping[str, tuple[Sequence[Drain], Sequence[Drain]]]) -> list[str]:
    """Give the table of what drains did in each load that has any: the machine's, ours."""
    lines = [
        "| load | drains | without a second purge | areas, first | areas, second | ms later | later than a tick |",
        "|---" * 7 + "|",
    ]
    for name, both in loads.items():
        if all(both):
            cells = (" ".join(texts) for texts in zip(*map(_cells, both), strict=True))
            lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def _cells(drains: Sequence[Drain]) -> list[str]:
    later = [drain.later_us for drain in drains if drain.second]
    seconds = [drain.second[1] for drain in drains if drain.second]
    return [
        str(len(drains)),
        str(len(drains) - len(later)),
        f"{mean(drain.first[1] for drain in drains):.0f}",
        f"{mean(seconds):.0f}" if seconds else "-",
        f"{mean(later) / 1000:.1f}" if later else "-",
        str(sum(us > TICK_US for us in later)),
    ]
