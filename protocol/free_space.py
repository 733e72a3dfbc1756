"""The free ranges of the address space: who gets which addresses, and how they come back.

Decides placement, exactly as the kernel does: recorded traces are replayed against it. The invariants, asserted
by `_check()`:

- the ranges lie inside the space; between two of them at least one byte is taken;
- `bytes_free` is the sum of their sizes and `largest` the size of the greatest.

So a fully released space is one range again, whatever was allocated before. Who holds the taken bytes is
not known here.

Mirrors, as of v6.9 to v7.1, `vmap_init_free_space()`, `__alloc_vmap_area()` with `find_vmap_lowest_match()`,
`is_within_this_va()` and `va_clip()`, `merge_or_add_vmap_area_augment()` and the search of
`pcpu_get_vm_areas()`; the tree is in `red_black.py`. Where an alignment above a page makes the search look for
longer ranges than it needs, what it finds depends on the *shape* of the tree. So the shape is the kernel's too:
of a range that is cut in two the upper part keeps the node and the lower part gets a new one, and a range that
joins its two neighbours takes the upper one's node out before it extends the lower one. The kernel keeps a
sorted list of the same ranges beside its tree; here the way down the tree finds the neighbours.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from protocol.area import PAGE_SIZE, VmapArea
from protocol.errors import AreaOverlap, BadRange
from protocol.red_black import NIL, RangeTree


class FreeSpace:
    """The free part of the space `[start, end)`, in bytes; at first that is all of it but what is `taken`.

    The kernel's own space is `FreeSpace(1, ULONG_MAX)`; `taken` areas (its `vmlist`) are in address order and do
    not overlap: raises BadRange if not.
    """

    __slots__ = ("_bytes_free", "_end", "_page_size", "_start", "_tree")

    def __init__(self, start: int, end: int, taken: Sequence[VmapArea] = (), *, page_size: int = PAGE_SIZE) -> None:
        assert 0 <= start < end, f"no space: [{start:#x}, {end:#x})"
        self._start = start
        self._end = end
        self._page_size = page_size
        self._bytes_free = 0
        self._tree = RangeTree()
        reached = start
        for area in taken:
            if not reached <= area.va_start < area.va_end <= end:
                raise BadRange(f"{area!r} is empty, out of order, or outside [{start:#x}, {end:#x})")
            self._add_last(reached, area.va_start)
            reached = area.va_end
        self._add_last(reached, end)

    @property
    def bytes_free(self) -> int:
        """Bytes in all free ranges. O(1)."""
        return self._bytes_free

    @property
    def largest(self) -> int:
        """Bytes in the largest free range, 0 if nothing is free. O(1)."""
        return self._tree.subtree_max_size[self._tree.root]

    def __len__(self) -> int:
        return len(self._tree)

    def __iter__(self) -> Iterator[VmapArea]:
        tree = self._tree
        return (VmapArea(tree.va_start[node], tree.va_end[node]) for node in tree)

    def copy(self) -> "FreeSpace":
        """Make an equal space, the shape of its tree included. O(n), by copies of lists."""
        twin = FreeSpace.__new__(FreeSpace)
        twin._start, twin._end, twin._bytes_free = self._start, self._end, self._bytes_free
        twin._page_size = self._page_size
        twin._tree = self._tree.copy()
        return twin

    def peek(self, size: int, align: int, vstart: int, vend: int) -> int | None:
        """Give the address that `allocate` would take, and take nothing."""
        _node, va_start = self._lowest_match(size, align, vstart, vend)
        return va_start

    def allocate(self, size: int, align: int, vstart: int, vend: int) -> VmapArea | None:
        """Take out `size` bytes in `[vstart, vend)` that start at a multiple of `align`, where the kernel would.

        That is the lowest place in the lowest range of `size + align - 1` bytes (of `size` where `align` is a page
        or less, or the window has no room for more), or in a lower range of at least `size` bytes that happens
        to be well placed, if the search comes by it: that depends on the shape of the tree. None if no such
        range is found, or none below `vend`; then nothing changed. O(log n).
        """
        node, va_start = self._lowest_match(size, align, vstart, vend)
        if va_start is None:
            return None
        self._clip(node, va_start, va_start + size)
        return VmapArea(va_start, va_start + size)

    def allocate_at(self, va_start: int, size: int, align: int, vstart: int, vend: int) -> bool:
        """Take out what `allocate` would, if that starts at `va_start`; else nothing changes. O(log n)."""
        node, found = self._lowest_match(size, align, vstart, vend)
        if found != va_start:
            return False
        self._clip(node, va_start, va_start + size)
        return True

    def holds(self, va_start: int, va_end: int) -> bool:
        """Tell whether all of `[va_start, va_end)` is free. O(log n)."""
        previous, _following = self._tree.neighbours(va_start)
        return previous != NIL and va_end <= self._tree.va_end[previous]

    def block(self, addr: int) -> VmapArea | None:
        """Give the free range that `addr` is in, None if it is not free. O(log n)."""
        previous, _following = self._tree.neighbours(addr)
        if previous == NIL or self._tree.va_end[previous] <= addr:
            return None
        return VmapArea(self._tree.va_start[previous], self._tree.va_end[previous])

    def take(self, va_start: int, va_end: int) -> None:
        """Take out exactly `[va_start, va_end)`. O(log n).

        Raises BadRange if not all of it is free, and changes nothing then.
        """
        previous, _following = self._tree.neighbours(va_start)
        if previous == NIL or va_end > self._tree.va_end[previous] or va_start >= va_end:
            raise BadRange(f"{VmapArea(va_start, va_end)!r} is not free")
        self._clip(previous, va_start, va_end)

    def allocate_percpu(
        self, offsets: Sequence[int], sizes: Sequence[int], align: int, vstart: int, vend: int
    ) -> list[VmapArea] | None:
        """Take out an area for each offset from one common base, the highest base that has room for all.

        Kernel: the search of `pcpu_get_vm_areas()`, v6.9: from the top of `[vstart, vend)` down, with the base
        pulled down until all areas fit; `sizes` belong to `offsets`, both multiples of `align`. None, with nothing
        changed, if there is no such base. O(steps · log n).
        """
        base = self._percpu_base(offsets, sizes, align, vstart, vend)
        if base is None:
            return None
        areas = [VmapArea(base + offset, base + offset + size) for offset, size in zip(offsets, sizes, strict=True)]
        for area in areas:
            self.take(area.va_start, area.va_end)
        return areas

    def release(self, area: VmapArea) -> None:
        """Make `area` free again and join it with the free ranges on both sides. O(log n).

        Raises AreaOverlap if a part of `area` is free already, BadRange if it is empty or
        reaches out of the space, and changes nothing then.
        """
        va_start, va_end = area.va_start, area.va_end
        if not self._start <= va_start < va_end <= self._end:
            raise BadRange(f"{area!r} is empty or outside the space [{self._start:#x}, {self._end:#x})")
        tree = self._tree
        previous, following = tree.neighbours(va_start)
        reaches_previous = previous != NIL and tree.va_end[previous] >= va_start
        reaches_following = following != NIL and tree.va_start[following] <= va_end
        if reaches_previous and tree.va_end[previous] > va_start:
            raise self._double_free(area, previous)
        if reaches_following and tree.va_start[following] < va_end:
            raise self._double_free(area, following)
        match reaches_previous, reaches_following:
            case False, False:
                tree.insert_after(previous, va_start, va_end)
            case False, True:
                tree.resize(following, va_start, tree.va_end[following])
            case True, False:
                tree.resize(previous, tree.va_start[previous], va_end)
            case True, True:
                va_end = tree.va_end[following]
                tree.erase(following)  # first, so that the ranges never overlap
                tree.resize(previous, tree.va_start[previous], va_end)
        self._bytes_free += area.size

    def _lowest_match(self, size: int, align: int, vstart: int, vend: int) -> tuple[int, int | None]:
        """Find a range and the address in it (kernel: `find_vmap_lowest_match`, then the test of `vend`)."""
        assert size > 0, f"size {size} is not positive"
        assert align > 0, f"align {align} is not positive"
        assert align & (align - 1) == 0, f"align {align} is not a power of two"
        assert vstart <= vend, f"vstart {vstart:#x} is above vend {vend:#x}"
        # A range of so many bytes fits wherever it begins. Where the window is as large as the area, nothing but
        # its very beginning will do, and the room for aligning is not asked for.
        length = size if align <= self._page_size or vend - vstart == size else size + align - 1
        tree = self._tree
        starts, ends, largest = tree.va_start, tree.va_end, tree.subtree_max_size
        left, right, parent = tree.left, tree.right, tree.parent
        node = right[NIL]
        descending = True
        while node:
            if descending and largest[left[node]] >= length and vstart < starts[node]:
                node = left[node]
                continue
            # The kernel's ALIGN(), which has to watch for overflow (is_within_this_va).
            low = starts[node]
            va_start = ((low if low > vstart else vstart) + align - 1) & -align
            if va_start + size <= ends[node]:
                return (node, va_start) if va_start + size <= vend else (NIL, None)
            if largest[right[node]] >= length and (descending or vstart <= low):
                if not descending:
                    vstart = low + 1  # so that the way down does not turn left into what is done
                    descending = True
                node = right[node]
            else:
                node = parent[node]
                descending = False
        return NIL, None

    def _percpu_base(
        self, offsets: Sequence[int], sizes: Sequence[int], align: int, vstart: int, vend: int
    ) -> int | None:
        """Find the base: go round the areas, from the last one down, until all fit since the base last moved."""
        tree = self._tree
        ends = [offset + size for offset, size in zip(offsets, sizes, strict=True)]
        lowest, highest = (vstart + align - 1) & -align, vend & -align
        area = term_area = max(range(len(offsets)), key=offsets.__getitem__)
        node, end = self._end_from_reverse(self._enclosing(highest), highest, align)
        base = end - ends[area]
        while node != NIL and base >= lowest:
            if base + ends[area] > tree.va_end[node] or base + offsets[area] < tree.va_start[node]:
                if base + ends[area] <= tree.va_end[node]:
                    node = self._enclosing(tree.va_start[node] - 1)
                node, end = self._end_from_reverse(node, highest, align)
                base = end - ends[area]
                term_area = area
                continue
            area = (area or len(offsets)) - 1
            if area == term_area:
                return base
            node = self._enclosing(base + ends[area])
        return None

    def _end_from_reverse(self, node: int, highest: int, align: int) -> tuple[int, int]:
        """Find the highest aligned end in `node` or below (kernel: `pvm_determine_end_from_reverse`)."""
        tree = self._tree
        while node != NIL:
            end = min(tree.va_end[node] & -align, highest)
            if tree.va_start[node] < end:
                return node, end
            node = self._enclosing(tree.va_start[node] - 1)
        return NIL, 0

    def _enclosing(self, addr: int) -> int:
        """Find the last range that starts at or below `addr` (kernel: `pvm_find_va_enclose_addr`)."""
        return self._tree.neighbours(addr)[0]

    def _add_last(self, va_start: int, va_end: int) -> None:
        """Append a free range above all others; nothing if it is empty."""
        if va_start < va_end:
            self._tree.insert_after(self._enclosing(va_start), va_start, va_end)
            self._bytes_free += va_end - va_start

    def _clip(self, node: int, va_start: int, va_end: int) -> None:
        """Cut `[va_start, va_end)` out of the range of `node` (kernel: `va_clip`, its four fit types)."""
        tree = self._tree
        low, high = tree.va_start[node], tree.va_end[node]
        match low == va_start, high == va_end:
            case True, True:  # FL_FIT_TYPE
                tree.erase(node)
            case True, False:  # LE_FIT_TYPE
                tree.resize(node, va_end, high)
            case False, True:  # RE_FIT_TYPE
                tree.resize(node, low, va_start)
            case False, False:  # NE_FIT_TYPE: the one that needs a second node, for the lower part
                tree.resize(node, va_end, high)
                tree.insert_before(node, low, va_start)
        self._bytes_free -= va_end - va_start

    def _double_free(self, area: VmapArea, node: int) -> AreaOverlap:
        """Make the error of releasing free bytes (kernel: the warning "vmalloc bug: ... overlaps with ...")."""
        free = VmapArea(self._tree.va_start[node], self._tree.va_end[node])
        return AreaOverlap(f"double free: {area!r} overlaps the free range {free!r}")

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
