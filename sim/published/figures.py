"""The figures that were published, with their sources. All are of others' machines; none is the simulator's."""

from typing import NamedTuple

V1_DEFAULT_US: tuple[float, ...] = (
    0.576131, 2.68376, 4.26502, 6.04306, 8.04786, 9.38844, 9.53481, 10.4609, 10.6089, 11.7372, 11.5969, 13.053,
    12.2973, 13.1429, 13.7348, 14.3687, 14.8823, 14.9571, 14.9127, 16.0786, 15.8055, 16.8087, 16.7298, 17.244,
    17.8416, 18.8008, 18.5591, 19.761, 20.06, 20.4353, 20.9082, 21.0865,
)  # fmt: skip
"""Microseconds per pair of one-page vmalloc and vfree that each of 1 to 32 jobs sees, column "default".

Cover letter of version 1, 22 May 2023, 20230522110849.2921-1-urezki@gmail.com. That they are what a job sees, and
not the machine's mean, is the only reading that fits the first one."""


class Headline(NamedTuple):
    """A run of version 3's headline."""

    wall_s: float
    slowpath: float
    """Share of native_queued_spin_lock_slowpath itself in all samples."""


V3_DEFAULT = Headline(651.271, 0.9307)
V3_SERIES = Headline(51.301, 0.1651)
"""run_test_mask=7 nr_threads=64, Threadripper 3970X, 6.7-rc8: 20240102184633.748113-1-urezki@gmail.com."""

NO_BLOCK_LOCKED_S, NO_BLOCK_S = 1086.099, 41.367
"""no_block_alloc_test on 256 CPUs, with and without a global spinlock around each allocation (July 2025)."""

ONCE_GAIN = 0.04
"""stress-ng pthread on 224 CPUs, one busy lock per allocation instead of two (version 8, 6 March 2024)."""
