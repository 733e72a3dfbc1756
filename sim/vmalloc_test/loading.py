"""Loading the test module, and throwing it out again: what modprobe asks for around the workers.

As a 6.12 kernel does it (its trace, and its purges, in tests/data): the file's copy and four parts of the module
are allocated; five changes of permissions purge what is lazily freed, and pools decay; the copy is freed, and each
worker gets a stack. When all workers are over the stacks and the module's parts are freed, each part with a purge
of its own (VM_FLUSH_RESET_PERMS): the module's init function always fails, so that it can be loaded again.
"""

from collections.abc import Generator, Sequence

from attrs import define

from protocol.area import PAGE_SIZE, VmapArea
from sim.vmalloc_test.cases import THREAD_ALIGN
from sim.vmalloc_test.driver import Worker
from sim.vmalloc_test.operations import Answer, Loading, ModuleAlloc, Pause, UnmapAliases, Vfree, Vmalloc

FILE_PAGES = 5
"""Pages of the module's file."""

PARTS = (1, 1, 1, 2)
"""Pages of the module's parts: text, data, read-only data, and what is read-only after init, in some order."""

PURGES = 5
"""Changes of permissions while the module is loaded."""

FREED = (0, 2, 3, 1)
"""The order in which the parts are freed."""

STACK_SIZE = 4 * PAGE_SIZE
"""A kernel thread's stack (THREAD_SIZE)."""


@define(eq=False)
class Run:
    """Starts workers and waits until all are over; answered by nothing."""

    workers: Sequence[Worker]
    pages_ns: Sequence[int]
    """How long a page of each one's allocations takes besides the area."""


def load(run: Run, unload: Sequence[Pause] = ()) -> Generator[Loading | Run, Answer, None]:
    """Yield what loading the module once asks for; between loading and unloading its workers run.

    `unload` passes before each part is freed.
    """
    copy: VmapArea = yield Vmalloc(FILE_PAGES * PAGE_SIZE)
    parts: list[VmapArea] = []
    for pages in PARTS:
        parts.append((yield ModuleAlloc(pages * PAGE_SIZE)))
    for _ in range(PURGES):
        yield UnmapAliases()
    yield Vfree(copy)
    stacks: list[VmapArea] = []
    for _ in run.workers:
        stacks.append((yield Vmalloc(STACK_SIZE, THREAD_ALIGN)))
    yield run
    for stack in stacks:
        yield Vfree(stack)
    for part in FREED:
        yield from unload
        yield Vfree(parts[part])
        yield UnmapAliases()
