"""The free ranges of the address space: who gets which addresses, and how they come back.

Decides placement. `allocate` takes the lowest addresses that fit, `release` joins a range with the free
ranges it touches. The invariants, asserted by `_check()`:

- the ranges lie inside the space; between two of them at least one byte is taken;
- `bytes_free` is the sum of their sizes and `largest` the size of the greatest.

So a fully released space is one range again, whatever was allocated before. Who holds the taken bytes is
not known here.

Mirrors, as of v6.9, `vmap_init_free_space()`, `__alloc_vmap_area()` with `find_vmap_lowest_match()` and
`va_clip()`, and `merge_or_add_vmap_area_augment()` of mm/vmalloc.c; the tree is in `red_black.py`. The
kernel keeps a sorted list of the same ranges beside its tree; here the way down the tree finds the
neighbours.
"""

from collections.abc import Iterator
from itertools import pairwise

from protocol.area import VmapArea
from protocol.errors import AreaOverlap, BadRange
from protocol.red_black import RangeNode, RangeTree


class FreeSpace:
    """The free part of the space `[start, end)`, in bytes; at first that is all of it.

    The kernel's own space is `FreeSpace(1, ULONG_MAX)`.
    """

    __slots__ = ("_bytes_free", "_end", "_start", "_tree")

    def __init__(self, start: int, end: int) -> None:
        assert 0 <= start < end, f"no space: [{start:#x}, {end:#x})"
        self._start = start
        self._end = end
        self._bytes_free = end - start
        self._tree = RangeTree()
        self._tree.insert_after(self._tree.nil, start, end)

    @property
    def bytes_free(self) -> int:
        """Bytes in all free ranges. O(1)."""
        return self._bytes_free

    @property
    def largest(self) -> int:
        """Bytes in the largest free range, 0 if nothing is free. O(1)."""
        return self._tree.root.subtree_max_size

    def __len__(self) -> int:
        return len(self._tree)

    def __iter__(self) -> Iterator[VmapArea]:
        return (VmapArea(node.va_start, node.va_end) for node in self._tree)

    def allocate(self, size: int, align: int, vstart: int, vend: int) -> VmapArea | None:
        """Take out the lowest `size` free bytes in `[vstart, vend)` that start at a multiple of `align`.

        Exact: None means that no free range holds such bytes, and then nothing changed. O(log n) for n
        ranges as long as alignment does not get in the way, and it never does when all borders are
        multiples of `align`, a power of two. Each range that is large enough but badly placed adds
        O(log n), all of them together O(n).
        """
        assert size > 0, f"size {size} is not positive"
        assert align > 0, f"align {align} is not positive"
        assert align & (align - 1) == 0, f"align {align} is not a power of two"
        assert vstart <= vend, f"vstart {vstart:#x} is above vend {vend:#x}"
        # The kernel looks for size + align - 1 bytes when align exceeds a page: the first such range fits
        # for sure, at the price of passing over lower ones that would do. Here `size` alone prunes the
        # search and each range found is tried.
        for node in self._tree.at_least(size, end=vstart + size):
            # The kernel's ALIGN(), which has to watch for overflow.
            va_start = (max(node.va_start, vstart) + align - 1) & -align
            va_end = va_start + size
            if va_end > vend:
                return None  # and higher ranges give higher addresses
            if va_end <= node.va_end:
                self._clip(node, va_start, va_end)
                return VmapArea(va_start, va_end)
        return None

    def release(self, area: VmapArea) -> None:
        """Make `area` free again and join it with the free ranges on both sides. O(log n).

        Raises AreaOverlap if a part of `area` is free already, BadRange if it is empty or
        reaches out of the space, and changes nothing then.
        """
        if not self._start <= area.va_start < area.va_end <= self._end:
            raise BadRange(f"{area!r} is empty or outside the space [{self._start:#x}, {self._end:#x})")
        tree = self._tree
        previous, following = tree.neighbours(area.va_start)
        reaches_previous = previous is not tree.nil and previous.va_end >= area.va_start
        reaches_following = following is not tree.nil and following.va_start <= area.va_end
        if reaches_previous and previous.va_end > area.va_start:
            raise _double_free(area, previous)
        if reaches_following and following.va_start < area.va_end:
            raise _double_free(area, following)
        match reaches_previous, reaches_following:
            case False, False:
                tree.insert_after(previous, area.va_start, area.va_end)
            case False, True:
                tree.resize(following, area.va_start, following.va_end)
            case True, False:
                tree.resize(previous, previous.va_start, area.va_end)
            case True, True:
                va_end = following.va_end
                tree.erase(following)  # first, so that the ranges never overlap
                tree.resize(previous, previous.va_start, va_end)
        self._bytes_free += area.size

    def _clip(self, node: RangeNode, va_start: int, va_end: int) -> None:
        """Cut `[va_start, va_end)` out of the range of `node` (kernel: `va_clip`, its four fit types)."""
        tree = self._tree
        match node.va_start == va_start, node.va_end == va_end:
            case True, True:  # FL_FIT_TYPE
                tree.erase(node)
            case True, False:  # LE_FIT_TYPE
                tree.resize(node, va_end, node.va_end)
            case False, True:  # RE_FIT_TYPE
                tree.resize(node, node.va_start, va_start)
            case False, False:  # NE_FIT_TYPE: the one that needs a second node
                upper_end = node.va_end
                tree.resize(node, node.va_start, va_start)
                tree.insert_after(node, va_end, upper_end)
        self._bytes_free -= va_end - va_start

    def _check(self) -> None:
        """Assert every invariant, those of the tree included. O(n)."""
        self._tree._check()
        areas = list(self)
        for area, following in pairwise(areas):
            assert area.va_end < following.va_start, f"{area!r} touches {following!r}"
        if areas:
            assert self._start <= areas[0].va_start, f"{areas[0]!r} is below the space"
            assert areas[-1].va_end <= self._end, f"{areas[-1]!r} is above the space"
        bytes_free = sum(area.size for area in areas)
        assert self._bytes_free == bytes_free, f"{self._bytes_free} bytes counted, {bytes_free} free"
        largest = max((area.size for area in areas), default=0)
        assert self.largest == largest, f"largest is {largest}, not {self.largest}"


def _double_free(area: VmapArea, node: RangeNode) -> AreaOverlap:
    """Make the error of releasing free bytes (kernel: the warning "vmalloc bug: ... overlaps with ...")."""
    free = VmapArea(node.va_start, node.va_end)
    return AreaOverlap(f"double free: {area!r} overlaps the free range {free!r}")
