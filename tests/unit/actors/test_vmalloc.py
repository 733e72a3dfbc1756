"""vmalloc's flows, kernel by kernel: which locks, which lists, how many pages."""

import pytest
from attrs import evolve

from actors.freeing import remove_vm_area
from actors.purge import flush_tlb_kernel_range
from actors.vmap import Vmap, Window
from actors.world import Port
from protocol.area import PAGE_SIZE, VMALLOC_START, Vm, VmapArea, VmStruct, encode_vn_id
from protocol.errors import BadRange
from protocol.kernel import KERNELS, Kernel, lazy_max_pages
from protocol.messages import DecayPools, PoolTake, PopulatePools, ReleaseMany, SubtractLazyPages
from tests.unit.actors import HandWorld
from tests.unit.actors.vmalloc_rig import Rig

KIB_64 = 16 * PAGE_SIZE
SMALL = Window(VMALLOC_START, VMALLOC_START + 64 * PAGE_SIZE)


def names(rig: Rig) -> list[str]:
    """The operations that were recorded."""
    return [operation[0] for operation in rig.world.completed]


async def allocate(rig: Rig, count: int, cpu: int = 0, pages: int = 1) -> list[VmapArea]:
    client = rig.client(cpu)
    areas = [await client.vmalloc(pages * PAGE_SIZE) for _ in range(count)]
    assert all(areas)
    return [area for area in areas if area is not None]


async def free(rig: Rig, areas: list[VmapArea], cpu: int = 0) -> None:
    for area in areas:
        assert await rig.client(cpu).vfree(area.va_start) == area


@pytest.mark.parametrize("kernel", KERNELS)
def test_allocated_and_freed_areas_are_conserved(kernel: str) -> None:
    """To the byte, in every kernel, after each step."""
    rig = Rig(kernel)
    areas = rig.run(allocate(rig, 9))
    rig.check()
    rig.run(free(rig, areas[2:7]))
    rig.check()
    rig.run(rig.client().vm_unmap_aliases())
    rig.check()
    assert rig.busy == areas[:2] + areas[7:]


# -- allocation -------------------------------------------------------------------------------------


def test_eight_fresh_pages_share_one_busy_lock() -> None:
    """A page and its guard page: eight of them fill a zone, so eight allocations take the same node's lock."""
    rig = Rig("6.16")
    areas = rig.run(allocate(rig, 9))
    assert [area.size for area in areas] == [2 * PAGE_SIZE] * 9
    homes = [rig.layout.addr_to_node_id(area.va_start) for area in areas]
    assert homes[:8] == [homes[0]] * 8
    assert homes[8] == (homes[0] + 1) % 4
    assert rig.holds(f"busy/{homes[0]}") == 8


@pytest.mark.parametrize(("kernel", "holds"), [("6.8", 2), ("6.9", 2), ("6.10", 1), ("7.1", 1)])
def test_busy_locks_of_an_allocation(kernel: str, holds: int) -> None:
    """Until v6.9 setup_vmalloc_vm() takes the lock once more, and is an operation of its own."""
    rig = Rig(kernel)
    [area] = rig.run(allocate(rig, 1))
    assert rig.holds(f"busy/{rig.layout.addr_to_node_id(area.va_start)}") == holds
    assert rig.busy[0].vm == area.vm == VmStruct(Vm.ALLOC, "vmalloc", 1, 0, PAGE_SIZE)
    assert names(rig) == (["setup_vmalloc_vm", "alloc"] if holds == 2 else ["alloc"])


def test_the_node_is_recorded_although_the_pool_missed() -> None:
    """That is how pools are filled: the CPU's node, whatever the address."""
    rig = Rig("6.16")
    [area] = rig.run(allocate(rig, 1, cpu=3))
    assert area.flags == encode_vn_id(3)
    assert rig.layout.addr_to_node_id(area.va_start) == 0


