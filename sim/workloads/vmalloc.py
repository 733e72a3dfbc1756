"""Kernel code that uses vmalloc: allocations and all that the review's functions do beside them, by given shares.

Everything goes through the flows of `actors/`, so what happens depends on the chosen kernel: pools, lazy trees,
purges by kworkers. Each CPU frees what it allocated itself, but for areas of the vmlist, which are dealt out to
the CPUs.

Sizes and alignments are those of a real kernel: the 16,256 allocations of configs/traces/deb-smp4.txt.gz, of
which a third are thread stacks (4 pages and a guard page, aligned to 16 KiB).
"""

from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import TypeAlias

from attrs import define, field

from actors.freeing import remove_vm_area
from actors.vmalloc_client import VmallocClient
from actors.vmap import MODULES, Vmap, Window
from actors.world import Driving, Port
from protocol.area import VMALLOC_END, VMALLOC_START, Vm, VmapArea, VmStruct, ZoneLayout
from protocol.vmap_block import VMAP_MAX_ALLOC
from sim.chance import stream
from sim.errors import BadInput
from sim.looks import Looks
from sim.scenario.model import Scenario, VmallocUse
from sim.workloads import ClientScript, Plan, share_of

SIZES: tuple[tuple[float, int, int, int], ...] = (
    # share, fewest and most pages without guard page, align in pages
    (0.34, 4, 4, 4),
    (0.10, 1, 1, 1),
    (0.07, 2, 2, 1),
    (0.08, 3, 3, 1),
    (0.03, 7, 7, 1),
    (0.379, 8, 66, 1),
    (0.001, 250, 600, 1),
)
"""Sizes in the trace, rounded; the last line is for what no pool keeps, which the trace has too few of to count."""

CHUNKS = 4
"""Per-CPU chunks that a CPU holds at most; then it frees one."""

DEVICE = 0xFD00_0000
"""Where the I/O memory that is mapped begins."""

Mapped: TypeAlias = tuple[int, int]
"""Address and pages of a vm_map_ram()."""


def vmalloc(scenario: Scenario, beside: Path) -> Plan:  # noqa: ARG001 (the shape of every workload)
    """CPUs that use vmalloc as kernel code does: `[workload.vmalloc]` gives the shares."""
    cpus = scenario.machine.cpus
    use = scenario.workload.vmalloc
    page_size = scenario.space.page_size
    end = VMALLOC_START + use.window_pages * page_size if use.window_pages else VMALLOC_END
    if end > VMALLOC_END:
        most = (VMALLOC_END - VMALLOC_START) // page_size
        raise BadInput("workload.vmalloc.window_pages", str(use.window_pages), f"at most {most}")
    window = Window(VMALLOC_START, end)
    vmlist = list(_vmlist(scenario, window))
    operations = scenario.workload.operations
    looks = Looks(ZoneLayout(scenario.space.nodes, scenario.space.zone_size), page_size)
    machine = [_Cpu(scenario, cpu, vmlist[cpu::cpus], looks) for cpu in range(cpus)]

    def scripts(_world: Driving) -> Mapping[int, ClientScript]:
        return {
            cpu: partial(_run, cpu=machine[cpu], machine=machine, operations=share_of(operations, cpus, cpu))
            for cpu in range(cpus)
        }

    return Plan(
        cpus=list(range(cpus)),
        preload=vmlist,
        operations=operations,
        uses_free_space=True,
        scripts=scripts,
        window=window,
        report=lambda: {"looks": looks.report()},
    )


def _vmlist(scenario: Scenario, window: Window) -> Iterator[VmapArea]:
    """Make the areas of early boot, one after the other from the start of the window (vm_area_add_early())."""
    random = stream(scenario.seed, "vmalloc/vmlist")
    page_size = scenario.space.page_size
    start = window.start
    for _ in range(scenario.workload.preload_areas):
        pages, align = _draw_size(random)
        start += -start % (align * page_size)
        end = start + (pages + 1) * page_size
        if end > window.end:
            allowed = "areas that fit workload.vmalloc.window_pages"
            raise BadInput("workload.preload_areas", str(scenario.workload.preload_areas), allowed)
        yield VmapArea(start, end, 0, VmStruct(Vm.ALLOC, "early_boot", pages, 0, pages * page_size))
        start = end


