"""What is left to kvfree_rcu(): areas that are freed when a grace period is over.

Mirrors of kernel/rcu/tree.c (v6.12) when that is: each CPU collects pointers, and a full page of them is handed
over at once; what stays below that is handed over 5 seconds after the first of it. A recorded kernel took 26 ms
to 5 s.
"""

from collections import deque

from attrs import define, field

from protocol.area import VmapArea

KVFREE_BULK_MAX_ENTR = 507
"""Pointers on a page, after a header of 40 bytes."""

KFREE_DRAIN_NS = 5_000_000_000
"""How long a CPU collects at most (KFREE_DRAIN_JIFFIES)."""


@define
class _Collected:
    """What a CPU has collected, and since when."""

    since_ns: int
    areas: list[VmapArea] = field(factory=list)


@define(eq=False)
class LeftToRcu:
    """The areas of all CPUs that wait; `bulk` of a CPU are handed over together."""

    grace_period_ns: int
    bulk: int
    _collected: dict[int, _Collected] = field(factory=dict)
    _waiting: deque[tuple[int, list[VmapArea]]] = field(factory=deque)
    """When each grace period is over, ascending, and what waits for it."""

    def leave(self, cpu: int, now_ns: int, area: VmapArea) -> None:
        """Leave an area of a CPU."""
        collected = self._collected.setdefault(cpu, _Collected(now_ns))
        collected.areas.append(area)
        if len(collected.areas) >= self.bulk:
            self._hand_over(cpu, now_ns)

    def due(self, now_ns: int) -> list[VmapArea]:
        """Take out what can be freed by now, in the order in which it was left."""
        if self._collected and self.bulk > 1:
            for cpu in [cpu for cpu, own in self._collected.items() if own.since_ns + KFREE_DRAIN_NS <= now_ns]:
                self._hand_over(cpu, now_ns)
        areas: list[VmapArea] = []
        while self._waiting and self._waiting[0][0] <= now_ns:
            areas += self._waiting.popleft()[1]
        return areas

    def next_ns(self) -> int | None:
        """Give when to ask again; None when nothing is left."""
        times = [ends_ns for ends_ns, _areas in self._waiting]
        times += [collected.since_ns + KFREE_DRAIN_NS for collected in self._collected.values()]
        return min(times, default=None)

    def _hand_over(self, cpu: int, now_ns: int) -> None:
        self._waiting.append((now_ns + self.grace_period_ns, self._collected.pop(cpu).areas))
