"""Give the reviewed patch, v3 04/11: nodes in place, nr_vmap_nodes = 1."""

from attrs import evolve

from protocol.kernel import Kernel
from protocol.kernels.v6_8 import v6_8


def v3_04() -> Kernel:
    """Give the reviewed patch, v3 04/11: nodes in place, nr_vmap_nodes = 1."""
    return evolve(
        v6_8(),
        name="v3-04",
        summary="the reviewed patch: nodes in place, nr_vmap_nodes = 1",
        since=(6, 8, 1),
        zone_pages=0,
    )
