"""What is left to kvfree_rcu(): areas that are freed when a grace period is over.

Mirrors of kernel/rcu/tree.c (v6.12) when that is. Each CPU collects pointers, a page of them after the other. Its
monitor (`kfree_rcu_monitor()`) comes 5 seconds after the first pointer, or with a full page a jiffy later, which
the timer wheel rounds up to the second tick from then. It frees the pages whose grace period is over, and hands
over all the rest, full pages or not, unless two batches of its CPU wait already. A batch is freed a grace period
later, its newest page first, by a kworker of an unbound queue, on its CPU: in a recorded trace of CPUs that share
no cache they are `kworker/u17:1` on CPU 0 and `kworker/u19:1` on CPU 2, each where the areas came from, with two
CPUs idle. There one worker's batches have 671 to 956 areas, and the last of them waits 28 to 40 ms.
"""

from collections import deque
from collections.abc import Sequence

from attrs import define, field

from protocol.area import VmapArea

KVFREE_BULK_MAX_ENTR = 507
"""Pointers on a page, after a header of 40 bytes."""

KFREE_DRAIN_NS = 5_000_000_000
"""How long a CPU collects at most (KFREE_DRAIN_JIFFIES)."""

KFREE_N_BATCHES = 2
"""How many batches of a CPU can wait at once."""


@define
class _Page:
    """Some of what a CPU has collected, and when the latest of it came."""

    areas: list[VmapArea] = field(factory=list)
    latest_ns: int = 0


@define
class _Collected:
    """What a CPU has collected, the newest page first, and when its monitor comes."""

    monitor_ns: int
    pages: deque[_Page] = field(factory=lambda: deque([_Page()]))


@define
class _Batch:
    """What a CPU has handed over, and when it can be freed."""

    ends_ns: int
    cpu: int
    areas: list[VmapArea]


@define(eq=False)
class LeftToRcu:
    """The areas of all CPUs that wait, `bulk` of them on a page."""

    grace_period_ns: int
    bulk: int
    tick_ns: int = 0
    """The time between two ticks; with 0 a full page is handed over at once, however many batches wait."""
    _collected: dict[int, _Collected] = field(factory=dict)
    _waiting: deque[_Batch] = field(factory=deque)
    """What was handed over, in the order of time."""

    def leave(self, cpu: int, now_ns: int, area: VmapArea) -> None:
        """Leave an area of a CPU."""
        collected = self._collected.setdefault(cpu, _Collected(now_ns + KFREE_DRAIN_NS))
        if len(collected.pages[0].areas) == self.bulk:
            collected.pages.appendleft(_Page())
        page = collected.pages[0]
        page.areas.append(area)
        page.latest_ns = now_ns
        if len(page.areas) == self.bulk:
            collected.monitor_ns = min(collected.monitor_ns, self._soon(now_ns))

    def due(self, now_ns: int) -> list[tuple[int, list[VmapArea]]]:
        """Take out what can be freed by now, each CPU's together, in the order in which that happens."""
        due = []
        while self._waiting and self._waiting[0].ends_ns <= now_ns:
            batch = self._waiting.popleft()
            due.append((batch.cpu, batch.areas))
        for cpu in [cpu for cpu, own in self._collected.items() if own.monitor_ns <= now_ns]:
            if ready := self._monitor(cpu, now_ns):
                due.append((cpu, ready))
        return due

    def __bool__(self) -> bool:
        return bool(self._collected or self._waiting)

    def next_ns(self) -> int | None:
        """Give when to ask again; None when nothing is left."""
        times = [batch.ends_ns for batch in self._waiting]
        times += [collected.monitor_ns for collected in self._collected.values()]
        return min(times, default=None)

    def _monitor(self, cpu: int, now_ns: int) -> list[VmapArea]:
        """Take out what a CPU can free at once, and hand the rest over or try again soon."""
        collected = self._collected[cpu]
        ready = []
        while collected.pages and collected.pages[-1].latest_ns + self.grace_period_ns <= now_ns:
            ready += collected.pages.pop().areas
        if not collected.pages:
            del self._collected[cpu]
        elif not self.tick_ns or sum(batch.cpu == cpu for batch in self._waiting) < KFREE_N_BATCHES:
            self._waiting.append(_Batch(now_ns + self.grace_period_ns, cpu, _in_order(collected.pages)))
            del self._collected[cpu]
        else:
            collected.monitor_ns = self._soon(now_ns)
        return ready

    def _soon(self, now_ns: int) -> int:
        return (now_ns // self.tick_ns + 2) * self.tick_ns if self.tick_ns else now_ns


def _in_order(pages: Sequence[_Page]) -> list[VmapArea]:
    return [area for page in pages for area in page.areas]
