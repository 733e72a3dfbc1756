"""Garbage: how often CPython looks for cycles of it while many objects are made that form none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