def test_outside_the_vmalloc_space_there_is_no_pool_and_no_node() -> None:
    rig = Rig("6.16")
    end = VMALLOC_START + KIB_64
    area = rig.run(rig.client(3).vmalloc(PAGE_SIZE, vstart=VMALLOC_START, vend=end))
    assert area.flags == 0
    rig.run(rig.client(3).vfree(area.va_start))
    rig.run(rig.client().vm_unmap_aliases())
    assert all(not rig.pooled(node_id) for node_id in range(4))
    assert not [request for _, request, _ in rig.world.asked if isinstance(request, PoolTake)]
    rig.check()


def test_one_node_has_no_pools() -> None:
    rig = Rig("6.16", cpus=1)
    [area] = rig.run(allocate(rig, 1))
    assert area.flags == 0


def test_an_area_comes_back_from_the_pool_of_the_cpu_only_after_a_purge() -> None:
    """And then with no lock of the free space; to another CPU it does not come."""
    rig = Rig("6.16")
    [area] = rig.run(allocate(rig, 1, cpu=3))
    rig.run(free(rig, [area]))
    [other] = rig.run(allocate(rig, 1, cpu=3))
    assert other.va_start != area.va_start
    rig.run(rig.client().vm_unmap_aliases())
    assert rig.pooled(3) == [area]
    before = rig.holds("free")
    [strange] = rig.run(allocate(rig, 1, cpu=2))
    assert strange.va_start != area.va_start
    [again] = rig.run(allocate(rig, 1, cpu=3))
    assert again == area
    assert rig.holds("free") == before + 1, "the strange one's"


@pytest.mark.parametrize(("pages", "pooled"), [(255, True), (256, False)])
def test_a_mebibyte_misses_the_pools_by_its_guard_page(pages: int, pooled: bool) -> None:
    rig = Rig("6.16")
    rig.run(free(rig, rig.run(allocate(rig, 1, pages=pages))))
    rig.run(rig.client().vm_unmap_aliases())
    assert bool(rig.pooled(0)) is pooled
    rig.check()


@pytest.mark.parametrize(
    ("pages", "align"),
    [(1, PAGE_SIZE), (2, 2 * PAGE_SIZE), (3, 4 * PAGE_SIZE), (4, 4 * PAGE_SIZE), (5, 8 * PAGE_SIZE)],
)
def test_an_io_mapping_is_aligned_to_its_size(pages: int, align: int) -> None:
    """Rounded up to a power of two."""
    rig = Rig("6.16")
    rig.run(allocate(rig, 3, pages=2))
    area = rig.run(rig.client().vmalloc(pages * PAGE_SIZE, flags=Vm.IOREMAP, phys_addr=0xFE000000))
    assert area.va_start % align == 0
    assert area.size == (pages + 1) * PAGE_SIZE
    assert area.vm == VmStruct(Vm.IOREMAP, "vmalloc", 0, 0xFE000000, pages * PAGE_SIZE)


@pytest.mark.parametrize("size", [PAGE_SIZE + 1, 2 * PAGE_SIZE])
def test_a_size_is_rounded_up_and_kept(size: int) -> None:
    rig = Rig("6.16")
    area = rig.run(rig.client().vmalloc(size, flags=Vm.ALLOC | Vm.NO_GUARD))
    assert area.size == 2 * PAGE_SIZE
    assert area.vm.requested_size == size


@pytest.mark.parametrize(("size", "align"), [(0, 1), (PAGE_SIZE, 3), (PAGE_SIZE, 0)])
def test_what_cannot_be_allocated_is_an_error(size: int, align: int) -> None:
    rig = Rig("6.16")
    with pytest.raises(BadRange, match="-EINVAL"):
        rig.run(rig.client().vmalloc(size, align, flags=Vm.ALLOC | Vm.NO_GUARD))


