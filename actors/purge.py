"""Purging: lazily freed areas go back, to pools or to the free space, after one flush of all TLBs.

Mirrors `__purge_vmap_area_lazy()`, `purge_vmap_node()`, `decay_va_pool_node()`, `reclaim_list_global()`,
`drain_vmap_area_work()`, `reclaim_and_purge_vmap_areas()`, `_vm_unmap_aliases()` and `vmap_node_shrink_scan()` of
mm/vmalloc.c, v6.8 to v7.1. What differs between the versions is asked of `Vmap.kernel`.
"""

from actors.addresses import FREE_SPACE, LAZY_PAGES
from actors.errors import expect
from actors.freeing import purge_fragmented_blocks
from actors.vmap import Purge, Vmap
from actors.world import Port, Signal
from protocol.area import ULONG_MAX
from protocol.kernel import nr_purge_helpers
from protocol.messages import (
    POPULATE_MOST,
    Areas,
    CollectReclaimed,
    Counted,
    CountPools,
    DecayPools,
    Detached,
    DetachLazy,
    LazyPages,
    PopulatePools,
    ReadLazyPages,
    Released,
    ReleaseMany,
    SubtractLazyPages,
)


async def purge_vmap_area_lazy(vmap: Vmap, port: Port, *, full: bool, drain: bool = False) -> bool:
    """Purge all that is lazily freed, under `vmap_purge_lock`; with `full` no pool keeps anything.

    Kernel: `__purge_vmap_area_lazy()`, v6.8 to v7.1. Pools decay whether there is anything to purge or not. Tells
    whether there was.
    """
    assert vmap.purge_lock.is_held, "purged without vmap_purge_lock"
    with_work: dict[int, Detached] = {}
    for node_id in range(vmap.layout.nr_nodes):
        if vmap.kernel.pools:
            await decay_va_pool_node(vmap, port, node_id, full=full)
        detached = expect(await port.call(vmap.address(node_id), DetachLazy(node_id)), Detached)
        if detached.areas:
            with_work[node_id] = detached
    helpers = 0
    if with_work:
        await flush_tlb_kernel_range(vmap, port)
        helpers = await _purge_nodes(vmap, port, with_work, populate=vmap.kernel.pools and not full)
    start = min((detached.start for detached in with_work.values()), default=ULONG_MAX)
    end = max((detached.end for detached in with_work.values()), default=0)
    npurged = sum(detached.areas for detached in with_work.values())
    vmap.purges.append(Purge(port.now_ns, start, end, npurged, len(with_work), helpers, drain))
    return bool(with_work)


async def flush_tlb_kernel_range(vmap: Vmap, port: Port) -> None:
    """Flush all TLBs, and wait until every CPU has: one that is idle wakes first.

    Kernel: `flush_tlb_kernel_range()` of arch/x86/mm/tlb.c; all of a TLB, by `on_each_cpu()`, as the range is wide.
    """
    await port.sleep(vmap.flush_ns() + (vmap.flush_idle_ns if vmap.any_idle() else 0))


async def _purge_nodes(vmap: Vmap, port: Port, with_work: dict[int, Detached], *, populate: bool) -> int:
    """Purge nodes in ascending order, the first of them by helpers, and wait for these; give their number."""
    nr_lazy = expect(await port.call(LAZY_PAGES, ReadLazyPages()), LazyPages).pages
    helpers = 0
    if vmap.kernel.helpers != "none":
        helpers = nr_purge_helpers(nr_lazy, vmap.lazy_max_pages, len(with_work))
    queued = []
    for number, (node_id, detached) in enumerate(with_work.items()):
        if number < helpers:
            queued.append(_queue_helper(vmap, port, node_id, detached, populate=populate))
        else:
            await purge_vmap_node(vmap, port, node_id, detached, populate=populate)
    for done in queued:
        await port.wait(done)
    return helpers


def _queue_helper(vmap: Vmap, port: Port, node_id: int, detached: Detached, *, populate: bool) -> Signal:
    """Leave a node to a kworker: that of the CPU with the node's number if there is one, or any."""

    async def job(helper: Port) -> None:
        begin_ns = helper.now_ns
        await purge_vmap_node(vmap, helper, node_id, detached, populate=populate)
        helper.complete("purge_vmap_node", begin_ns, detached.start, None)

    if vmap.kernel.helpers == "unbound":
        return vmap.workqueue.queue_unbound(job)
    return vmap.workqueue.queue_on(node_id if vmap.workqueue.has_cpu(node_id) else port.cpu, job)


