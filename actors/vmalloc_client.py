"""A CPU that uses vmalloc as the kernel's callers do: each method is one operation, recorded by its name.

`alloc`, `free`, `vread` and `find` are the names of results.json; all others are the kernel functions' own.
"""

from collections.abc import Sequence

from actors import freeing, percpu, proc, purge, vmalloc, vmap_block, vread
from actors.batch_inserter import BatchInserter
from actors.client import Client
from actors.router import Router
from actors.vmap import Vmap
from actors.world import Port
from protocol.area import Vm, VmapArea
from protocol.vread import Reading


class VmallocClient(Client):
    """One CPU's operations on vmalloc, beside those of every client."""

    def __init__(self, port: Port, router: Router, inserter: BatchInserter, vmap: Vmap) -> None:
        super().__init__(port, router, inserter)
        self.vmap = vmap

    async def vmalloc(
        self,
        size: int,
        align: int = 1,
        *,
        flags: Vm = Vm.ALLOC,
        caller: str = "vmalloc",
        phys_addr: int = 0,
        vstart: int | None = None,
        vend: int | None = None,
        may_block: bool = True,
    ) -> VmapArea | None:
        """Allocate `size` bytes and a guard page (see `vmalloc.get_vm_area`): "alloc", or "alloc_failed"."""
        port = self.port
        begin_ns = port.now_ns
        area = await vmalloc.get_vm_area(
            self.vmap,
            port,
            size,
            align,
            flags=flags,
            caller=caller,
            phys_addr=phys_addr,
            vstart=vstart,
            vend=vend,
            may_block=may_block,
        )
        port.complete("alloc_failed" if area is None else "alloc", begin_ns, size, area)
        return area

    async def vfree(self, addr: int) -> VmapArea | None:
        """Take out the area around `addr` and free it lazily (see `freeing.remove_vm_area`): "free"."""
        port = self.port
        begin_ns = port.now_ns
        area = await freeing.remove_vm_area(self.vmap, port, addr)
        port.complete("free", begin_ns, addr, area)
        return area

    async def vm_map_ram(self, pages: int) -> int | None:
        """Map pages (see `vmap_block.vm_map_ram`): "vb_alloc", "new_vmap_block" or, over 64 pages, "vm_map_ram"."""
        port = self.port
        begin_ns = port.now_ns
        addr, (name, area) = await vmap_block.vm_map_ram(self.vmap, port, pages)
        port.complete("alloc_failed" if addr is None else name, begin_ns, addr or 0, area)
        return addr

    async def vm_unmap_ram(self, addr: int, pages: int) -> None:
        """Unmap pages (see `vmap_block.vm_unmap_ram`): "vb_free", "free_vmap_block" or "vm_unmap_ram"."""
        port = self.port
        begin_ns = port.now_ns
        name, area = await vmap_block.vm_unmap_ram(self.vmap, port, addr, pages)
        # vb_free was told an address in the block: what was taken out begins before it.
        port.complete(name, begin_ns, addr if area is None else area.va_start, area)

    async def pcpu_get_vm_areas(
        self, offsets: Sequence[int], sizes: Sequence[int], align: int
    ) -> tuple[VmapArea, ...]:
        """Allocate a per-CPU chunk's areas (see `percpu.pcpu_get_vm_areas`); "alloc_failed" if there is no room."""
        port = self.port
        begin_ns = port.now_ns
        areas = await percpu.pcpu_get_vm_areas(self.vmap, port, self.inserter, offsets, sizes, align)
        if areas:
            port.complete("pcpu_get_vm_areas", begin_ns, areas[0].va_start, areas)
        else:
            port.complete("alloc_failed", begin_ns, sum(sizes), None)
        return areas

    async def pcpu_free_vm_areas(self, areas: Sequence[VmapArea]) -> None:
        """Free a per-CPU chunk's areas (see `percpu.pcpu_free_vm_areas`)."""
        port = self.port
        begin_ns = port.now_ns
        freed = await percpu.pcpu_free_vm_areas(self.vmap, port, areas)
        port.complete("pcpu_free_vm_areas", begin_ns, areas[0].va_start, freed)

    async def find_exceed(self, addr: int) -> VmapArea | None:
        """Find the lowest area that ends above `addr` (see `vread.find_vmap_area_exceed_addr`)."""
        port = self.port
        begin_ns = port.now_ns
        find = vread.find_vmap_area_exceed_addr
        if self.vmap.kernel.vread == "node-0":
            find = vread.find_vmap_area_exceed_addr_of_node_0
        area = await find(self.vmap, port, addr)
        port.complete("find_vmap_area_exceed_addr", begin_ns, addr, None)
        return area

    async def vread(self, addr: int, count: int) -> Reading:
        """Read a range (see `vread.vread_iter`): "vread"."""
        port = self.port
        begin_ns = port.now_ns
        reading = await vread.vread_iter(self.vmap, port, addr, count)
        port.complete("vread", begin_ns, addr, None)
        return reading

    async def vm_unmap_aliases(self) -> None:
        """Purge, and flush in any case (see `purge.vm_unmap_aliases`): "_vm_unmap_aliases"."""
        port = self.port
        begin_ns = port.now_ns
        await purge.vm_unmap_aliases(self.vmap, port, flush=True)
        port.complete("_vm_unmap_aliases", begin_ns, 0, None)

    async def shrink(self) -> int:
        """Empty all pools (see `purge.vmap_node_shrink_scan`): "vmap_node_shrink_scan"."""
        port = self.port
        begin_ns = port.now_ns
        count = await purge.vmap_node_shrink_scan(self.vmap, port)
        port.complete("vmap_node_shrink_scan", begin_ns, 0, None)
        return count

    async def vmallocinfo(self) -> proc.VmallocInfo:
        """List all areas (see `proc.vmallocinfo`): "vmallocinfo"."""
        port = self.port
        begin_ns = port.now_ns
        info = await proc.vmallocinfo(self.vmap, port)
        port.complete("vmallocinfo", begin_ns, 0, None)
        return info

    async def dump_obj(self, addr: int) -> proc.Dump:
        """Find out what an address belongs to (see `proc.vmalloc_dump_obj`): "vmalloc_dump_obj"."""
        port = self.port
        begin_ns = port.now_ns
        dump = await proc.vmalloc_dump_obj(self.vmap, port, addr)
        port.complete("vmalloc_dump_obj", begin_ns, addr, None)
        return dump