# -- running out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["6.8", "6.9", "7.1"])
def test_when_space_runs_out_all_is_purged_and_then_it_fails_as_the_kernel_says(kernel: str) -> None:
    rig = Rig(kernel, window=SMALL)
    areas = rig.run(allocate(rig, 32))
    rig.run(free(rig, areas[:2]))
    [again] = rig.run(allocate(rig, 1))
    assert again in areas[:2]
    assert [purge.npurged for purge in rig.vmap.purges] == [1 if kernel == "6.8" else 2]
    assert rig.run(rig.client().vmalloc(9 * PAGE_SIZE)) is None
    assert len(rig.vmap.purges) == 2
    assert names(rig)[-1] == "alloc_failed"
    start, end = VMALLOC_START, SMALL.end
    assert dict(rig.vmap.warnings) == {
        f"vmalloc_node_range for size 40960 failed: Address range restricted to {start:#x} - {end:#x}": 1
    }
    rig.check()


def test_running_out_empties_the_pools_of_all_nodes() -> None:
    rig = Rig("6.16", window=SMALL)
    rig.run(free(rig, rig.run(allocate(rig, 31, cpu=1)), cpu=1))
    rig.run(rig.client().vm_unmap_aliases())
    assert len(rig.pooled(1)) == 31
    assert rig.run(rig.client(2).vmalloc(50 * PAGE_SIZE)) is not None
    assert rig.pooled(1) == []
    rig.check()


