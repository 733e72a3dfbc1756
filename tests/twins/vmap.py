"""vmalloc as lists: what each kernel does with areas, by linear scan, one operation at a time.

Where the kernel's choice depends on the shape of its tree of free ranges, the shape is given.
"""

from collections.abc import Callable

from attrs import define, field

from protocol.area import VMAP_BLOCK, VMAP_RAM, VmapArea
from protocol.kernel import Kernel
from tests.twins.free_space import Shape, SlowFreeSpace

U64 = 2**64


@define(eq=False)
class SlowBlock:
    """A vmap block as a list of pages: "u" untouched, "x" in use, "d" dirty."""

    area: VmapArea
    cpu: int
    pages: list[str]


@define(eq=False)
class SlowVmap:
    """The areas of a machine with `nodes` nodes, zones of `zone` bytes, and a vmalloc window."""

    kernel: Kernel
    nodes: int
    zone: int
    page: int
    window: tuple[int, int]
    lazy_max: int
    free: SlowFreeSpace
    shape: Callable[[], Shape]
    """Gives the tree that the next aligned search of the free space meets."""
    busy: list[VmapArea] = field(factory=list)
    lazy: dict[int, list[VmapArea]] = field(factory=dict)
    pools: dict[tuple[int, int], list[VmapArea]] = field(factory=dict)
    blocks: list[SlowBlock] = field(factory=list)

    def alloc(self, cpu: int, size: int, align: int, window: tuple[int, int], flags: int = 0) -> VmapArea | None:
        node_id = None
        if window == self.window and self.kernel.pools and self.nodes > 1:
            node_id = cpu % self.nodes
            flags |= (node_id + 1) * 256
            pool = self.pools.get((node_id, size), [])
            if pool and pool[0].va_start % align == 0:
                return self._insert(pool.pop(0), flags)
            if pool:
                pool.append(pool.pop(0))
        got = self._from_free(size, align, window)
        if got is None:
            self.reclaim()
            got = self._from_free(size, align, window)
        return None if got is None else self._insert(got, flags)

    def _from_free(self, size: int, align: int, window: tuple[int, int]) -> VmapArea | None:
        shape = self.shape() if align > self.page else None
        return self.free.allocate(size, align, *window, shape)

    def _insert(self, area: VmapArea, flags: int) -> VmapArea:
        area = VmapArea(area.va_start, area.va_end, flags)
        self.busy.append(area)
        return area

    def find(self, addr: int) -> VmapArea | None:
        return next((area for area in self.busy if area.va_start <= addr < area.va_end), None)

    def exceed(self, addr: int, node_id: int | None = None) -> VmapArea | None:
        above = [area for area in self.busy if area.va_end > addr]
        if node_id is not None:
            above = [area for area in above if area.va_start // self.zone % self.nodes == node_id]
        return min(above, key=lambda area: area.va_start, default=None)

    def free_area(self, area: VmapArea) -> None:
        """Take `area` out and free it lazily; above the bound all is purged."""
        area = next(there for there in self.busy if there == area)
        self.busy.remove(area)
        home = area.flags // 256 - 1 if area.flags >= 256 else area.va_start // self.zone % self.nodes
        node_id = 0 if self.kernel.lazy == "global" else home
        lazy = self.lazy.setdefault(node_id, [])
        lazy.append(area)
        if self.kernel.lazy_merges:
            self.lazy[node_id] = joined(lazy)
        if sum(there.size for areas in self.lazy.values() for there in areas) // self.page > self.lazy_max:
            self.purge(full=False)

    def purge(self, full: bool) -> None:
        detached = {}
        for node_id in range(self.nodes):
            if self.kernel.pools:
                self._decay(node_id, full)
            detached[node_id] = sorted(self.lazy.pop(node_id, []), key=lambda area: area.va_start)
        for node_id, areas in detached.items():
            for area in areas:
                pooled = area.size <= self.kernel.pool_limit * self.page and area.flags >= 256
                if self.kernel.pools and not full and pooled:
                    self.pools.setdefault((node_id, area.size), []).insert(0, area)
                else:
                    self.free.release(area)

    def _decay(self, node_id: int, full: bool) -> None:
        """Count down as the kernels do, those up to v6.15 in unsigned arithmetic after the first area."""
        for (pool_node, _size), pool in self.pools.items():
            if pool_node != node_id:
                continue
            left = len(pool) // 4
            while pool:
                if not full and self.kernel.decay == "mended" and left == 0:
                    break
                self.free.release(pool.pop(0))
                left = (left - 1) % U64
                if not full and self.kernel.decay == "underflow" and left == 0:
                    break

    def shrink(self) -> None:
        if self.kernel.shrinker != "none":
            for node_id in range(self.nodes):
                self._decay(node_id, full=True)

    def reclaim(self) -> None:
        self._purge_blocks(force=True)
        self.purge(full=True)

    def unmap_aliases(self) -> None:
        self._purge_blocks(force=False)
        self.purge(full=False)

    # -- blocks -----------------------------------------------------------------------------------

    def map(self, cpu: int, order: int, block_pages: int) -> int | None:
        for block in self.blocks:
            if block.cpu == cpu and block.pages.count("u") >= 1 << order:
                return self._carve(block, order)
        size = block_pages * self.page
        area = self.alloc(cpu, size, size, self.window, VMAP_RAM | VMAP_BLOCK)
        if area is None:
            return None
        self.blocks.append(SlowBlock(area, cpu, ["u"] * block_pages))
        return self._carve(self.blocks[-1], order)

    def _carve(self, block: SlowBlock, order: int) -> int:
        first = block.pages.index("u")
        block.pages[first : first + (1 << order)] = "x" * (1 << order)
        return block.area.va_start + first * self.page

    def unmap(self, addr: int, order: int) -> None:
        block = next(block for block in self.blocks if addr in block.area)
        first = (addr - block.area.va_start) // self.page
        block.pages[first : first + (1 << order)] = "d" * (1 << order)
        if set(block.pages) == {"d"}:
            self._free_block(block)

    def _purge_blocks(self, force: bool) -> None:
        for block in list(self.blocks):
            untouched = block.pages.count("u")
            if "x" not in block.pages and untouched and (force or untouched < len(block.pages) // 4):
                self._free_block(block)

    def _free_block(self, block: SlowBlock) -> None:
        self.blocks.remove(block)
        self.free_area(block.area)

    # -- reading ----------------------------------------------------------------------------------

    def is_data(self, addr: int) -> bool:
        """Tell whether the page at `addr` reads as data: of an allocation, without its guard page, or a map."""
        area = self.find(addr)
        if area is None:
            return False
        page = (addr - area.va_start) // self.page
        if area.flags & VMAP_BLOCK:
            return next(block for block in self.blocks if block.area == area).pages[page] == "x"
        return addr < area.va_end - self.page


def joined(areas: list[VmapArea]) -> list[VmapArea]:
    """Merge areas that touch."""
    result: list[VmapArea] = []
    for area in sorted(areas, key=lambda area: area.va_start):
        if result and result[-1].va_end == area.va_start:
            result[-1] = VmapArea(result[-1].va_start, area.va_end)
        else:
            result.append(area)
    return result
