"""Log-linear buckets for times: exact below 2,048 ns, within 0.05 % above.

A value v of b bits falls into one of 1,024 buckets per power of two, [x << e, (x + 1) << e) with
e = max(0, b - 11), and stands for the bucket's middle: the error is at most half a bucket's width,
2^e / 2 of at least 1024 * 2^e, that is 1/2048. (The scheme of HdrHistogram; Gil Tene, 2012.)
"""

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate

SUB_BITS = 10
"""log2 of the buckets per power of two."""


def bucket_of(value: int) -> int:
    """Give the bucket number of a value of 0 or more nanoseconds."""
    exponent = max(0, value.bit_length() - (SUB_BITS + 1))
    return (exponent << SUB_BITS) + (value >> exponent)


def value_of(bucket: int) -> int:
    """Give the middle of a bucket."""
    exponent = max(0, (bucket >> SUB_BITS) - 1)
    low = (bucket - (exponent << SUB_BITS)) << exponent
    return low + ((1 << exponent) - 1) // 2


def percentile(counts: Mapping[int, int], per_mille: int, largest: int) -> int:
    """Give the value at rank ceil(per_mille / 1000 * count) (nearest rank), from counts per bucket.

    At most `largest`, the exact maximum. 0 when there are no counts.
    """
    if not counts:
        return 0
    buckets = sorted(counts)
    seen = list(accumulate(counts[bucket] for bucket in buckets))
    rank = -(-seen[-1] * per_mille // 1000)
    return min(value_of(buckets[bisect_left(seen, rank)]), largest)
