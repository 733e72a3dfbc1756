"""Chance: one stream of random numbers per user, all derived from the run's seed.

A stream is named after who uses it, so that a new user does not change what the others draw. Seeding
with a string hashes it with SHA-512 (Python's seeding version 2): the same on every machine.
"""

from random import Random


def stream(seed: int, user: str) -> Random:
    """Give the stream of `user`, from its beginning."""
    return Random(f"vmapsim/{seed}/{user}")


def around(random: Random, jitter: float) -> float:
    """Draw uniformly from 1 - `jitter` to 1 + `jitter`."""
    return 1 + jitter * (2 * random.random() - 1)


def spread(random: Random, mean: int, jitter: float) -> int:
    """Draw uniformly from 1 - `jitter` to 1 + `jitter` times `mean`, rounded; without `jitter` it is the mean."""
    return round(mean * around(random, jitter))


def exponential(random: Random) -> float:
    """Draw from the exponential distribution of mean 1, by comparing uniform numbers only.

    Von Neumann's method (1951): the first of a descending run of odd length has the density e^-x on [0, 1);
    each run of even length before it adds 1. No logarithm is taken, whose last bit differs between C libraries.
    """
    draw = random.random
    whole = 0
    while True:
        first = last = draw()
        odd = True
        while (following := draw()) < last:
            last = following
            odd = not odd
        if odd:
            return whole + first
        whole += 1
