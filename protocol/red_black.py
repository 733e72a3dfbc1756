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

Two choices keep the code short. One sentinel, `nil`, stands for every missing child and for the parent
of the root, which hangs to its right, so that the root is no special case. And rotations are named by
the node that goes up instead of by a side, so that no case needs its mirror image.
"""

from collections.abc import Iterator
from itertools import pairwise


class RangeNode:
    """A range `[va_start, va_end)` in bytes and its place in a tree; only its tree changes it."""

    __slots__ = ("left", "parent", "red", "right", "subtree_max_size", "va_end", "va_start")

    def __init__(self, va_start: int, va_end: int) -> None:
        self.va_start = va_start
        self.va_end = va_end
        self.subtree_max_size = va_end - va_start
        self.red = False
        # Linked to itself until a tree links it; `nil` stays so.
        self.parent = self.left = self.right = self


class RangeTree:
    """Ranges that do not overlap, in address order.

    The caller finds a place (`neighbours`, `at_least`) and then changes the tree there; that the change
    fits the place is the caller's promise and is asserted by `_check()` only. A node that was handed out
    is good until the next `erase`.
    """

    __slots__ = ("_len", "nil")

    def __init__(self) -> None:
        self.nil = RangeNode(0, 0)
        self._len = 0

    @property
    def root(self) -> RangeNode:
        """The root, or `nil` while the tree is empty."""
        return self.nil.right

    def __len__(self) -> int:
        return self._len

    def __iter__(self) -> Iterator[RangeNode]:
        return self.at_least(size=1, end=0)

    # -- finding ----------------------------------------------------------------------------------

    def at_least(self, size: int, end: int) -> Iterator[RangeNode]:
        """Yield, in address order, the nodes of `size` > 0 bytes or more that end at `end` or above.

        O(log n) to the first; k of them cost O(min(n, k log n)). The tree must not change meanwhile.
        """
        above: list[RangeNode] = []  # ancestors whose own range and right side are still to come
        node = self.nil.right
        while True:
            # The subtree max of nil is 0, so this also stops at the leaves.
            while node.subtree_max_size >= size:
                if node.va_end < end:
                    node = node.right
                else:
                    above.append(node)
                    node = node.left
            if not above:
                return
            node = above.pop()
            if node.va_end - node.va_start >= size:
                yield node
            node = node.right

    def neighbours(self, addr: int) -> tuple[RangeNode, RangeNode]:
        """Find the last node that starts at or below `addr` and the first above, or `nil`. O(log n)."""
        nil = self.nil
        previous = following = nil
        node = nil.right
        while node is not nil:
            if node.va_start <= addr:
                previous, node = node, node.right
            else:
                following, node = node, node.left
        return previous, following

    # -- changing ---------------------------------------------------------------------------------

    def insert_after(self, previous: RangeNode, va_start: int, va_end: int) -> None:
        """Insert a range as the successor of `previous`, as the first of all if that is `nil`. O(log n)."""
        if previous.right is self.nil:
            node = self._hang(previous, va_start, va_end)
            previous.right = node
        else:
            parent = self._leftmost(previous.right)
            node = self._hang(parent, va_start, va_end)
            parent.left = node
        self._settle(node)

    def insert_before(self, following: RangeNode, va_start: int, va_end: int) -> None:
        """Insert a range as the predecessor of `following`, a node of the tree. O(log n).

        The place is the only one between the two neighbours, so a search for it ends there as well.
        """
        nil = self.nil
        if following.left is nil:
            node = self._hang(following, va_start, va_end)
            following.left = node
        else:
            parent = following.left
            while parent.right is not nil:
                parent = parent.right
            node = self._hang(parent, va_start, va_end)
            parent.right = node
        self._settle(node)

    def resize(self, node: RangeNode, va_start: int, va_end: int) -> None:
        """Move the borders of `node` within the gap between its neighbours. O(log n)."""
        node.va_start = va_start
        node.va_end = va_end
        self._refresh(node)

    def erase(self, node: RangeNode) -> None:
        """Take the range of `node` out. O(log n).

        The successor of `node` may live on in this object: nodes handed out earlier are void, except
        those of ranges below this one.
        """
        gone, child = node, node.left
        if node.right is not self.nil:
            # Unlink the successor instead, as it has no left child; its range moves here.
            gone = self._leftmost(node.right)
            child = gone.right
            node.va_start = gone.va_start
            node.va_end = gone.va_end
        parent = gone.parent
        self._put_in_place_of(gone, child)
        self._len -= 1
        self._refresh(parent)
        if gone is not node:
            # The walk from `parent` ends where nothing changes, which can be short of `node`.
            self._refresh(node)
        if not gone.red:
            self._repair_after_erase(child, parent)

    def _hang(self, parent: RangeNode, va_start: int, va_end: int) -> RangeNode:
        """Make a red leaf below `parent`, which its caller links down to it."""
        node = RangeNode(va_start, va_end)
        node.left = node.right = self.nil
        node.parent = parent
        node.red = True
        return node

    def _settle(self, node: RangeNode) -> None:
        """Restore the rules after a leaf was linked."""
        self._len += 1
        self._refresh(node.parent)
        self._repair_after_insert(node)

    # -- keeping the rules ------------------------------------------------------------------------

    def _leftmost(self, node: RangeNode) -> RangeNode:
        nil = self.nil
        while node.left is not nil:
            node = node.left
        return node

    def _refresh(self, node: RangeNode) -> None:
        """Restore rule 4 from `node` upwards until nothing changes (kernel: the `propagate` callback)."""
        nil = self.nil
        while node is not nil:
            largest = _largest_below(node)
            if node.subtree_max_size == largest:
                return
            node.subtree_max_size = largest
            node = node.parent

    def _put_in_place_of(self, old: RangeNode, new: RangeNode) -> None:
        """Hang `new` where `old` hangs; `old` keeps its own links."""
        parent = old.parent
        if parent.left is old:
            parent.left = new
        else:
            parent.right = new
        if new is not self.nil:
            new.parent = parent

    def _rotate_up(self, node: RangeNode) -> None:
        """Put `node` above its parent; order and rule 4 hold, colours stay with their nodes."""
        parent = node.parent
        self._put_in_place_of(parent, node)
        if parent.left is node:
            between = parent.left = node.right
            node.right = parent
        else:
            between = parent.right = node.left
            node.left = parent
        if between is not self.nil:
            between.parent = parent
        parent.parent = node
        node.subtree_max_size = parent.subtree_max_size
        parent.subtree_max_size = _largest_below(parent)

    def _repair_after_insert(self, node: RangeNode) -> None:
        """Restore rule 2, which the red `node` breaks if its parent is red too."""
        while node.parent.red:
            parent = node.parent
            grandparent = parent.parent
            uncle = _sibling(parent)
            if uncle.red:
                # Push the grandparent's blackness down; the question moves two levels up.
                parent.red = uncle.red = False
                grandparent.red = True
                node = grandparent
                continue
            if (parent.left is node) != (grandparent.left is parent):
                # An inner grandchild would stay below the grandparent: make it the outer one's parent.
                self._rotate_up(node)
                parent = node
            self._rotate_up(parent)
            parent.red = False
            grandparent.red = True
            break
        self.nil.right.red = False

    def _repair_after_erase(self, node: RangeNode, parent: RangeNode) -> None:
        """Restore rule 3: the ways through `node`, a child of `parent` or `nil`, lack one black node."""
        while parent is not self.nil and not node.red:
            on_left = parent.left is node
            sibling = parent.right if on_left else parent.left
            if sibling.red:
                # Get a black sibling: its children are the red one's, one of which takes its place.
                self._rotate_up(sibling)
                sibling.red = False
                parent.red = True
                sibling = parent.right if on_left else parent.left
            near, far = (sibling.left, sibling.right) if on_left else (sibling.right, sibling.left)
            if not near.red and not far.red:
                # Let the sibling's side lack one as well; the question moves one level up.
                sibling.red = True
                node, parent = parent, parent.parent
                continue
            if not far.red:
                self._rotate_up(near)
                near.red = False
                sibling.red = True
                sibling, far = near, sibling
            self._rotate_up(sibling)
            sibling.red = parent.red
            parent.red = far.red = False
            return
        node.red = False

    # -- checking ---------------------------------------------------------------------------------

    def _check(self) -> None:
        """Assert every rule, all links and the length. O(n)."""
        nil = self.nil
        assert not nil.red, "nil is black"
        assert nil.left is nil, "nothing hangs to the left of nil"
        assert nil.parent is nil, "nil has no parent"
        assert nil.subtree_max_size == 0, "nil holds no bytes"
        assert not self.root.red, "the root is black"
        if self.root is not nil:
            assert self.root.parent is nil, "the root's parent is nil"
        self._check_below(self.root)
        nodes = list(self)
        assert len(nodes) == self._len, f"{len(nodes)} nodes, but the length says {self._len}"
        for node, following in pairwise(nodes):
            assert node.va_end <= following.va_start, f"{node.va_end:#x} is above {following.va_start:#x}"

    def _check_below(self, node: RangeNode) -> int:
        """Assert the rules at and below `node`; give the black nodes on each way down."""
        if node is self.nil:
            return 0
        assert node.va_start < node.va_end, f"empty range at {node.va_start:#x}"
        assert node.subtree_max_size == _largest_below(node), f"wrong subtree max at {node.va_start:#x}"
        for child in (node.left, node.right):
            assert child is self.nil or child.parent is node, f"wrong parent below {node.va_start:#x}"
            assert not (node.red and child.red), f"red below red at {node.va_start:#x}"
        black = self._check_below(node.left)
        assert black == self._check_below(node.right), f"uneven black heights below {node.va_start:#x}"
        return black + (not node.red)


def _largest_below(node: RangeNode) -> int:
    """Give what rule 4 demands of `node` if its children obey it (kernel: `compute_subtree_max_size`)."""
    return max(node.va_end - node.va_start, node.left.subtree_max_size, node.right.subtree_max_size)


def _sibling(node: RangeNode) -> RangeNode:
    parent = node.parent
    return parent.right if parent.left is node else parent.left
