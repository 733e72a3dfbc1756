"""Lazily freed pages stay within their bound, `lazy_max_pages()`: whoever exceeds it makes somebody purge.

While a purge waits for its turn more can be freed, in the kernel too; so what must hold is that no excess is left
behind: a drain begins after each free that finds too much, and at the end, when all drains are over, the trees
hold no more than the bound, and the counter says how much.
"""

from sim.checks import Evidence, Verdict, verdict_of


def lazy_bound(evidence: Evidence) -> Verdict:
    """Every excess of lazily freed pages is drained, and the counter is right."""
    lazy = evidence.lazy
    if lazy is None:
        return Verdict()
    pages = lazy.bytes_lazy // lazy.page_size
    exceptions = []
    if lazy.undrained:
        exceptions.append(f"{lazy.undrained} pages were lazily freed, above {lazy.most}, and nobody drained them")
    if pages > lazy.most:
        exceptions.append(f"{pages} pages are left lazily freed, the bound is {lazy.most}")
    if pages != lazy.counted:
        exceptions.append(f"{pages} pages are lazily freed, {lazy.counted} are counted")
    return verdict_of(exceptions)
