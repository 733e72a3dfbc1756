"""vmap blocks: areas of 4 MiB that vm_map_ram() deals out in parts of a power of two of pages.

Mirrors `struct vmap_block`, `struct vmap_block_queue`, `addr_to_vb_idx()`, `addr_to_vb_xa()`, `vb_alloc()`,
`vb_free()` and `purge_fragmented_block()` of mm/vmalloc.c, v6.9. A block is carved from its untouched tail only:
what was freed is *dirty* and comes back with the whole block, when all of it is dirty, or when it is purged:
nothing in use, and (forced or less than a quarter untouched). The locks of queues and blocks belong to one CPU or
one block each and are not modelled.
"""

from collections.abc import Iterator, Sequence

from attrs import define, field

from protocol.area import PAGE_SIZE, VmapArea

VMAP_MAX_ALLOC = 64
"""Pages of the largest part: BITS_PER_LONG. Larger maps get an area of their own."""

VMAP_BBMAP_BITS = 1024
"""Pages of a block: the most there can be, reached on 64 bits, where the space counts as 128 TiB."""

VMAP_PURGE_THRESHOLD = VMAP_BBMAP_BITS // 4
"""Untouched pages below which a block with nothing in use is purged without being forced."""


@define(eq=False)
class VmapBlock:
    """A block of the CPU `cpu`: pages that are untouched (`free`), in use, or dirty."""

    area: VmapArea
    cpu: int
    free: int = VMAP_BBMAP_BITS
    dirty: int = 0
    used_map: int = 0
    """A bit per page that is in use."""

    def allocate(self, order: int) -> int | None:
        """Use the next `2 ** order` untouched pages; gives the first one's number, None if there are too few."""
        pages = 1 << order
        if self.free < pages:
            return None
        offset = VMAP_BBMAP_BITS - self.free
        self.free -= pages
        self.used_map |= ((1 << pages) - 1) << offset
        return offset

    def release(self, offset: int, order: int) -> bool:
        """Make `2 ** order` pages in use dirty; tells whether the whole block is dirty now."""
        mask = ((1 << (1 << order)) - 1) << offset
        assert self.used_map & mask == mask, f"pages {offset} to {offset + (1 << order) - 1} are not in use"
        self.used_map &= ~mask
        self.dirty += 1 << order
        return self.dirty == VMAP_BBMAP_BITS

    def purge(self, force: bool) -> bool:
        """Give the rest up if nothing is in use and it is worth it; tells whether the block can go."""
        if self.free + self.dirty != VMAP_BBMAP_BITS or self.dirty == VMAP_BBMAP_BITS:
            return False
        if not force and self.free >= VMAP_PURGE_THRESHOLD:
            return False
        self.free, self.dirty = 0, VMAP_BBMAP_BITS
        return True

    def runs(self, first: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Give pages `[first, end)` in runs `(first, end, in use)`, as vread_iter() copies or zeroes them."""
        start = first
        for page in range(first, end):
            if page + 1 == end or self._is_used(page) != self._is_used(page + 1):
                yield start, page + 1, self._is_used(page)
                start = page + 1

    def _is_used(self, page: int) -> bool:
        return bool(self.used_map >> page & 1)


@define(eq=False)
class VmapBlocks:
    """All blocks: the free list of each CPU, and an index from addresses to blocks, in a bucket for each CPU."""

    possible_cpus: Sequence[int]
    page_size: int = PAGE_SIZE
    _free_lists: dict[int, list[VmapBlock]] = field(factory=dict)
    _buckets: dict[int, dict[int, VmapBlock]] = field(factory=dict)

    @property
    def block_size(self) -> int:
        """Bytes of a block, and its alignment (VMAP_BLOCK_SIZE)."""
        return VMAP_BBMAP_BITS * self.page_size

    def __iter__(self) -> Iterator[VmapBlock]:
        """Iterate over the blocks, CPU by CPU."""
        return (block for cpu in sorted(self._buckets) for block in self._buckets[cpu].values())

    def bucket(self, addr: int) -> int:
        """Give the CPU whose index has a block: `(addr / VMAP_BLOCK_SIZE) % nr_cpu_ids`, or the next possible one.

        Kernel: `addr_to_vb_xa()`; CPUs that are not possible are passed over since v6.10 (a34acf30b19b).
        """
        nr_cpu_ids = max(self.possible_cpus) + 1
        cpu = addr // self.block_size % nr_cpu_ids
        return cpu if cpu in self.possible_cpus else min(other for other in self.possible_cpus if other > cpu)

    def index(self, addr: int) -> int:
        """Give the key of the block around `addr` in its bucket (kernel: `addr_to_vb_idx`)."""
        return addr // self.block_size

    def find(self, addr: int) -> VmapBlock | None:
        """Find the block around `addr` (kernel: `xa_load`)."""
        return self._buckets.get(self.bucket(addr), {}).get(self.index(addr))

    def allocate(self, cpu: int, order: int) -> int | None:
        """Take pages from the first listed block of the CPU that has enough; gives their address (`vb_alloc`)."""
        for block in self._free_lists.get(cpu, ()):
            offset = block.allocate(order)
            if offset is not None:
                self._unlist_if_full(block)
                return block.area.va_start + offset * self.page_size
        return None

    def add(self, area: VmapArea, cpu: int, order: int) -> int:
        """Make a block of `area` with its first pages in use; gives their address (`new_vmap_block`)."""
        block = VmapBlock(area, cpu)
        block.allocate(order)
        bucket = self._buckets.setdefault(self.bucket(area.va_start), {})
        index = self.index(area.va_start)
        assert index not in bucket, f"a block is at {area} already"
        bucket[index] = block
        self._free_lists.setdefault(cpu, []).append(block)
        self._unlist_if_full(block)
        return area.va_start

    def release(self, addr: int, order: int) -> VmapBlock | None:
        """Make pages dirty; gives their block if all of it is dirty now, to be freed (`vb_free`)."""
        block = self.find(addr)
        assert block is not None, f"no block at {addr:#x}"
        return block if block.release((addr - block.area.va_start) // self.page_size, order) else None

    def fragmented(self, force: bool) -> list[VmapBlock]:
        """Take the blocks that are worth purging off the free lists; they are to be freed."""
        gone = [block for cpu in sorted(self._free_lists) for block in self._free_lists[cpu] if block.purge(force)]
        for block in gone:
            self._free_lists[block.cpu].remove(block)
        return gone

    def erase(self, block: VmapBlock) -> None:
        """Forget a block (kernel: `xa_erase` in free_vmap_block)."""
        erased = self._buckets[self.bucket(block.area.va_start)].pop(self.index(block.area.va_start))
        assert erased is block, f"another block was at {block.area}"

    def _unlist_if_full(self, block: VmapBlock) -> None:
        if not block.free:
            self._free_lists[block.cpu].remove(block)


def get_order(size: int, page_size: int = PAGE_SIZE) -> int:
    """Give the smallest order whose pages hold `size` bytes (kernel: `get_order`)."""
    return max(0, (size - 1) // page_size).bit_length()
