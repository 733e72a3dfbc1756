"""How often and how long a virtual CPU stands still, from the longest holds in /proc/lock_stat.

A lock that is taken with preemption off is held for long only while an interrupt is served, or while the host runs
something else. Of each class the file has the longest hold and the sum of all. If stops begin at some rate while a
CPU runs, and are exponentially distributed in length, then a class that was held for H in all was hit by r H of
them, and the longest hold tells of the longest one. Which rate and length make the longest holds of all classes
likeliest is what `estimated_stops` gives. `python -m sim.published.stops` prints it of the machine of
docs/explanation/lockstat.md.
"""

import sys
from collections.abc import Iterable, Sequence
from math import exp, log
from pathlib import Path
from typing import TypeAlias

import click
from attrs import frozen

from sim.lock_stat import read_lock_stat

CLASSES = (
    "&vn->busy.lock",
    "&vn->lazy.lock",
    "&vn->pool_lock",
    "free_vmap_area_lock",
    "&pcp->lock",
    "rcu_read_lock_sched-R",
)
"""Classes that are taken with preemption off and interrupts on, and not within each other."""

INTERRUPT_MS = 2.5
"""More than an interrupt, and what follows it, take: a guess. (With 2 ms there are 5.4 stops of 3.4 ms.)"""

SHORTEST_MS, LONGEST_MS = 0.5, 50.0
"""Mean lengths that are considered."""

Held: TypeAlias = tuple[float, float]
"""For how long a class was held in all, in ms, and its longest hold."""


@frozen
class Stops:
    """Stops of a CPU: how many in a second of its running, and their mean length."""

    per_second: float
    mean_ms: float


def estimated_stops(classes: Sequence[Held], interrupt_ms: float = INTERRUPT_MS) -> Stops:
    """Give the likeliest stops (maximum likelihood); holds up to `interrupt_ms` say only that no stop was longer.

    For a length the likeliest rate is known; the length is looked for between `SHORTEST_MS` and `LONGEST_MS`, in
    steps of a thousandth. Raises `ValueError` where no hold was longer, or the likeliest length is none of these.
    """
    longer = [longest for _held, longest in classes if longest > interrupt_ms]
    if not longer:
        raise ValueError(f"no hold of more than {interrupt_ms} ms")

    def rate(mean_ms: float) -> float:
        return len(longer) / max(
            sys.float_info.min, sum(held * exp(-max(longest, interrupt_ms) / mean_ms) for held, longest in classes)
        )

    def likelihood(mean_ms: float) -> float:
        return len(longer) * log(rate(mean_ms) / mean_ms) - sum(longer) / mean_ms

    lengths = [SHORTEST_MS * 1.001**step for step in range(round(log(LONGEST_MS / SHORTEST_MS) / log(1.001)))]
    mean_ms = max(lengths, key=likelihood)
    if mean_ms in (lengths[0], lengths[-1]):
        raise ValueError(f"no mean length between {SHORTEST_MS} and {LONGEST_MS} ms makes such holds likeliest")
    return Stops(1000 * rate(mean_ms), mean_ms)


def held_of(files: Iterable[Path]) -> list[Held]:
    """Read the classes of each file. Raises `BadInput`."""
    read = [read_lock_stat(path) for path in files]
    return [
        (classes[name].hold_total_us / 1000, classes[name].hold_max_us / 1000)
        for classes in read
        for name in CLASSES
        if name in classes
    ]


def main() -> None:
    """Print the stops of the machine whose lock statistics are beside the scenario."""
    found = estimated_stops(held_of(sorted(Path("configs/published/lockstat-smp2").glob("*-t?.txt.gz"))))
    click.echo(f"{found.per_second:.2f} a second, {found.mean_ms:.2f} ms on average")


if __name__ == "__main__":
    main()
