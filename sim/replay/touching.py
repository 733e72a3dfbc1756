"""Which allocations touched some addresses: found by buckets that are about as large as they are.

An allocation is in the one or two buckets of the smallest size that is not below its own, so what it costs to add
one does not depend on how much it touched. A question looks through the buckets of each size in use that its
addresses touch, or through all of that size where these are fewer.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence

SMALLEST_BITS = 16
"""The smallest buckets are of 64 KiB."""

BITS_APART = 4
"""Each size of buckets is 16 times the one before."""


class Touching:
    """The numbers of allocations, ascending, by the addresses that each touched."""

    def __init__(self) -> None:
        self._small: defaultdict[int, list[int]] = defaultdict(list)
        self._by_bits = {SMALLEST_BITS: self._small}
        """For each size of buckets, as the bits of an address within one, the allocations of each bucket."""

    def add(self, index: int, va_start: int, size: int) -> None:
        """Note that an allocation, later than all before, touched `size` bytes from `va_start` on. O(1)."""
        bits, buckets = SMALLEST_BITS, self._small
        if size > 1 << SMALLEST_BITS:
            bits = -(-(size - 1).bit_length() // BITS_APART) * BITS_APART
            buckets = self._by_bits.setdefault(bits, defaultdict(list))
        first, last = va_start >> bits, va_start + size - 1 >> bits
        buckets[first].append(index)
        if last != first:
            buckets[last].append(index)

    def around(self, va_start: int, va_end: int) -> list[Sequence[int]]:
        """Give all that can have touched `[va_start, va_end)`, and others nearby, bucket by bucket, each ascending.

        Some are in two of them. O(what is given) unless the range is larger than most that was added, and
        O(buckets) at most.
        """
        found: list[Sequence[int]] = []
        for bits, buckets in self._by_bits.items():
            first, last = va_start >> bits, va_end - 1 >> bits
            if first == last:
                if first in buckets:
                    found.append(buckets[first])
            elif last - first < len(buckets):
                for bucket in range(first, last + 1):
                    if bucket in buckets:
                        found.append(buckets[bucket])
            else:
                found += (numbers for bucket, numbers in buckets.items() if first <= bucket <= last)
        return found


def between(ascending: Sequence[int], after: int, until: int) -> Sequence[int]:
    """Give the numbers of an ascending sequence that are above `after` and below `until`."""
    return ascending[bisect_right(ascending, after) : bisect_left(ascending, until)]
