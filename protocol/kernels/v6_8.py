"""Give Linux 6.8: one busy tree, one lock (vmap_area_lock), one lazy tree."""

from protocol.kernel import Kernel
from protocol.pools import MAX_VA_SIZE_PAGES


def v6_8() -> Kernel:
    """Give Linux 6.8: one busy tree, one lock (vmap_area_lock), one lazy tree."""
    return Kernel(
        name="6.8",
        summary="one busy tree, one lock (vmap_area_lock), one lazy tree",
        since=(6, 8),
        nodes="one",
        zone_pages=16,
        policy="forward",
        busy_locks=2,
        vread="node-0",
        pools=False,
        pool_limit=MAX_VA_SIZE_PAGES,
        decay="none",
        shrinker="none",
        lazy="global",
        lazy_merges=True,
        lazy_counter="per-area",
        drain="loop",
        helpers="none",
        nonblocking=False,
    )
