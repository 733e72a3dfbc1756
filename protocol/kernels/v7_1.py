"""Give Linux 7.1: non-blocking allocation and a locked shrinker."""

from attrs import evolve

from protocol.kernel import Kernel
from protocol.kernels.v6_16 import v6_16


def v7_1() -> Kernel:
    """Give Linux 7.1: non-blocking allocation and a locked shrinker."""
    return evolve(
        v6_16(),
        name="7.1",
        summary="as 6.16, with non-blocking allocation and a locked shrinker",
        since=(7, 1),
        shrinker="purge-lock",
        nonblocking=True,
    )
