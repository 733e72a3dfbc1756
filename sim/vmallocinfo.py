"""`/proc/vmallocinfo`, read into typed records and written from them, byte for byte as the kernel prints it.

Mirrors `vmalloc_info_show()` and `show_purge_info()` of mm/vmalloc.c (v6.9 on), one area a line:

    0xSTART-0xEND   BYTES CALLER pages=N phys=0xADDR WORDS N0=PAGES     an area with a vm_struct
    0xSTART-0xEND   BYTES vm_map_ram                                    one without (VMAP_RAM)
    0xSTART-0xEND   BYTES unpurged vm_area                              one in a lazy tree

All behind BYTES is left out where there is nothing to say. The kernel goes from node to node: first the
busy tree of each, ascending within a node only, then the lazy tree of each. (Before v6.9: by address.)
Nothing is locked for longer than a node, so that a file can show an area twice, or areas that overlap.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from protocol.area import PAGE_SIZE, VMAP_RAM, Vm, VmapArea
from sim.traces.errors import TraceError, Unprintable, quoted
from sim.traces.events import HIGHEST_END
from sim.traces.lines import numbered_lines, place_of

_WORDS = {
    "ioremap": Vm.IOREMAP,
    "sparse": Vm.SPARSE,
    "vmalloc": Vm.ALLOC,
    "vmap": Vm.MAP,
    "user": Vm.USERMAP,
    "dma-coherent": Vm.DMA_COHERENT,
}
"""The flags that are printed, in the order of their words."""

NO_FLAGS = Vm(0)
PRINTED_FLAGS = reduce(or_, _WORDS.values())

_POINTER_SIZE = 8


@frozen
class VmStructLine:
    """An area with a vm_struct; `area` includes the guard page.

    `caller` is as `%pS` prints it ("" for none), `nr_pages` and `phys_addr` (bytes) are 0 where there are
    none, `flags` are those that have a word, `vpages` says that `pages[]` is vmalloc'ed itself, `numa_pages` counts
    the pages of each NUMA node that has some, ascending.
    """

    area: VmapArea
    caller: str = ""
    nr_pages: int = 0
    phys_addr: int = 0
    flags: Vm = NO_FLAGS
    vpages: bool = False
    numa_pages: tuple[tuple[int, int], ...] = ()

    def words(self) -> str:
        """Give what the kernel prints behind the size."""
        said = [self.caller] if self.caller else []
        if self.nr_pages:
            said.append(f"pages={self.nr_pages}")
        if self.phys_addr:
            said.append(f"phys=0x{self.phys_addr:016x}")
        said += [word for word, flag in _WORDS.items() if flag in self.flags]
        if self.vpages:
            said.append("vpages")
        said += [f"N{node}={pages}" for node, pages in self.numa_pages]
        return " ".join(said)


@frozen
class VmMapRamLine:
    """An area of vm_map_ram(), without a vm_struct."""

    area: VmapArea

    def words(self) -> str:
        """Give what the kernel prints behind the size."""
        return "vm_map_ram"


@frozen
class UnpurgedLine:
    """An area in a lazy tree: freed, and not purged yet."""

    area: VmapArea

    def words(self) -> str:
        """Give what the kernel prints behind the size."""
        return "unpurged vm_area"


VmallocInfoLine: TypeAlias = VmStructLine | VmMapRamLine | UnpurgedLine

_LINE = re.compile(r"0x([0-9a-f]{16})-0x([0-9a-f]{16}) +(\d{1,20})(?: (.+))?", re.ASCII)
_WORDS_OF_VM = re.compile(
    r"(?P<caller>(?:0x[0-9a-f]{16}|[^\s=]+\+0x[0-9a-f]+/0x[0-9a-f]+)(?: \[\S+\])?)?"
    r"(?: pages=(?P<nr_pages>[1-9]\d{0,9}))?"
    r"(?: phys=0x(?P<phys_addr>[0-9a-f]{16}))?"
    rf"(?P<flags>{''.join(f'(?: {word})?' for word in _WORDS)})"
    r"(?P<vpages> vpages)?"
    r"(?P<numa>(?: N\d{1,4}=[1-9]\d{0,9})*)",
    re.ASCII,
)
_ALLOWED_LINE = (
    "0xSTART-0xEND BYTES, then [CALLER] [pages=N] [phys=0xADDR] [ioremap] [sparse] [vmalloc] [vmap] [user] "
    "[dma-coherent] [vpages] [N0=PAGES]..., or vm_map_ram, or unpurged vm_area"
)
_ALLOWED_FILE = "the text of /proc/vmallocinfo, plain or gzip, or - for standard input"


def read_vmallocinfo(path: Path) -> list[VmallocInfoLine]:
    """Read the file at `path`, or standard input if that is `-`; the n-th record is that of line n.

    Raises `TraceError` for a file that cannot be read, is empty, or has a line that no kernel prints or whose
    addresses are hidden.
    """
    records: list[VmallocInfoLine] = []
    with closing(numbered_lines(path, _ALLOWED_FILE)) as lines:
        for number, text in lines:
            try:
                records.append(_record(text))
            except Unprintable as problem:
                raise TraceError(place_of(path, number), problem.found, problem.allowed) from None
    if not records:
        raise TraceError(place_of(path), "no areas", _ALLOWED_FILE)
    return records


def write_vmallocinfo(records: Iterable[VmallocInfoLine]) -> str:
    """Give the text of /proc/vmallocinfo for `records`, in their order."""
    return "".join(map(_line, records))


def lines_of(busy: Iterable[VmapArea], unpurged: Iterable[VmapArea]) -> Iterator[VmallocInfoLine]:
    """Give the records of areas as they are in trees: what the kernel shows of each, in the order given.

    Nothing of an area that is not mapped yet (VM_UNINITIALIZED), nor of one that neither has a vm_struct nor is
    vm_map_ram()'s. NUMA nodes are not counted: pages have no place here.
    """
    for area in busy:
        if area.vm is None:
            if area.flags & VMAP_RAM:
                yield VmMapRamLine(area)
        elif not area.vm.flags & Vm.UNINITIALIZED:
            yield VmStructLine(
                area,
                caller=area.vm.caller,
                nr_pages=area.vm.nr_pages,
                phys_addr=area.vm.phys_addr,
                flags=Vm(area.vm.flags) & PRINTED_FLAGS,
                vpages=area.vm.nr_pages * _POINTER_SIZE > PAGE_SIZE,
            )
    yield from map(UnpurgedLine, unpurged)


def by_address(records: Iterable[VmallocInfoLine]) -> list[VmallocInfoLine]:
    """Sort as before v6.9, and as crash's `kmem -v` does still: by address, the unpurged ones behind."""
    return sorted(records, key=lambda record: (isinstance(record, UnpurgedLine), record.area.va_start))