def test_when_a_purge_is_not_enough_the_notifiers_free_and_what_they_free_is_purged() -> None:
    """Each time anything was freed all begins again, the purge too; when nothing is, that is the end of it."""
    rig = Rig("6.16", window=SMALL)
    spare = rig.run(allocate(rig, 32))
    asked: list[str] = []

    async def has_nothing(_vmap: Vmap, _port: Port) -> int:
        asked.append("nothing")
        return 0

    async def has_areas(vmap: Vmap, port: Port) -> int:
        asked.append("areas")
        freed = [await remove_vm_area(vmap, port, spare.pop(0).va_start) for _ in range(min(2, len(spare)))]
        return sum(area.size // PAGE_SIZE for area in freed if area is not None)

    rig.vmap.vmap_notify_list += [has_nothing, has_areas]
    got = rig.run(rig.client().vmalloc(7 * PAGE_SIZE))
    assert got is not None
    assert (len(spare), asked) == (28, ["nothing", "areas"] * 2)
    assert [purge.npurged for purge in rig.vmap.purges] == [0, 2, 2]
    assert not rig.vmap.warnings
    rig.check()
    assert rig.run(rig.client().vmalloc(128 * PAGE_SIZE)) is None, "more than there is"
    assert spare == []
    assert [purge.npurged for purge in rig.vmap.purges] == [0, 2, 2, 0, *[2] * 14]
    assert asked[4:] == ["nothing", "areas"] * 15, "the last time they have nothing"
    assert sum(rig.vmap.warnings.values()) == 1
    rig.check()


def test_who_must_not_sleep_is_not_helped_by_a_purge() -> None:
    """-EBUSY at once, where the kernel can do that at all; nobody is asked to free anything."""
    rig = Rig("7.1", window=SMALL)
    rig.run(free(rig, rig.run(allocate(rig, 32))))

    async def must_not_be_asked(_vmap: Vmap, _port: Port) -> int:
        raise AssertionError("asked")

    rig.vmap.vmap_notify_list.append(must_not_be_asked)
    assert rig.run(rig.client().vmalloc(PAGE_SIZE, may_block=False)) is None
    assert rig.vmap.purges == []
    old = Rig("6.16")
    with pytest.raises(BadRange, match=r"a 6\.16 kernel sleeps"):
        old.run(old.client().vmalloc(PAGE_SIZE, may_block=False))


# -- freeing ----------------------------------------------------------------------------------------


def test_a_freed_area_waits_in_the_lazy_tree_of_its_node() -> None:
    """The node of the CPU that allocated, whoever frees; without one that of the address."""
    rig = Rig("6.16", vmlist=[VmapArea(VMALLOC_START + KIB_64, VMALLOC_START + 2 * KIB_64)])
    [area] = rig.run(allocate(rig, 1, cpu=3))
    rig.run(free(rig, [area], cpu=2))
    assert rig.lazy(3) == [area]
    rig.run(rig.client(2).vfree(VMALLOC_START + KIB_64))
    assert rig.lazy(1) == [VmapArea(VMALLOC_START + KIB_64, VMALLOC_START + 2 * KIB_64)]
    assert rig.lazy_pages.pages == 18
    rig.check()


def test_before_the_nodes_all_wait_in_one_tree_merged() -> None:
    rig = Rig("6.8")
    areas = rig.run(allocate(rig, 3))
    rig.run(free(rig, areas))
    assert rig.lazy(0) == [VmapArea(areas[0].va_start, areas[2].va_end)]
    rig.check()


def test_the_first_purge_of_64_cpus_comes_after_28_673_frees_of_a_page() -> None:
    """224 MiB of pages and guard pages may wait: 57,344 pages, two for each free; the next one is too much."""
    rig = Rig("6.16", cpus=1, online_cpus=64)
    areas = rig.run(allocate(rig, 28_673))
    rig.run(free(rig, areas[:28_672]))
    assert (rig.lazy_pages.pages, rig.vmap.purges, rig.vmap.drains_queued) == (57_344, [], 0)
    assert rig.vmap.undrained_excess == 0
    rig.run(free(rig, areas[28_672:]))
    assert [purge.npurged for purge in rig.vmap.purges] == [28_673]
    assert (rig.lazy_pages.pages, rig.vmap.drains_queued, rig.vmap.undrained_excess) == (0, 1, 0)
    assert names(rig).count("drain_vmap_area_work") == 1
    rig.check()


def test_a_drain_that_is_due_while_one_runs_waits_for_its_end() -> None:
    """drain_vmap_work is one work item: queued again while it runs, it runs again afterwards, not beside itself."""
    rig = Rig("6.16", cpus=1, online_cpus=1)
    vmap, port = rig.vmap, HandWorld({}).port
    vmap.count_lazy(port, 8_193)
    vmap.begin_drain()
    vmap.count_lazy(port, 8_193)
    assert (vmap.drain_is_pending, vmap.drains_queued, len(vmap.workqueue._cpus[0].queue)) == (True, 2, 1)
    vmap.end_drain(port)
    assert len(vmap.workqueue._cpus[0].queue) == 2
    vmap.begin_drain()
    vmap.end_drain(port)
    assert (vmap.drain_is_pending, len(vmap.workqueue._cpus[0].queue)) == (False, 2)


# -- purging ----------------------------------------------------------------------------------------


def freed_on_each_cpu(kernel: str | Kernel, pages: int, online_cpus: int = 1) -> Rig:
    """Free one area of `pages` pages, guard page included, of each of four CPUs."""
    rig = Rig(kernel, online_cpus=online_cpus)
    rig.vmap.drain_is_pending = True  # nobody drains meanwhile
    for cpu in range(4):
        rig.run(free(rig, rig.run(allocate(rig, 1, cpu=cpu, pages=pages - 1)), cpu=cpu))
    return rig


@pytest.mark.parametrize(("pages", "helpers"), [(1_024, 0), (4_096, 1), (6_144, 2), (40_000, 3)])
def test_helpers_purge_a_node_each_for_every_further_bound(pages: int, helpers: int) -> None:
    """Four nodes with work and a bound of 8,192 pages: 16,384 lazy pages are one helper's worth."""
    rig = freed_on_each_cpu("6.16", pages)
    rig.run(rig.client().vm_unmap_aliases())
    [purge] = rig.vmap.purges
    assert (purge.npurged, purge.nodes, purge.helpers) == (4, 4, helpers)
    assert names(rig).count("purge_vmap_node") == helpers
    by_helpers = [operation[1] for operation in rig.world.completed if operation[0] == "purge_vmap_node"]
    assert sorted(by_helpers) == list(range(helpers)), "the CPUs of the lowest nodes"
    rig.check()


def test_an_unbound_queue_gives_helpers_to_idle_cpus() -> None:
    rig = freed_on_each_cpu(evolve(KERNELS["7.1"], helpers="unbound"), 40_000)
    rig.run(rig.client(3).vm_unmap_aliases())
    assert names(rig).count("purge_vmap_node") == 3
    rig.check()


@pytest.mark.parametrize(("kernel", "times"), [("6.10", 5), ("6.16", 1), ("7.1", 1)])
def test_lazy_pages_are_subtracted_area_by_area_or_at_once(kernel: str, times: int) -> None:
    rig = Rig(kernel)
    rig.run(free(rig, rig.run(allocate(rig, 5))))
    rig.run(rig.client().vm_unmap_aliases())
    asked = [request for _, request, _ in rig.world.asked if isinstance(request, SubtractLazyPages)]
    assert asked == [SubtractLazyPages(10, times)]


@pytest.mark.parametrize(("idle", "takes_ns"), [(False, 100), (True, 150)])
def test_a_flush_waits_for_a_cpu_that_has_to_wake(idle: bool, takes_ns: int) -> None:
    """It takes longer while one is idle."""
    rig = Rig()
    rig.vmap.flush_ns, rig.vmap.flush_idle_ns, rig.vmap.any_idle = lambda: 100, 50, lambda: idle
    assert flush_tlb_kernel_range(rig.vmap, rig.world.port(0)).send(None) == takes_ns


def test_a_purge_of_nothing_still_decays() -> None:
    """Its record has no range."""
    rig = Rig("6.9")
    rig.run(free(rig, rig.run(allocate(rig, 3))))
    rig.run(rig.client().vm_unmap_aliases())
    assert len(rig.pooled(0)) == 3
    rig.run(rig.client().vm_unmap_aliases())
    assert rig.pooled(0) == []
    assert (rig.vmap.purges[1].npurged, rig.vmap.purges[1].start, rig.vmap.purges[1].end) == (0, 2**64 - 1, 0)
    rig.check()


def test_a_purge_takes_the_free_space_once_per_node_for_leftovers() -> None:
    rig = freed_on_each_cpu("6.16", 300)
    rig.run(rig.client().vm_unmap_aliases())
    releases = [request for _, request, _ in rig.world.asked if isinstance(request, ReleaseMany)]
    assert [len(request.areas) for request in releases] == [1, 1, 1, 1]


@pytest.mark.parametrize(("kernel", "kept", "holds"), [("6.8", 0, 0), ("6.16", 0, 0), ("7.1", 0, 1)])
def test_the_shrinker_empties_all_pools(kernel: str, kept: int, holds: int) -> None:
    """Where there is one; under the purge's mutex since April 2026. What is lazily freed stays."""
    rig = Rig(kernel)
    areas = rig.run(allocate(rig, 6, cpu=1))
    rig.run(free(rig, areas[:5], cpu=1))
    rig.run(rig.client().vm_unmap_aliases())
    rig.run(free(rig, areas[5:], cpu=1))
    before = rig.purge_statistics.acquisitions
    assert rig.run(rig.client().shrink()) == (0 if kernel == "6.8" else 5)
    assert len(rig.pooled(rig.layout.nr_nodes - 1)) == kept
    assert rig.purge_statistics.acquisitions - before == holds
    assert len([area for node_id in range(rig.layout.nr_nodes) for area in rig.lazy(node_id)]) == 1
    rig.check()


def test_a_forced_purge_populates_no_pool() -> None:
    rig = Rig("6.16", window=SMALL)
    rig.run(free(rig, rig.run(allocate(rig, 32))))
    rig.run(rig.client().vmalloc(40 * PAGE_SIZE))
    populate = {request.populate for _, request, _ in rig.world.asked if isinstance(request, PopulatePools)}
    full = {request.full for _, request, _ in rig.world.asked if isinstance(request, DecayPools)}
    assert (populate, full) == ({False}, {True})


def test_the_bound_follows_the_online_cpus() -> None:
    assert Rig("6.16", online_cpus=64).vmap.lazy_max_pages == lazy_max_pages(64) == 57_344
