"""What those who look at areas miss: dumps, reads and lists, held against what their callers know to be there.

A CPU knows the areas that it allocated and has not freed: whatever looks at one of them has to see it. Who does not
see what is there answers wrongly without any error: vread() gives zeros, /proc/vmallocinfo a shorter list,
vmalloc_dump_obj() nothing. The counts go into results.json, by the names of the operations.
"""

from collections import Counter
from collections.abc import Iterable

from attrs import define, field

from actors.proc import Dump, VmallocInfo
from protocol.area import Vm, VmapArea, ZoneLayout
from protocol.vread import Reading

FIGURES = {
    "vmalloc_dump_obj": ("asked", "answered", "busy", "other_node", "rounded_up"),
    "find_vmap_area_exceed_addr": ("asked", "missed"),
    "vread": ("asked", "missed"),
    "vmallocinfo": ("asked", "missed"),
}
"""What is counted, by operation: `asked` is all that should have been seen."""


@define
class Looks:
    """Counts what was looked for, and what was not seen."""

    layout: ZoneLayout
    page_size: int
    counts: dict[str, Counter[str]] = field(factory=lambda: {name: Counter() for name in FIGURES})

    def dumped(self, area: VmapArea, addr: int, dump: Dump) -> None:
        """Judge what vmalloc_dump_obj() made of an object at `addr`, in the data of `area`.

        It looks in the node of the page that begins at or *after* the object. Is that another node than the
        area's, then nothing helps: the object's own address is in another node's zone (`other_node`), or only the
        page after it is (`rounded_up`). Else it is a matter of the lock (`busy`).
        """
        counts, home = self.counts["vmalloc_dump_obj"], self.layout.addr_to_node_id
        page = -(-addr // self.page_size) * self.page_size
        counts["asked"] += 1
        if home(addr) != home(area.va_start):
            counts["other_node"] += 1
        elif home(page) != home(area.va_start):
            counts["rounded_up"] += 1
        elif dump.busy:
            counts["busy"] += 1
        else:
            assert dump.area == area, f"the object at {addr:#x} is in {area}, and was found in {dump.area}"
            counts["answered"] += 1

    def exceeded(self, area: VmapArea, found: VmapArea | None) -> None:
        """Judge what was found to be the first area that ends above an address in `area`."""
        self._count("find_vmap_area_exceed_addr", 1, found != area)

    def read(self, area: VmapArea, reading: Reading) -> None:
        """Judge what was read in a range that begins in `area`, by the bytes of the area's data in it."""
        end = self.end_of_data(area)
        expected = max(0, min(end, reading.end) - reading.addr)
        self._count("vread", expected, expected - reading.data_until(end))

    def listed(self, held: Iterable[VmapArea], info: VmallocInfo) -> None:
        """Judge a list of all areas, by those that were `held` all the time while it was made."""
        seen = {area.va_start for area in info.busy}
        starts = [area.va_start for area in held]
        self._count("vmallocinfo", len(starts), sum(start not in seen for start in starts))

    def end_of_data(self, area: VmapArea) -> int:
        """Give where the data of an area ends, its start if it has none: I/O mappings read as zeros."""
        if area.vm is None or area.vm.flags & Vm.IOREMAP:
            return area.va_start
        return area.va_end - (0 if area.vm.flags & Vm.NO_GUARD else self.page_size)

    def report(self) -> dict[str, dict[str, int]]:
        """Give the counts of what was looked for at all, by operation."""
        return {
            name: {figure: counts[figure] for figure in FIGURES[name]}
            for name, counts in self.counts.items()
            if counts["asked"]
        }

    def _count(self, name: str, asked: int, missed: int) -> None:
        self.counts[name]["asked"] += asked
        self.counts[name]["missed"] += missed