def _line(record: VmallocInfoLine) -> str:
    area, words = record.area, record.words()
    return f"0x{area.va_start:016x}-0x{area.va_end:016x} {area.size:7d}{' ' if words else ''}{words}\n"


def _record(text: str) -> VmallocInfoLine:
    found = _LINE.fullmatch(text)
    if found is None:
        raise Unprintable(quoted(text), _ALLOWED_LINE)
    area = _area(int(found[1], 16), int(found[2], 16), int(found[3]))
    record = _record_of(area, found[4] or "")
    if record is None or _line(record) != f"{text}\n":
        raise Unprintable(quoted(text), _ALLOWED_LINE)
    return record


def _area(va_start: int, va_end: int, size: int) -> VmapArea:
    """Make the area of a line; raises `Unprintable` where the kernel hid its addresses or it can be none."""
    if va_end - va_start != size:
        found = f"addresses that are hidden: 0x{va_start:016x}-0x{va_end:016x} for {size} bytes"
        allowed = "true ones: read by root, with kernel.kptr_restrict=1 or no_hash_pointers on the command line"
        raise Unprintable(found, allowed)
    if size <= 0 or size % PAGE_SIZE or va_start % PAGE_SIZE or not 0 < va_start <= HIGHEST_END - size:
        allowed = f"whole pages of {PAGE_SIZE} bytes above 0 that end at 2**64 - {PAGE_SIZE} or below"
        raise Unprintable(f"0x{va_start:016x}-0x{va_end:016x}", allowed)
    return VmapArea(va_start, va_end)


def _record_of(area: VmapArea, words: str) -> VmallocInfoLine | None:
    if words == "vm_map_ram":
        return VmMapRamLine(area)
    if words == "unpurged vm_area":
        return UnpurgedLine(area)
    found = _WORDS_OF_VM.fullmatch(words) or _WORDS_OF_VM.fullmatch(f" {words}")
    if found is None:
        return None
    flags = NO_FLAGS
    for word in found["flags"].split():
        flags |= _WORDS[word]
    numa = [pages.split("=") for pages in found["numa"].split()]
    return VmStructLine(
        area=area,
        caller=found["caller"] or "",
        nr_pages=int(found["nr_pages"] or 0),
        phys_addr=int(found["phys_addr"] or "0", 16),
        flags=flags,
        vpages=found["vpages"] is not None,
        numa_pages=tuple((int(node[1:]), int(pages)) for node, pages in numa),
    )
