"""The free ranges of the address space: who gets which addresses, and how they come back.

Decides placement, exactly as the kernel does: recorded traces are replayed against it. The invariants, asserted by
`_check()`:

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
from protocol.red_black import RangeNode, RangeTree


class FreeSpace:
    """The free part of the space `[start, end)`, in bytes; at first that is all of it but what is `taken`.

    The kernel's own space is `FreeSpace(1, ULONG_MAX)`; `taken` areas (its `vmlist`) are in address order and do
    not overlap.
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
        return self._tree.root.subtree_max_size

    def __len__(self) -> int:
        return len(self._tree)

    def __iter__(self) -> Iterator[VmapArea]:
        return (VmapArea(node.va_start, node.va_end) for node in self._tree)

    def allocate(self, size: int, align: int, vstart: int, vend: int) -> VmapArea | None:
        """Take out `size` bytes that start at a multiple of `align`, at or above `vstart`; end at most at `vend`.

        Kernel: `__alloc_vmap_area()`. The lowest that fit, if `align` is at most a page; above that the search
        wants `size + align - 1` bytes in one range, unless `vend - vstart` is exactly `size`, and takes a lower
        one only where it passes by. `vend` is looked at after the choice: None, with nothing changed, does not
        mean that nothing would have fitted. O(log n) for n ranges.
        """
        assert size > 0, f"size {size} is not positive"
        assert align > 0, f"align {align} is not positive"
        assert align & (align - 1) == 0, f"align {align} is not a power of two"
        assert vstart <= vend, f"vstart {vstart:#x} is above vend {vend:#x}"
        length = size
        if align > self._page_size and vend - vstart != size:
            length += align - 1
        node = self._lowest_match(size, align, vstart, length)
        if node is self._tree.nil:
            return None
        va_start = _aligned(max(node.va_start, vstart), align)
        va_end = va_start + size
        if va_end > vend:
            return None
        self._clip(node, va_start, va_end)
        return VmapArea(va_start, va_end)

    def take(self, area: VmapArea) -> None:
        """Take out exactly the range of `area`. O(log n).

        Raises AreaOverlap, with nothing changed, if a part of it is not free.
        """
        node = self._tree.neighbours(area.va_start)[0]
        if node is self._tree.nil or not area.va_start < area.va_end <= node.va_end:
            raise AreaOverlap(f"{area!r} is not free")
        self._clip(node, area.va_start, area.va_end)

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
            self.take(area)
        return areas

    def release(self, area: VmapArea) -> None:
        """Make `area` free again and join it with the free ranges on both sides. O(log n).

        Kernel: `merge_or_add_vmap_area_augment()`. Raises AreaOverlap if a part of `area` is free already, BadRange
        if it is empty or reaches out of the space, and changes nothing then.
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
        self._bytes_free += area.va_end - area.va_start

    # -- searching --------------------------------------------------------------------------------

    def _lowest_match(self, size: int, align: int, vstart: int, length: int) -> RangeNode:
        """Find the range to cut `size` bytes from, `nil` if there is none (kernel: `find_vmap_lowest_match`)."""
        nil = self._tree.nil
        node = nil.right
        while node is not nil:
            if node.left.subtree_max_size >= length and vstart < node.va_start:
                node = node.left
            elif _is_within(node, size, align, vstart):
                return node
            elif node.right.subtree_max_size >= length:
                node = node.right
            else:
                node = node.parent
                while node is not nil:
                    if _is_within(node, size, align, vstart):
                        return node
                    if node.right.subtree_max_size >= length and vstart <= node.va_start:
                        # Never into the same subtree again: what is left of `node` has been looked at.
                        vstart = node.va_start + 1
                        node = node.right
                        break
                    node = node.parent
        return nil

    def _percpu_base(
        self, offsets: Sequence[int], sizes: Sequence[int], align: int, vstart: int, vend: int
    ) -> int | None:
        """Find the base: go round the areas, from the last one down, until all fit since the base last moved."""
        ends = [offset + size for offset, size in zip(offsets, sizes, strict=True)]
        lowest, highest = _aligned(vstart, align), vend & -align
        area = term_area = max(range(len(offsets)), key=offsets.__getitem__)
        node, end = self._end_from_reverse(self._enclosing(highest), highest, align)
        base = end - ends[area]
        while node is not self._tree.nil and base >= lowest:
            if base + ends[area] > node.va_end or base + offsets[area] < node.va_start:
                if base + ends[area] <= node.va_end:
                    node = self._enclosing(node.va_start - 1)
                node, end = self._end_from_reverse(node, highest, align)
                base = end - ends[area]
                term_area = area
                continue
            area = (area or len(offsets)) - 1
            if area == term_area:
                return base
            node = self._enclosing(base + ends[area])
        return None

    def _end_from_reverse(self, node: RangeNode, highest: int, align: int) -> tuple[RangeNode, int]:
        """Find the highest aligned end in `node` or below (kernel: `pvm_determine_end_from_reverse`)."""
        while node is not self._tree.nil:
            end = min(node.va_end & -align, highest)
            if node.va_start < end:
                return node, end
            node = self._enclosing(node.va_start - 1)
        return node, 0

    def _enclosing(self, addr: int) -> RangeNode:
        """Find the last range that starts at or below `addr` (kernel: `pvm_find_va_enclose_addr`)."""
        return self._tree.neighbours(addr)[0]

    # -- changing ---------------------------------------------------------------------------------

    def _add_last(self, va_start: int, va_end: int) -> None:
        """Append a free range above all others; nothing if it is empty."""
        if va_start < va_end:
            self._tree.insert_after(self._tree.neighbours(va_start)[0], va_start, va_end)
            self._bytes_free += va_end - va_start

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
            case False, False:  # NE_FIT_TYPE: the one that needs a second node, for the lower part
                lower_start = node.va_start
                tree.resize(node, va_end, node.va_end)
                tree.insert_before(node, lower_start, va_start)
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


def _aligned(addr: int, align: int) -> int:
    """Round up (kernel: `ALIGN`); beyond the address space nothing fits, so that it cannot wrap needs no test."""
    return (addr + align - 1) & -align


def _is_within(node: RangeNode, size: int, align: int, vstart: int) -> bool:
    """Tell whether `size` aligned bytes at or above `vstart` fit into a range (kernel: `is_within_this_va`)."""
    return _aligned(max(node.va_start, vstart), align) + size <= node.va_end


def _double_free(area: VmapArea, node: RangeNode) -> AreaOverlap:
    """Make the error of releasing free bytes (kernel: the warning "vmalloc bug: ... overlaps with ...")."""
    free = VmapArea(node.va_start, node.va_end)
    return AreaOverlap(f"double free: {area!r} overlaps the free range {free!r}")
