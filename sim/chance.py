"""Chance: one stream of random numbers per user, all derived from the run's seed.

A stream is named after who uses it, so that a new user does not change what the others draw. Seeding
with a string hashes it with SHA-512 (Python's seeding version 2): the same on every machine.
"""

from random import Random


def stream(seed: int, user: str) -> Random:
    """Give the stream of `user`, from its beginning."""
    return Random(f"vmapsim/{seed}/{user}")
