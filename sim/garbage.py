"""Garbage: how often CPython looks for cycles of it while a run or a server lasts."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage cycles rarely: what waits to be folded, and areas in trees, look like growth.

    At CPython's default of 700 new objects the collector takes a seventh of a run's time.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
