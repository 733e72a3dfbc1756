"""Give Linux 6.10: as 6.9, with one busy lock per allocation instead of two."""

from attrs import evolve

from protocol.kernel import Kernel
from protocol.kernels.v6_9 import v6_9


def v6_10() -> Kernel:
    """Give Linux 6.10: as 6.9, with one busy lock per allocation instead of two."""
    return evolve(
        v6_9(),
        name="6.10",
        summary="as 6.9, with one busy lock per allocation instead of two",
        since=(6, 10),
        busy_locks=1,
    )
