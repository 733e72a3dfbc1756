"""What serving a request took, in counts; only `sim` turns counts into nanoseconds."""

from attrs import define


@define(eq=False)
class Work:
    """Work done under one hold of one lock; compared by identity, since machines reuse them.

    `lock` names the lock ("busy/3", "free"); `visited` counts the tree nodes on the search path, for a
    balanced tree of n areas at the start of service `n.bit_length()`; `moved` counts the areas that
    changed hands (inserted, taken out, listed). Works with `moved` 1 are made once and reused, all others are
    made for one request.

    `holds` counts how often the lock was taken: 0 for work without a lock (then `lock` is ""), more than 1 where
    the kernel takes it anew for each area. With `attempt` the lock was only tried: whoever finds it held has done
    nothing, and gets `Busy` for an answer. `released` counts the areas that became free, where they were several.
    """

    lock: str
    visited: int
    moved: int
    holds: int = 1
    attempt: bool = False
    released: int = 0


def without_lock(visited: int, moved: int = 1) -> Work:
    """Make work that takes no lock."""
    return Work("", visited, moved, holds=0)
