"""Give Linux 6.9: nodes and pools; lookups go on to the next node."""

from attrs import evolve

from protocol.kernel import Kernel
from protocol.kernels.v6_8 import v6_8


def v6_9() -> Kernel:
    """Give Linux 6.9: nodes and pools; lookups go on to the next node."""
    return evolve(
        v6_8(),
        name="6.9",
        summary="nodes and pools; lookups go on to the next node",
        since=(6, 9),
        nodes="per-cpu",
        vread="two-pass",
        pools=True,
        decay="underflow",
        shrinker="unlocked",
        lazy="per-node",
        lazy_merges=False,
        drain="once",
        helpers="on-cpu",
    )
