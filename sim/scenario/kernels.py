"""Kernels: named sets of choices, by the version that made them (sources: docs/reference/kernels.md)."""

from attrs import frozen


@frozen
class Kernel:
    """What a kernel decides where a scenario does not."""

    name: str
    nodes: int
    """Busy trees: 1 before nodes were used; with nodes the scenario's default of 8."""
    policy: str
    """How lookups go on from one node to the next."""
    summary: str


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel("6.8", 1, "forward", "one busy tree, one lock (vmap_area_lock)"),
        Kernel("v3-04", 1, "forward", "the reviewed patch: nodes in place, nr_vmap_nodes = 1"),
        Kernel("6.9", 8, "forward", "nodes; lookups go on to the next node"),
        Kernel("6.10", 8, "forward", "as 6.9"),
        Kernel("6.16", 8, "backward", "lookups go back to the node before"),
        Kernel("7.1", 8, "backward", "as 6.16"),
    )
}
"""All kernels, oldest first. What they decide so far: the number of nodes and the lookup policy."""