def _draw_size(random: Random) -> tuple[int, int]:
    """Draw pages without guard page, and an alignment in pages."""
    [(_share, fewest, most, align)] = random.choices(SIZES, [size[0] for size in SIZES])
    return fewest + int(random.random() * (most - fewest + 1)), align


@define
class _Cpu:
    """What one CPU holds, and its stream of chance."""

    scenario: Scenario
    cpu: int
    areas: list[VmapArea]
    looks: Looks
    maps: list[Mapped] = field(factory=list)
    chunks: list[tuple[VmapArea, ...]] = field(factory=list)
    cached: deque[VmapArea] = field(factory=deque)
    """Areas that nobody uses any more and that are still mapped, the one that has been for longest first."""
    random: Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.random = stream(self.scenario.seed, f"vmalloc/{self.cpu}")

    @property
    def use(self) -> VmallocUse:
        """The workload's own table."""
        return self.scenario.workload.vmalloc

    def operations(self, count: int) -> Iterator[str]:
        """Draw names of operations."""
        names = list(self.use.shares)
        return iter(self.random.choices(names, cum_weights=list(accumulate(self.use.shares.values())), k=count))

    def take(self) -> VmapArea:
        """Draw one of the areas and let it go."""
        index = int(self.random.random() * len(self.areas))
        area = self.areas[index]
        self.areas[index] = self.areas[-1]
        self.areas.pop()
        return area

    def address(self) -> tuple[VmapArea, int, bool]:
        """Draw an area, an address in it, and tell whether that is another than the area's start."""
        area = self.areas[int(self.random.random() * len(self.areas))]
        if self.random.random() >= self.use.interior:
            return area, area.va_start, False
        page_size = self.scenario.space.page_size
        pages = area.size // page_size
        return area, area.va_start + page_size * int(self.random.random() * pages), True

    def object(self) -> tuple[VmapArea, int] | None:
        """Draw an area, and an object in its data: its address, a multiple of 8; None if it has no data."""
        area = self.areas[int(self.random.random() * len(self.areas))]
        size = self.looks.end_of_data(area) - area.va_start
        return (area, area.va_start + 8 * int(self.random.random() * (size // 8))) if size else None

    def held(self) -> dict[int, VmapArea]:
        """Give all areas that are busy and stay so until this CPU frees them, by their starts."""
        chunks = (area for chunk in self.chunks for area in chunk)
        return {area.va_start: area for area in (*self.areas, *self.cached, *chunks)}

    async def give_back(self, vmap: Vmap, port: Port) -> int:
        """Free all that is cached, for whoever has no room (kernel: i915_gem_shrinker_vmap()); gives its pages."""
        freed = 0
        while self.cached:
            since = port.accounts
            area = await remove_vm_area(vmap, port, self.cached.popleft().va_start)
            assert area is not None, "a cached area was freed by somebody else"
            port.complete_part("free", since, area.va_start, area)
            freed += area.size // vmap.page_size
        return freed


async def _run(client: VmallocClient, *, cpu: _Cpu, machine: list[_Cpu], operations: int) -> None:
    """Carry out one CPU's operations; what there is nothing for is an allocation instead, and too much a free."""
    think_ns = cpu.scenario.workload.think_ns
    if cpu.use.cached_areas:
        client.vmap.vmap_notify_list.append(cpu.give_back)
    for name in cpu.operations(operations):
        if think_ns:
            await client.sleep(think_ns)
        match name:
            case "free" if cpu.areas:
                await _free(client, cpu)
            case "find" if cpu.areas:
                _area, addr, interior = cpu.address()
                await client.find(addr, "find_interior" if interior else "find")
            case "exceed" if cpu.areas:
                area, addr, _interior = cpu.address()
                cpu.looks.exceeded(area, await client.find_exceed(addr))
            case "vread" if cpu.areas:
                pages = 1 + int(cpu.random.random() * 16)
                area, addr, _interior = cpu.address()
                cpu.looks.read(area, await client.vread(addr, pages * cpu.scenario.space.page_size))
            case "dump_obj" if cpu.areas:
                await _dump(client, cpu)
            case "map":
                await _map(client, cpu)
            case "unmap" if cpu.maps:
                await client.vm_unmap_ram(*cpu.maps.pop(int(cpu.random.random() * len(cpu.maps))))
            case "percpu":
                await _percpu(client, cpu)
            case "unmap_aliases":
                await client.vm_unmap_aliases()
            case "shrink":
                await client.shrink()
            case "vmallocinfo":
                await _list(client, cpu, machine)
            case _ if len(cpu.areas) >= cpu.use.held_areas:
                await _free(client, cpu)
            case _:
                await _alloc(client, cpu)


async def _alloc(client: VmallocClient, cpu: _Cpu) -> None:
    """Allocate for code or data, for a device, or for a module."""
    page_size = cpu.scenario.space.page_size
    pages, align = _draw_size(cpu.random)
    kind = cpu.random.random()
    may_block = cpu.random.random() >= cpu.use.nonblocking or not client.vmap.kernel.nonblocking
    if kind < cpu.use.ioremap:
        device = DEVICE + page_size * int(cpu.random.random() * 4096)
        area = await client.vmalloc(
            min(pages, 16) * page_size, flags=Vm.IOREMAP, caller="ioremap", phys_addr=device, may_block=may_block
        )
    elif kind < cpu.use.ioremap + cpu.use.module:
        area = await client.vmalloc(
            min(pages, 3) * page_size,
            page_size,
            caller="module_alloc",
            vstart=MODULES.start,
            vend=MODULES.end,
            may_block=may_block,
        )
    else:
        area = await client.vmalloc(pages * page_size, align * page_size, may_block=may_block)
    if area is not None:
        cpu.areas.append(area)
        costs = cpu.scenario.costs
        beside_ns = costs.call_ns + pages * costs.page_ns
        if beside_ns:
            await client.sleep(beside_ns)


async def _free(client: VmallocClient, cpu: _Cpu) -> None:
    """Free an area, or the one that has been cached for longest and is one too many with it."""
    cpu.cached.append(cpu.take())
    if len(cpu.cached) > cpu.use.cached_areas:
        await client.vfree(cpu.cached.popleft().va_start)


async def _map(client: VmallocClient, cpu: _Cpu) -> None:
    """Map some pages, once in a while more than a block deals out."""
    most = VMAP_MAX_ALLOC if cpu.random.random() < 0.95 else 2 * VMAP_MAX_ALLOC
    pages = 1 + int(cpu.random.random() * most)
    addr = await client.vm_map_ram(pages)
    if addr is not None:
        cpu.maps.append((addr, pages))


async def _dump(client: VmallocClient, cpu: _Cpu) -> None:
    """Dump an object in one of the areas, unless it is an I/O mapping's."""
    drawn = cpu.object()
    if drawn is not None:
        area, addr = drawn
        cpu.looks.dumped(area, addr, await client.dump_obj(addr))


async def _list(client: VmallocClient, cpu: _Cpu, machine: list[_Cpu]) -> None:
    """List all areas; those that any CPU holds before and after have to be there."""
    before = {start: area for other in machine for start, area in other.held().items()}
    info = await client.vmallocinfo()
    after = {start: area for other in machine for start, area in other.held().items()}
    cpu.looks.listed((area for start, area in before.items() if after.get(start) is area), info)


async def _percpu(client: VmallocClient, cpu: _Cpu) -> None:
    """Get a per-CPU chunk, an area for each group at its distance from the first, or free one."""
    if len(cpu.chunks) >= CHUNKS or (cpu.chunks and cpu.random.random() < 0.5):
        await client.pcpu_free_vm_areas(cpu.chunks.pop(0))
        return
    use, page_size = cpu.use, cpu.scenario.space.page_size
    size = use.percpu_pages * page_size
    fewest, most = use.percpu_groups
    groups = fewest + int(cpu.random.random() * (most - fewest + 1))
    distance = (use.percpu_distance_pages or 2 * use.percpu_pages) * page_size
    offsets = [group * distance for group in range(groups)]
    areas = await client.pcpu_get_vm_areas(offsets, [size] * groups, size)
    if areas:
        cpu.chunks.append(areas)
