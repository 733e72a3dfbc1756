"""What serving a request took, in counts; only `sim` turns counts into nanoseconds."""

from attrs import define


@define(eq=False)
class Work:
    """Work done under one hold of one lock; compared by identity, since machines reuse them.

    `lock` names the lock ("busy/3", "free"); `visited` counts the tree nodes on the search path, for a
    balanced tree of n areas at the start of service `n.bit_length()`; `moved` counts the areas that
    changed hands (inserted, taken out, listed).
    """

    lock: str
    visited: int
    moved: int
