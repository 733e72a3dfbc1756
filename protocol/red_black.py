"""A red-black tree of address ranges in which every node knows the largest range below it.

Decides nothing about memory; it keeps ranges in order and finds the next one that is large enough. It is
the kernel's `free_vmap_area_root`: lib/rbtree.c with the augmentation `subtree_max_size` of mm/vmalloc.c,
since v5.2. The rules, all asserted by `_check()`:

1. In order, no node starts before its predecessor's end.
2. The root is black and a red node has black children.
3. Every way down from a node to a leaf passes the same number of black nodes.
4. `subtree_max_size` is the largest size among a node and all below it.

Rules 2 and 3 keep the height of n nodes at or below 2 log2(n + 1). Whatever changes a node or its
children ends in `_refresh()` or `_rotate_up()`, and only these two keep rule 4.

A node is a number, its place in parallel lists: `va_start[node]`, `left[node]`, …; so a copy of the tree, shape and
all, is eight copies of lists, and whoever tries something out can go back. The shape matters: which of several
ranges `find_vmap_lowest_match()` takes depends on it when the alignment exceeds a page.

Two choices keep the code short. One sentinel, `NIL`, stands for every missing child and for the parent
of the root, which hangs to its right, so that the root is no special case. And rotations are named by
the node that goes up instead of by a side, so that no case needs its mirror image.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

NIL: Final = 0
"""The node that stands for every missing one. Its subtree holds nothing; the root hangs to its right."""


class RangeTree:
    """Ranges that do not overlap, in address order.

    The caller finds a place (`neighbours`, `at_least`) and then changes the tree there; that the change
    fits the place is the caller's promise and is asserted by `_check()` only. A node that was handed out
    is good until the next `erase`. The lists are for reading; only the tree changes them.
    """

    __slots__ = ("_len", "_red", "_vacant", "left", "parent", "right", "subtree_max_size", "va_end", "va_start")

    def __init__(self) -> None:
        self.va_start = [0]
        self.va_end = [0]
        self.subtree_max_size = [0]
        self.left = [NIL]
        self.right = [NIL]
        self.parent = [NIL]
        self._red = [False]
        self._vacant: list[int] = []
        self._len = 0

    @property
    def root(self) -> int:
        """The root, or `NIL` while the tree is empty."""
        return self.right[NIL]

    def __len__(self) -> int:
        return self._len

    def __iter__(self) -> Iterator[int]:
        return self.at_least(size=1, end=0)

    def copy(self) -> "RangeTree":
        """Make an equal tree of the same shape. O(n), by copies of lists."""
        twin = RangeTree.__new__(RangeTree)
        twin.va_start = self.va_start.copy()
        twin.va_end = self.va_end.copy()
        twin.subtree_max_size = self.subtree_max_size.copy()
        twin.left = self.left.copy()
        twin.right = self.right.copy()
        twin.parent = self.parent.copy()
        twin._red = self._red.copy()
        twin._vacant = self._vacant.copy()
        twin._len = self._len
        return twin

    # -- finding ----------------------------------------------------------------------------------

    def at_least(self, size: int, end: int) -> Iterator[int]:
        """Yield, in address order, the nodes of `size` > 0 bytes or more that end at `end` or above.

        O(log n) to the first; k of them cost O(min(n, k log n)). The tree must not change meanwhile.
        """
        above: list[int] = []  # ancestors whose own range and right side are still to come
        node = self.right[NIL]
        while True:
            # The subtree max of NIL is 0, so this also stops at the leaves.
            while self.subtree_max_size[node] >= size:
                if self.va_end[node] < end:
                    node = self.right[node]
                else:
                    above.append(node)
                    node = self.left[node]
            if not above:
                return
            node = above.pop()
            if self.va_end[node] - self.va_start[node] >= size:
                yield node
            node = self.right[node]

    def neighbours(self, addr: int) -> tuple[int, int]:
        """Find the last node that starts at or below `addr` and the first above, or `NIL`. O(log n)."""
        previous = following = NIL
        va_start, left, right = self.va_start, self.left, self.right
        node = right[NIL]
        while node:
            if va_start[node] <= addr:
                previous, node = node, right[node]
            else:
                following, node = node, left[node]
        return previous, following

    # -- changing ---------------------------------------------------------------------------------

    def insert_after(self, previous: int, va_start: int, va_end: int) -> None:
        """Insert a range as the successor of `previous`, as the first of all if that is `NIL`. O(log n)."""
        below = self.right[previous]
        if below == NIL:
            self._hang(self._new(va_start, va_end), previous, self.right)
        else:
            self._hang(self._new(va_start, va_end), self._outermost(below, self.left), self.left)

    def insert_before(self, following: int, va_start: int, va_end: int) -> None:
        """Insert a range as the predecessor of `following`, which is not `NIL`. O(log n)."""
        below = self.left[following]
        if below == NIL:
            self._hang(self._new(va_start, va_end), following, self.left)
        else:
            self._hang(self._new(va_start, va_end), self._outermost(below, self.right), self.right)

    def resize(self, node: int, va_start: int, va_end: int) -> None:
        """Move the borders of `node` within the gap between its neighbours. O(log n)."""
        self.va_start[node] = va_start
        self.va_end[node] = va_end
        self._refresh(node)

    def erase(self, node: int) -> None:
        """Take the range of `node` out. O(log n).

        The successor of `node` may live on under this number: nodes handed out earlier are void, except
        those of ranges below this one.
        """
        gone, child = node, self.left[node]
        if self.right[node] != NIL:
            # Unlink the successor instead, as it has no left child; its range moves here.
            gone = self._outermost(self.right[node], self.left)
            child = self.right[gone]
            self.va_start[node] = self.va_start[gone]
            self.va_end[node] = self.va_end[gone]
        parent = self.parent[gone]
        self._put_in_place_of(gone, child)
        self._len -= 1
        self._vacant.append(gone)
        self._refresh(parent)
        if gone != node:
            # The walk from `parent` ends where nothing changes, which can be short of `node`.
            self._refresh(node)
        if not self._red[gone]:
            self._repair_after_erase(child, parent)

    # -- keeping the rules ------------------------------------------------------------------------

    def _new(self, va_start: int, va_end: int) -> int:
        """Make a red node that hangs nowhere yet, in a vacant place if there is one."""
        if not self._vacant:
            for column in (self.va_start, self.va_end, self.subtree_max_size, self.left, self.right, self.parent):
                column.append(NIL)
            self._red.append(True)
            self._vacant.append(len(self._red) - 1)
        node = self._vacant.pop()
        self.va_start[node] = va_start
        self.va_end[node] = va_end
        self.subtree_max_size[node] = va_end - va_start
        self.left[node] = self.right[node] = NIL
        self._red[node] = True
        return node

    def _hang(self, node: int, parent: int, side: list[int]) -> None:
        """Hang a new node below `parent` on a free side."""
        side[parent] = node
        self.parent[node] = parent
        self._len += 1
        self._refresh(parent)
        self._repair_after_insert(node)

    def _outermost(self, node: int, side: list[int]) -> int:
        while side[node] != NIL:
            node = side[node]
        return node

    def _largest_below(self, node: int) -> int:
        """Give what rule 4 demands of `node` if its children obey it (kernel: `compute_subtree_max_size`)."""
        largest = self.va_end[node] - self.va_start[node]
        below = self.subtree_max_size[self.left[node]]
        if below > largest:
            largest = below
        below = self.subtree_max_size[self.right[node]]
        return below if below > largest else largest

    def _refresh(self, node: int) -> None:
        """Restore rule 4 from `node` upwards until nothing changes (kernel: the `propagate` callback)."""
        while node:
            largest = self._largest_below(node)
            if self.subtree_max_size[node] == largest:
                return
            self.subtree_max_size[node] = largest
            node = self.parent[node]

    def _put_in_place_of(self, old: int, new: int) -> None:
        """Hang `new` where `old` hangs; `old` keeps its own links."""
        parent = self.parent[old]
        if self.left[parent] == old:
            self.left[parent] = new
        else:
            self.right[parent] = new
        if new:
            self.parent[new] = parent

    def _rotate_up(self, node: int) -> None:
        """Put `node` above its parent; order and rule 4 hold, colours stay with their nodes."""
        left, right, parents = self.left, self.right, self.parent
        parent = parents[node]
        self._put_in_place_of(parent, node)
        if left[parent] == node:
            between = left[parent] = right[node]
            right[node] = parent
        else:
            between = right[parent] = left[node]
            left[node] = parent
        if between:
            parents[between] = parent
        parents[parent] = node
        self.subtree_max_size[node] = self.subtree_max_size[parent]
        self.subtree_max_size[parent] = self._largest_below(parent)

    def _repair_after_insert(self, node: int) -> None:
        """Restore rule 2, which the red `node` breaks if its parent is red too."""
        red, left, parents = self._red, self.left, self.parent
        while red[parents[node]]:
            parent = parents[node]
            grandparent = parents[parent]
            uncle = self.right[grandparent] if left[grandparent] == parent else left[grandparent]
            if red[uncle]:
                # Push the grandparent's blackness down; the question moves two levels up.
                red[parent] = red[uncle] = False
                red[grandparent] = True
                node = grandparent
                continue
            if (left[parent] == node) != (left[grandparent] == parent):
                # An inner grandchild would stay below the grandparent: make it the outer one's parent.
                self._rotate_up(node)
                parent = node
            self._rotate_up(parent)
            red[parent] = False
            red[grandparent] = True
            break
        red[self.right[NIL]] = False

    def _repair_after_erase(self, node: int, parent: int) -> None:
        """Restore rule 3: the ways through `node`, a child of `parent` or `NIL`, lack one black node."""
        red, left, right = self._red, self.left, self.right
        while parent and not red[node]:
            # `parent` has another child: a black node below it is missing on this side only.
            on_left = left[parent] == node
            sibling = right[parent] if on_left else left[parent]
            if red[sibling]:
                # Get a black sibling: its children are the red one's, one of which takes its place.
                self._rotate_up(sibling)
                red[sibling] = False
                red[parent] = True
                sibling = right[parent] if on_left else left[parent]
            near, far = (left[sibling], right[sibling]) if on_left else (right[sibling], left[sibling])
            if not red[near] and not red[far]:
                # Let the sibling's side lack one as well; the question moves one level up.
                red[sibling] = True
                node, parent = parent, self.parent[parent]
                continue
            if not red[far]:
                self._rotate_up(near)
                red[near] = False
                red[sibling] = True
                sibling, far = near, sibling
            self._rotate_up(sibling)
            red[sibling] = red[parent]
            red[parent] = red[far] = False
            return
        red[node] = False

    # -- checking ---------------------------------------------------------------------------------

    def _check(self) -> None:
        """Assert every rule, all links and the length. O(n)."""
        assert not self._red[NIL], "NIL is black"
        assert self.left[NIL] == NIL, "nothing hangs to the left of NIL"
        assert self.parent[NIL] == NIL, "NIL has no parent"
        assert self.subtree_max_size[NIL] == 0, "NIL holds no bytes"
        assert not self._red[self.root], "the root is black"
        assert self.parent[self.root] == NIL, "the root's parent is NIL"
        self._check_below(self.root)
        nodes = list(self)
        assert len(nodes) == self._len, f"{len(nodes)} nodes, but the length says {self._len}"
        assert len(nodes) + len(self._vacant) + 1 == len(self.va_start), "a place is neither used nor vacant"
        for node, following in pairwise(nodes):
            end, start = self.va_end[node], self.va_start[following]
            assert end <= start, f"{end:#x} is above {start:#x}"

    def _check_below(self, node: int) -> int:
        """Assert the rules at and below `node`; give the black nodes on each way down."""
        if node == NIL:
            return 0
        start = self.va_start[node]
        assert start < self.va_end[node], f"empty range at {start:#x}"
        assert self.subtree_max_size[node] == self._largest_below(node), f"wrong subtree max at {start:#x}"
        for child in (self.left[node], self.right[node]):
            assert child == NIL or self.parent[child] == node, f"wrong parent below {start:#x}"
            assert not (self._red[node] and self._red[child]), f"red below red at {start:#x}"
        black = self._check_below(self.left[node])
        assert black == self._check_below(self.right[node]), f"uneven black heights below {start:#x}"
        return black + (not self._red[node])
