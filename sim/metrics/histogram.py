"""Log-linear buckets for times: exact below 256 ns, within 0.4 % above.

A value v of b bits falls into one of 128 buckets per power of two, [x << e, (x + 1) << e) with
e = max(0, b - 8), and stands for the bucket's middle: the error is at most half a bucket's width,
2^e / 2 of at least 128 * 2^e, that is 1/256. (The scheme of HdrHistogram; Gil Tene, 2012.)
"""

from collections.abc import Mapping

SUB_BITS = 7
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
    total = sum(counts.values())
    rank = -(-total * per_mille // 1000)
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= rank:
            return min(value_of(bucket), largest)
    return 0
