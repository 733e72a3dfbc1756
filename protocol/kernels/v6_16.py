"""Give Linux 6.16: lookups go back; small pools survive a purge, which counts once per node."""

from attrs import evolve

from protocol.kernel import Kernel
from protocol.kernels.v6_10 import v6_10


def v6_16() -> Kernel:
    """Give Linux 6.16: lookups go back; small pools survive a purge, which counts once per node."""
    return evolve(
        v6_10(),
        name="6.16",
        summary="lookups go back to the node before; small pools survive a purge, which counts once per node",
        since=(6, 16),
        policy="backward",
        decay="mended",
        lazy_counter="per-node",
    )
