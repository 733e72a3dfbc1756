"""The vmalloc events of include/trace/events/vmalloc.h as typed records, from what the kernel prints of them.

An address was taken (`alloc_vmap_area`, also when that failed), an area became lazy
(`free_vmap_area_noflush`), a purge ended (`purge_vmap_area_lazy`, also when it found nothing).

- `va_start` of an allocation is decimal in the text, all other addresses are hexadecimal. `size` includes
  the guard page. Of a failed allocation `va_start` is no address.
- What a kernel cannot have printed is refused (`Unprintable`): areas that are no pages, lie outside the space
  that `vmap_init_free_space()` makes, `[1, ULONG_MAX)`, or outside the range that was asked for (for either end
  `alloc_vmap_area()` has a BUG_ON), ranges that end before they begin, and numbers that do not fit into 64 bits.
  An allocation that failed may have asked for more than its range has.

What repeats from line to line (all of an allocation but its address) is read and judged once.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

from attrs import define

from protocol.area import PAGE_SIZE, ULONG_MAX
from sim.traces.errors import Unprintable, quoted


@define
class Printed:
    """What every line says: its number in the file (from 1), the CPU and task that printed it, and when."""

    line: int
    cpu: int
    task: str
    pid: int
    time_ns: int


@define
class AllocEvent(Printed):
    """An address was asked for; bytes. `vend` is the last address of the space, as the kernel prints it."""

    va_start: int
    size: int
    align: int
    vstart: int
    vend: int
    failed: bool

    @property
    def va_end(self) -> int:
        """The end of the area, its guard page included."""
        return self.va_start + self.size


@define
class FreeEvent(Printed):
    """An area became lazy; `nr_lazy` pages are lazy now, and beyond `nr_lazy_max` a purge is due."""

    va_start: int
    nr_lazy: int
    nr_lazy_max: int


@define
class PurgeEvent(Printed):
    """A purge of `num_purged` areas, all within `[start, end)`, ended; of none, `start` is ULONG_MAX."""

    start: int
    end: int
    num_purged: int


@define
class MarkEvent(Printed):
    """A program wrote `text` into the trace (`trace_marker`)."""

    text: str


TraceEvent: TypeAlias = AllocEvent | FreeEvent | PurgeEvent

Head: TypeAlias = tuple[int, int, str, int, int]
"""The fields of `Printed`, in order."""

HIGHEST_END: Final = 2**64 - PAGE_SIZE
_WHOLE_PAGES = f"a multiple of {PAGE_SIZE} above 0"
_LARGEST = str(ULONG_MAX)


def _pattern(example: str) -> re.Pattern[str]:
    text = example.replace("0xH", "0x([0-9a-f]{1,16})").replace("D", r"(\d{1,20})")
    return re.compile(text, re.ASCII)


_REQUEST_FIELDS = "size=D align=D vstart=0xH vend=0xH failed=D"
_ALLOC_FIELDS = f"va_start: D {_REQUEST_FIELDS}"
_FREE_FIELDS = "va_start=0xH nr_lazy=D nr_lazy_max=D"
_PURGE_FIELDS = "start=0xH end=0xH num_purged=D"

_ALLOC = re.compile(r"va_start: (\d{1,20}) (.*)", re.ASCII)
_REQUEST = _pattern(_REQUEST_FIELDS)
_FREE = _pattern(_FREE_FIELDS)
_PURGE = _pattern(_PURGE_FIELDS)


def _other_fields(event: str, fields: str, example: str) -> Unprintable:
    return Unprintable(quoted(f"{event}: {fields}"), f"{example} (D decimal, H hexadecimal)")


def _decimal(digits: str) -> int:
    if len(digits) == len(_LARGEST) and digits > _LARGEST:
        raise Unprintable(digits, "numbers below 2**64")
    return int(digits)


@lru_cache(maxsize=4096)
def _request(text: str) -> tuple[int, int, int, int, bool] | None:
    """Read what was asked for: size, align, vstart, vend, and whether it failed; None if it is not printed so."""
    found = _REQUEST.fullmatch(text)
    if found is None:
        return None
    size, align, vstart, vend, failed = found.groups()
    size_bytes, align_bytes = _decimal(size), _decimal(align)
    if not size_bytes or size_bytes % PAGE_SIZE:
        raise Unprintable(f"size={size_bytes}", _WHOLE_PAGES)
    if align_bytes.bit_count() != 1:
        raise Unprintable(f"align={align_bytes}", "a power of 2")
    first, last = int(vstart, 16), int(vend, 16)
    if first > last:
        raise Unprintable(f"vstart={first:#x} vend={last:#x}", "a vstart that is not above vend")
    return size_bytes, align_bytes, first, last, _decimal(failed) != 0


def _alloc(head: Head, fields: str) -> AllocEvent:
    found = _ALLOC.fullmatch(fields)
    request = found and _request(found[2])
    if found is None or request is None:
        raise _other_fields("alloc_vmap_area", fields, _ALLOC_FIELDS)
    va_start = _decimal(found[1])
    size, align, vstart, vend, failed = request
    if not failed:
        if not va_start or va_start % PAGE_SIZE:
            raise Unprintable(f"va_start: {va_start}", _WHOLE_PAGES)
        va_end = va_start + size
        if va_end > HIGHEST_END:
            found_area = f"va_start: {va_start} size={size}"
            raise Unprintable(found_area, f"an area that ends at 2**64 - {PAGE_SIZE} or below")
        if va_start < vstart or va_end > vend:
            found_area = f"an area from {va_start:#x} to {va_end:#x}"
            raise Unprintable(found_area, f"an area within vstart={vstart:#x} vend={vend:#x}")
    return AllocEvent(*head, va_start, size, align, vstart, vend, failed)


def _free(head: Head, fields: str) -> FreeEvent:
    found = _FREE.fullmatch(fields)
    if found is None:
        raise _other_fields("free_vmap_area_noflush", fields, _FREE_FIELDS)
    address, nr_lazy, nr_lazy_max = found.groups()
    va_start = int(address, 16)
    if va_start % PAGE_SIZE or not 0 < va_start < HIGHEST_END:
        raise Unprintable(f"va_start={va_start:#x}", f"{_WHOLE_PAGES} and below 2**64 - {PAGE_SIZE}")
    return FreeEvent(*head, va_start, _decimal(nr_lazy), _decimal(nr_lazy_max))


def _purge(head: Head, fields: str) -> PurgeEvent:
    found = _PURGE.fullmatch(fields)
    if found is None:
        raise _other_fields("purge_vmap_area_lazy", fields, _PURGE_FIELDS)
    start, end, num_purged = found.groups()
    return PurgeEvent(*head, int(start, 16), int(end, 16), _decimal(num_purged))


READERS: Final[dict[str, Callable[[Head, str], TraceEvent]]] = {
    "alloc_vmap_area": _alloc,
    "free_vmap_area_noflush": _free,
    "purge_vmap_area_lazy": _purge,
}
"""For each event what makes a record of its fields, or raises `Unprintable`."""


def read_mark(head: Head, event: str, fields: str) -> MarkEvent | None:
    """Read what a program wrote, as ftrace and as trace-cmd (event `print`) print it; None for another event."""
    if event == "print":
        event, _, fields = fields.partition(": ")
    return MarkEvent(*head, fields) if event == "tracing_mark_write" else None