async def purge_vmap_node(vmap: Vmap, port: Port, node_id: int, detached: Detached, *, populate: bool) -> None:
    """Give what node `node_id` has detached to its pools, and what they do not take to the free space.

    Kernel: `purge_vmap_node()`, v6.9; before that the loop of `__purge_vmap_area_lazy()`. The lazy pages are
    subtracted area by area, or all at once.
    """
    requests = -(-detached.areas // POPULATE_MOST) if populate else 1
    for _ in range(requests):
        left = expect(await port.call(vmap.address(node_id), PopulatePools(node_id, populate)), Areas)
    times = detached.areas if vmap.kernel.lazy_counter == "per-area" else 1
    await port.call(LAZY_PAGES, SubtractLazyPages(detached.pages, times))
    await reclaim_list_global(vmap, port, node_id, left)


async def decay_va_pool_node(vmap: Vmap, port: Port, node_id: int, *, full: bool) -> None:
    """Let the pools of node `node_id` shrink, or empty them, into the free space (v6.9, mended in v6.16)."""
    decayed = expect(await port.call(vmap.address(node_id), DecayPools(node_id, full)), Areas)
    await reclaim_list_global(vmap, port, node_id, decayed)


async def reclaim_list_global(vmap: Vmap, port: Port, node_id: int, reclaimed: Areas) -> None:
    """Give areas back to the free space, all that fit a message under one hold of its lock (v6.9)."""
    while reclaimed.areas:
        expect(await port.call(FREE_SPACE, ReleaseMany(reclaimed.areas)), Released)
        if not reclaimed.more:
            return
        reclaimed = expect(await port.call(vmap.address(node_id), CollectReclaimed(node_id)), Areas)


async def drain_vmap_area_work(vmap: Vmap, port: Port) -> None:
    """Purge once, or until the lazy pages are within their bound: what `drain_vmap_work` does (v6.8: until)."""
    vmap.begin_drain()
    begin_ns = port.now_ns
    while True:
        await vmap.purge_lock.acquire(port)
        await purge_vmap_area_lazy(vmap, port, full=False, drain=True)
        vmap.purge_lock.release(port)
        if vmap.kernel.drain == "once":
            break
        nr_lazy = expect(await port.call(LAZY_PAGES, ReadLazyPages()), LazyPages).pages
        if nr_lazy <= vmap.lazy_max_pages:
            break
    port.complete("drain_vmap_area_work", begin_ns, 0, None)
    vmap.end_drain(port)


async def reclaim_and_purge_vmap_areas(vmap: Vmap, port: Port) -> None:
    """Give all back that can be: fragmented blocks, lazily freed areas, pools (v6.8 to v7.1)."""
    await vmap.purge_lock.acquire(port)
    await purge_fragmented_blocks(vmap, port, force=True)
    await purge_vmap_area_lazy(vmap, port, full=True)
    vmap.purge_lock.release(port)


async def vm_unmap_aliases(vmap: Vmap, port: Port, *, flush: bool) -> None:
    """Purge so that no TLB knows of unmapped pages, with `flush` even if nothing was lazily freed.

    Kernel: `_vm_unmap_aliases()`, v6.8 to v7.1; pools keep what they have but for a usual decay.
    """
    await vmap.purge_lock.acquire(port)
    await purge_fragmented_blocks(vmap, port, force=False)
    if not await purge_vmap_area_lazy(vmap, port, full=False) and flush:
        await flush_tlb_kernel_range(vmap, port)
    vmap.purge_lock.release(port)


async def vmap_node_shrink_scan(vmap: Vmap, port: Port) -> int:
    """Empty all pools, as memory pressure does; gives how many areas the count before promised.

    Kernel: `vmap_node_shrink_count()` and `vmap_node_shrink_scan()`, since v6.9 (7679ba6b36db); under
    `vmap_purge_lock` since April 2026. Without a shrinker nothing happens.
    """
    if vmap.kernel.shrinker == "none":
        return 0
    promised = 0
    for node_id in range(vmap.layout.nr_nodes):
        promised += expect(await port.call(vmap.address(node_id), CountPools(node_id)), Counted).count
    if not promised:
        return 0
    locked = vmap.kernel.shrinker == "purge-lock"
    if locked:
        await vmap.purge_lock.acquire(port)
    for node_id in range(vmap.layout.nr_nodes):
        await decay_va_pool_node(vmap, port, node_id, full=True)
    if locked:
        vmap.purge_lock.release(port)
    return promised
