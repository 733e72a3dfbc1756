"""Every kernel against its slow twin: the same areas, in the same places, after every step.

And no byte is lost: busy, lazily freed, pooled and free areas are the whole space.
"""

from random import Random
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, invariant, multiple, rule

from actors.vmap import Window
from protocol.area import PAGE_SIZE, VMALLOC_START, VmapArea
from protocol.free_machine import SPACE
from protocol.kernel import KERNELS, lazy_max_pages
from protocol.messages import Allocate, FreeSpaceRequest, Reply
from protocol.vmap_block import VMAP_BBMAP_BITS
from protocol.work import Work
from tests.twins.free_space import Shape, SlowFreeSpace, shape_of
from tests.twins.vmap import SlowVmap
from tests.unit.actors.vmalloc_rig import Rig

CPUS = 3
END = VMALLOC_START + 12_000 * PAGE_SIZE
MODULES = (VMALLOC_START + 2**40, VMALLOC_START + 2**40 + 40 * PAGE_SIZE)

cpus = st.integers(0, CPUS - 1)
pages = st.sampled_from([1, 2, 3, 4, 4, 4, 17, 255, 256, 2_800])
aligns = st.sampled_from([1, 1, 4, 64])


class KernelMachine(RuleBasedStateMachine):
    """One client at a time: kworkers have done their work before the next step."""

    kernel: ClassVar[str]
    areas = Bundle[VmapArea]("areas")
    maps = Bundle[tuple[int, int]]("maps")

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(self.kernel, CPUS, window=Window(VMALLOC_START, END), online_cpus=1)
        space = self.rig.free_machine.space
        self.slow = SlowVmap(
            kernel=KERNELS[self.kernel],
            nodes=self.rig.layout.nr_nodes,
            zone=self.rig.layout.zone_size,
            page=PAGE_SIZE,
            window=(VMALLOC_START, END),
            lazy_max=lazy_max_pages(1),
            free=SlowFreeSpace(*SPACE),
            shape=lambda: self.shapes.pop(0),
        )
        self.shapes: list[Shape] = []
        handle = self.rig.free_machine.handle

        def note_shape(request: FreeSpaceRequest) -> tuple[Reply, Work]:
            """Keep the tree that an aligned search meets: the one after a purge is another than before."""
            if isinstance(request, Allocate) and request.align > PAGE_SIZE:
                self.shapes.append(shape_of(space))
            return handle(request)

        vars(self.rig.free_machine)["handle"] = note_shape
        self.live: set[int] = set()
        self.mapped: set[int] = set()

    @rule(target=areas, cpu=cpus, pages=pages, align=aligns)
    def alloc_anything(self, cpu: int, pages: int, align: int) -> MultipleResults[VmapArea]:
        return self.alloc(cpu, pages, align)

    def alloc(self, cpu: int, pages: int, align: int) -> MultipleResults[VmapArea]:
        self.shapes.clear()
        got = self.rig.run(self.rig.client(cpu).vmalloc(pages * PAGE_SIZE, align * PAGE_SIZE))
        slow = self.slow.alloc(cpu, (pages + 1) * PAGE_SIZE, align * PAGE_SIZE, self.slow.window)
        return self._allocated(got, slow)

    @rule(target=areas, cpu=cpus)
    def alloc_outside_the_window(self, cpu: int) -> MultipleResults[VmapArea]:
        slow = self.slow.alloc(cpu, 2 * PAGE_SIZE, PAGE_SIZE, MODULES)
        got = self.rig.run(self.rig.client(cpu).vmalloc(PAGE_SIZE, PAGE_SIZE, vstart=MODULES[0], vend=MODULES[1]))
        return self._allocated(got, slow)

    def _allocated(self, got: VmapArea | None, slow: VmapArea | None) -> MultipleResults[VmapArea]:
        assert got == slow
        if got is None or slow is None:
            return multiple()
        assert got.flags == slow.flags
        self.live.add(got.va_start)
        return multiple(got)

    @rule(
        cpu=cpus,
        pages=st.sampled_from([1, 2, 3]),
        count=st.integers(1, 9),
        order=st.randoms(use_true_random=False),
        align=aligns,
    )
    def fill_pools(self, cpu: int, pages: int, count: int, order: Random, align: int) -> None:
        """Allocate several of a size, free them in any order and purge: on kernels with pools they go there.

        The next one of that size comes from there, if the first of them is aligned as it has to be.
        """
        client = self.rig.client(cpu)
        areas = []
        for _ in range(count):
            slow = self.slow.alloc(cpu, (pages + 1) * PAGE_SIZE, 1, self.slow.window)
            assert self.rig.run(client.vmalloc(pages * PAGE_SIZE)) == slow
            areas += [] if slow is None else [slow]
        order.shuffle(areas)
        for area in areas:
            self.slow.free_area(area)
            self.rig.run(client.vfree(area.va_start))
        self.unmap_aliases(cpu)
        self.same()
        self.alloc(cpu, pages, align)

    @rule(cpu=cpus, area=areas)
    def free(self, cpu: int, area: VmapArea) -> None:
        """Areas stay in the bundle: what is free already is looked for instead, and somebody else may be there."""
        if area.va_start in self.live and self.slow.find(area.va_start) == area:
            self.slow.free_area(area)
            self.live.remove(area.va_start)
            assert self.rig.run(self.rig.client(cpu).vfree(area.va_start)) == area
        self.find(cpu, area, 1)

    @rule(cpu=cpus, area=areas, offset=st.integers(0, 3_000 * PAGE_SIZE))
    def find(self, cpu: int, area: VmapArea, offset: int) -> None:
        addr = area.va_start + offset % area.size
        client = self.rig.client(cpu)
        assert self.rig.run(_found(client.find(addr))) == self.slow.find(addr)
        node_0_only = 0 if self.rig.kernel.vread == "node-0" else None
        assert self.rig.run(client.find_exceed(addr)) == self.slow.exceed(addr, node_0_only)

    @rule(cpu=cpus, area=areas, offset=st.integers(-3, 3), count=st.integers(1, 40))
    def vread(self, cpu: int, area: VmapArea, offset: int, count: int) -> None:
        addr = area.va_start + offset * PAGE_SIZE
        reading = self.rig.run(self.rig.client(cpu).vread(addr, count * PAGE_SIZE))
        data = [is_data for start, end, is_data in reading.runs for _ in range(start, end, PAGE_SIZE)]
        assert data == [self.slow.is_data(addr + page * PAGE_SIZE) for page in range(count)]

    @rule(target=maps, cpu=cpus, order=st.integers(0, 6))
    def map(self, cpu: int, order: int) -> MultipleResults[tuple[int, int]]:
        self.shapes.clear()
        got = self.rig.run(self.rig.client(cpu).vm_map_ram(1 << order))
        slow = self.slow.map(cpu, order, VMAP_BBMAP_BITS)
        assert got == slow
        if got is None:
            return multiple()
        self.mapped.add(got)
        return multiple((got, order))

    @rule(cpu=cpus, where=maps)
    def unmap(self, cpu: int, where: tuple[int, int]) -> None:
        addr, order = where
        if addr in self.mapped:
            self.mapped.remove(addr)
            self.slow.unmap(addr, order)
            self.rig.run(self.rig.client(cpu).vm_unmap_ram(addr, 1 << order))

    @rule(target=areas, cpu=cpus, groups=st.integers(1, 3))
    def percpu(self, cpu: int, groups: int) -> MultipleResults[VmapArea]:
        """Their areas have no guard pages, which vread of the twin cannot tell: they go at once."""
        size = 8 * PAGE_SIZE
        offsets = [3 * size * group for group in range(groups)]
        client = self.rig.client(cpu)
        areas = self.rig.run(client.pcpu_get_vm_areas(offsets, [size] * groups, size))
        slow = self.slow.free.allocate_percpu(offsets, [size] * groups, size, *self.slow.window)
        if slow is None:
            self.slow.reclaim()
            slow = self.slow.free.allocate_percpu(offsets, [size] * groups, size, *self.slow.window)
        assert list(areas) == (slow or [])
        if areas:
            self.slow.busy += areas
            self.same()
            for area in areas:
                self.slow.free_area(area)
            self.rig.run(client.pcpu_free_vm_areas(areas))
        return multiple()

    @rule(cpu=cpus)
    def unmap_aliases(self, cpu: int) -> None:
        self.slow.unmap_aliases()
        self.rig.run(self.rig.client(cpu).vm_unmap_aliases())

    @rule(cpu=cpus)
    def shrink(self, cpu: int) -> None:
        self.slow.shrink()
        self.rig.run(self.rig.client(cpu).shrink())

    @invariant()
    def same(self) -> None:
        self.rig.check()
        assert self.rig.busy == sorted(self.slow.busy, key=lambda area: area.va_start)
        for node_id, machine in enumerate(self.rig.nodes):
            lazy = sorted(self.slow.lazy.get(node_id, []), key=lambda area: area.va_start)
            assert self.rig.lazy(node_id) == lazy, f"the lazy tree of node {node_id}"
            sizes = sorted(size for pool_node, size in self.slow.pools if pool_node == node_id)
            pools = [area for size in sizes for area in self.slow.pools[node_id, size]]
            assert list(machine.freed(node_id).pools) == pools, f"the pools of node {node_id}"
        assert list(self.rig.free_machine.space) == list(self.slow.free)


async def _found(search: object) -> VmapArea | None:
    return await search  # type: ignore[misc, no-any-return]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_is_its_slow_twin(kernel: str) -> None:
    """Alloc, free, purge, shrink, find, vread, blocks and percpu areas, on three CPUs."""
    machine = type(f"Kernel{kernel}", (KernelMachine,), {"kernel": kernel})
    case = machine.TestCase  # type: ignore[attr-defined]
    case.settings = settings(max_examples=40, stateful_step_count=40, deadline=None, print_blob=True)
    case().runTest()
