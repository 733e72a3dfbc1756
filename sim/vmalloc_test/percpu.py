"""Per-CPU memory as far as it makes areas: objects in chunks, each chunk a range of areas.

Mirrors mm/percpu.c coarsely: an object takes its size, at its alignment, of the *unit* of every CPU; a chunk has a
unit for each CPU, and when no chunk has room another one is made by `pcpu_get_vm_areas()`. Chunks that are empty go
back but for one (`pcpu_balance_free()`). Not mirrored: the choice of the fullest chunk that fits, by size
slots, and the boot chunk, which is no area of its own. So the number of chunks is a lower bound that is
approached as objects get smaller.
"""

from collections.abc import Generator

from attrs import define, field

from protocol.area import VmapArea
from sim.vmalloc_test.operations import Answer, Operation, PcpuFreeVmAreas, PcpuGetVmAreas

PCPU_MIN_ALLOC_SIZE = 4
ATOM_SIZE = 2**21
"""Bytes that a group's areas are a multiple of: PMD_SIZE on x86_64 with the embedding first chunk.

/proc/vmallocinfo of a recorded kernel with 4 CPUs shows chunks of 2 MiB, thus units of 512 KiB.
"""

MIN_UNIT_SIZE = 2**15
"""PCPU_MIN_UNIT_SIZE (include/linux/percpu.h)."""


@define(eq=False)
class Chunk:
    """A chunk: its area, how far its units are filled, and how many objects are in it."""

    area: VmapArea
    used: int = 0
    objects: int = 0


@define
class PerCpuMemory:
    """The machine's chunks, for the objects of all workers.

    Two workers that find no room at the same time make a chunk each; the kernel's `pcpu_alloc_mutex` would let the
    second look again.
    """

    cpus: int
    chunks: list[Chunk] = field(factory=list)

    @property
    def group_size(self) -> int:
        """Bytes of a chunk: units of all CPUs, a power of 2 each while they share an atom."""
        units = 1 << max(0, self.cpus - 1).bit_length()
        return max(ATOM_SIZE, units * MIN_UNIT_SIZE)

    @property
    def unit_size(self) -> int:
        """Bytes that a chunk has for each CPU."""
        return self.group_size // (1 << max(0, self.cpus - 1).bit_length())

    def alloc(self, size: int, align: int) -> Generator[Operation, Answer, Chunk | None]:
        """Place an object; gives its chunk, or None when no more chunk could be had."""
        for chunk in self.chunks:
            if self._place(chunk, size, align):
                return chunk
        area = yield PcpuGetVmAreas(self.group_size, ATOM_SIZE)
        if area is None:
            return None
        chunk = Chunk(area)
        self.chunks.append(chunk)
        placed = self._place(chunk, size, align)
        assert placed, f"{size} bytes do not fit into a unit of {self.unit_size}"
        return chunk

    def free(self, chunk: Chunk) -> None:
        """Take an object out of its chunk; an empty one can be filled from the start again."""
        chunk.objects -= 1
        if not chunk.objects:
            chunk.used = 0

    def balance(self) -> Generator[Operation, Answer, None]:
        """Give empty chunks back, all but the first."""
        empty = [chunk for chunk in self.chunks if not chunk.objects]
        for chunk in empty[1:]:
            self.chunks.remove(chunk)
            yield PcpuFreeVmAreas(chunk.area)

    def _place(self, chunk: Chunk, size: int, align: int) -> bool:
        start = -(-chunk.used // align) * align
        end = start + -(-size // PCPU_MIN_ALLOC_SIZE) * PCPU_MIN_ALLOC_SIZE
        if end > self.unit_size:
            return False
        chunk.used = end
        chunk.objects += 1
        return True
