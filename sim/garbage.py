"""Garbage: how often CPython looks for cycles of it while many objects are made that form none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage cycles rarely: what is made meanwhile looks like growth, and is not garbage.

    At CPython's default of 700 new objects the collector takes a seventh of a run's time, and a third of a
    trace's reading.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


MANY = 100_000
"""Operations whose runs leave some 20 MB behind."""


@define
class Leftovers:
    """What runs that are over have left in this process, in operations.

    A run's actors, worlds and trio's tasks refer to each other, so that only the collector frees them; left to
    itself it would not, for thousands of runs: it looks at what is old when much has been added to it.
    """

    operations: int = 0

    def add(self, operations: int) -> None:
        """Note that a run of so many operations is over; free what is left when there is much of it.

        Takes some tens of milliseconds then, or more in a process that holds much else.
        """
        self.operations += operations
        if self.operations >= MANY:
            self.operations = 0
            gc.collect()


LEFTOVERS = Leftovers()
