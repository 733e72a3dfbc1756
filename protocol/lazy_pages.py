"""The machine of one counter: the pages that are lazily freed.

Mirrors `vmap_lazy_nr` of mm/vmalloc.c, an atomic in a cache line of its own (v6.9): whoever changes it needs that
line, one after the other, so it is a lock here, held for one atomic operation.
"""

from typing import assert_never

from protocol.area import ULONG_MAX
from protocol.messages import (
    AddLazyPages,
    LazyPages,
    LazyPagesRequest,
    ReadLazyPages,
    Refused,
    Reply,
    SubtractLazyPages,
)
from protocol.work import Work

LOCK = "vmap_lazy_nr"
"""The counter's cache line."""


class LazyPagesMachine:
    """Counts the lazily freed pages; a refused request changes nothing."""

    def __init__(self) -> None:
        self.pages = 0
        self._work = Work(LOCK, 0, 1)

    def handle(self, request: LazyPagesRequest) -> tuple[Reply, Work]:
        """Serve one request; give the pages after it."""
        match request:
            case AddLazyPages():
                if self.pages + request.pages > ULONG_MAX:
                    return self._refuse(f"{request.pages} more pages are too many"), self._work
                self.pages += request.pages
            case SubtractLazyPages():
                if request.pages > self.pages:
                    return self._refuse(f"{request.pages} pages less are too few"), self._work
                self.pages -= request.pages
                if request.times > 1:
                    return LazyPages(self.pages), Work(LOCK, 0, 2, request.times)
            case ReadLazyPages():
                pass
            case _:
                assert_never(request)
        return LazyPages(self.pages), self._work

    def _refuse(self, what: str) -> Refused:
        return Refused("bad-range", f"{what}: there are {self.pages}")
