"""The thirteen tests of lib/test_vmalloc.c, under their names there, in the order of their ids 1, 2, 4, ….

Each is a generator over one run of a test (not its repetitions): it yields operations and returns 0, or -1 where
the kernel's test fails. Sizes and alignments are drawn as the kernel draws them.
"""

from collections.abc import Callable, Generator, Iterable
from random import Random
from typing import TypeAlias

from attrs import frozen

from protocol.area import PAGE_SIZE, VmapArea
from protocol.kernel import lazy_max_pages
from sim.scenario.model import VmallocTest
from sim.vmalloc_test.operations import (
    Answer,
    KvfreeRcu,
    Operation,
    Vfree,
    Vmalloc,
    VmMapRam,
    VmUnmapRam,
)
from sim.vmalloc_test.percpu import PerCpuMemory

POINTER_SIZE = 8
BITS_PER_LONG = 64
PMD_SIZE = 2**21
THREAD_ALIGN = 4 * PAGE_SIZE
"""THREAD_SIZE of x86_64 without KASAN; the recorded kernel's `fix_align_alloc_test` has twice that, 32,768."""

BUSY_AREAS = 15_000
"""Areas that long_busy_list_alloc_test holds while it loops."""

Steps: TypeAlias = Generator[Operation, Answer, int]
Found: TypeAlias = Generator[Operation, Answer, VmapArea | None]


@frozen
class Machine:
    """What a worker's tests see of the machine: online CPUs, its own chance, per-CPU memory that all share."""

    cpus: int
    random: Random
    percpu: PerCpuMemory


Case: TypeAlias = Callable[[VmallocTest, Machine], Steps]


def vmalloc(pages: int) -> Vmalloc:
    """Ask for so many pages, wherever they are."""
    return Vmalloc(pages * PAGE_SIZE)


def fix_size_alloc_test(parameters: VmallocTest, _machine: Machine) -> Steps:
    """Allocate and free `nr_pages`, over and over."""
    return _allocate_and_free(_fixed_size(parameters) for _ in range(parameters.test_loop_count))


def _fixed_size(parameters: VmallocTest) -> Vmalloc:
    """Give what `fix_size_alloc_test` asks for: huge mappings are whole PMDs, from 2 MiB on."""
    size = parameters.pages * PAGE_SIZE
    if parameters.use_huge and size >= PMD_SIZE:
        return Vmalloc(-(-size // PMD_SIZE) * PMD_SIZE, PMD_SIZE)
    return Vmalloc(size)


def full_fit_alloc_test(parameters: VmallocTest, machine: Machine) -> Steps:
    """Leave holes of just the size that is then allocated and freed over and over: as many as lazy_max_pages()."""
    junk_length = -(-lazy_max_pages(machine.cpus) // parameters.scale)
    table = yield table_of(junk_length)
    if table is None:
        return -1
    junk_table = yield table_of(junk_length)
    if junk_table is None:
        yield Vfree(table)
        return -1
    kept, junk = [], []
    for _ in range(junk_length):
        kept.append((yield vmalloc(1)))
        junk.append((yield vmalloc(1)))
    yield from _free_all(junk)
    result = 0
    for _ in range(parameters.test_loop_count):
        area = yield vmalloc(1)
        if area is None:
            result = -1
            break
        yield Vfree(area)
    yield from _free_all([*kept, table, junk_table])
    return result


def long_busy_list_alloc_test(parameters: VmallocTest, _machine: Machine) -> Steps:
    """Allocate and free 100 pages and one page while 15,000 other areas are there."""
    busy_areas = -(-BUSY_AREAS // parameters.scale)
    table = yield table_of(busy_areas)
    if table is None:
        return -1
    kept = []
    for _ in range(busy_areas):
        kept.append((yield vmalloc(1)))
    result = 0
    for _ in range(parameters.test_loop_count):
        large = yield vmalloc(100)
        if large is None:
            result = -1
            break
        small = yield vmalloc(1)
        yield Vfree(large)
        if small is None:
            result = -1
            break
        yield Vfree(small)
    yield from _free_all([*kept, table])
    return result


def random_size_alloc_test(parameters: VmallocTest, machine: Machine) -> Steps:
    """Allocate and free 1 to 100 pages, each number as likely."""
    random = machine.random
    return _allocate_and_free(vmalloc(between(random, 1, 100)) for _ in range(parameters.test_loop_count))


def fix_align_alloc_test(parameters: VmallocTest, _machine: Machine) -> Steps:
    """Allocate and free 5 pages at a multiple of two stacks' alignment."""
    request = Vmalloc(5 * PAGE_SIZE, THREAD_ALIGN << 1)
    return _allocate_and_free(request for _ in range(parameters.test_loop_count))


def random_size_align_alloc_test(parameters: VmallocTest, machine: Machine) -> Steps:
    """Allocate and free 1 to 10 pages at multiples of 1 byte to 4 MiB; one byte of chance decides both."""
    drawn = (between(machine.random, 0, 255) for _ in range(parameters.test_loop_count))
    return _allocate_and_free(Vmalloc((byte % 10 + 1) * PAGE_SIZE, 1 << byte % 23) for byte in drawn)


def align_shift_alloc_test(_parameters: VmallocTest, _machine: Machine) -> Steps:
    """Allocate and free a page at multiples of ever higher powers of 2, until there is none: expected to fail."""
    return _allocate_and_free(Vmalloc(PAGE_SIZE, 1 << shift) for shift in range(BITS_PER_LONG))


def pcpu_alloc_test(parameters: VmallocTest, machine: Machine) -> Steps:
    """Allocate objects of per-CPU memory, then free them; chunks of it are areas."""
    table = yield table_of(parameters.nr_pcpu_objects)
    if table is None:
        return -1
    memory = machine.percpu
    result = 0
    objects = []
    for _ in range(parameters.nr_pcpu_objects):
        size = between(machine.random, 1, PAGE_SIZE // 4)
        align = 1 << between(machine.random, 1, (PAGE_SIZE - 1).bit_length() - 1)
        allocated = yield from memory.alloc(size, align)
        if allocated is None:
            result = -1
        else:
            objects.append(allocated)
    for allocated in objects:
        memory.free(allocated)
    yield from memory.balance()
    yield Vfree(table)
    return result


def kvfree_rcu_1_arg_vmalloc_test(parameters: VmallocTest, _machine: Machine) -> Steps:
    """Allocate a page and leave it to kvfree_rcu_mightsleep(), over and over."""
    for _ in range(parameters.test_loop_count):
        area = yield vmalloc(1)
        if area is None:
            return -1
        yield KvfreeRcu(area)
    return 0


def kvfree_rcu_2_arg_vmalloc_test(parameters: VmallocTest, machine: Machine) -> Steps:
    """Allocate a page and leave it to kvfree_rcu() with a head in it: for vmap areas the same."""
    return kvfree_rcu_1_arg_vmalloc_test(parameters, machine)


def vm_map_ram_test(parameters: VmallocTest, _machine: Machine) -> Steps:
    """Map and unmap `nr_pages`, over and over; up to 64 of them come out of a vmap block."""
    for _ in range(parameters.test_loop_count):
        mapped = yield VmMapRam(parameters.pages)
        if mapped is None:
            return -1  # the kernel's test would write to it
        yield VmUnmapRam(mapped)
    return 0


def no_block_alloc_test(parameters: VmallocTest, _machine: Machine) -> Steps:
    """Allocate `nr_pages` without sleeping and free them.

    The kernel tosses a coin between GFP_ATOMIC and GFP_NOWAIT, which are one for areas.
    """
    request = Vmalloc(parameters.pages * PAGE_SIZE, may_block=False)
    return _allocate_and_free(request for _ in range(parameters.test_loop_count))


def vrealloc_test(parameters: VmallocTest, _machine: Machine) -> Steps:
    """Grow a page to 4, shrink to 1 and to half a page, grow to 1: only the first step needs another area."""
    for _ in range(parameters.test_loop_count):
        area = yield vmalloc(1)
        if area is None:
            return -1
        for size in (4 * PAGE_SIZE, PAGE_SIZE, PAGE_SIZE // 2, PAGE_SIZE):
            resized = yield from vrealloc(area, size)
            if resized is None:
                yield Vfree(area)
                return -1
            area = resized
        yield Vfree(area)
    return 0


def vrealloc(area: VmapArea, size: int) -> Found:
    """Resize an allocation: in its area if it fits there, else in another one, and free the first.

    Pages that a smaller size gives up leave the area as it is.
    """
    if size <= area.size - PAGE_SIZE:
        return area
    larger: VmapArea | None = yield Vmalloc(size)
    if larger is not None:
        yield Vfree(area)
    return larger


CASES: tuple[Case, ...] = (
    fix_size_alloc_test,
    full_fit_alloc_test,
    long_busy_list_alloc_test,
    random_size_alloc_test,
    fix_align_alloc_test,
    random_size_align_alloc_test,
    align_shift_alloc_test,
    pcpu_alloc_test,
    kvfree_rcu_1_arg_vmalloc_test,
    kvfree_rcu_2_arg_vmalloc_test,
    vm_map_ram_test,
    no_block_alloc_test,
    vrealloc_test,
)
"""`test_case_array`: the test of id `1 << i` is number i."""

EXPECTED_TO_FAIL = frozenset({align_shift_alloc_test, no_block_alloc_test})
"""Those with `xfail` set in `test_case_array`."""


def between(random: Random, low: int, high: int) -> int:
    """Draw an integer, both ends included, as get_random_u32_inclusive() does."""
    return low + int(random.random() * (high - low + 1))


def _allocate_and_free(requests: Iterable[Vmalloc]) -> Steps:
    """Allocate and free, one request after the other, until one finds no room."""
    for request in requests:
        area = yield request
        if area is None:
            return -1
        yield Vfree(area)
    return 0


def table_of(pointers: int) -> Vmalloc:
    """Ask for an array of pointers, in whole pages."""
    return vmalloc(-(-pointers * POINTER_SIZE // PAGE_SIZE))


def _free_all(areas: list[VmapArea | None]) -> Generator[Operation, Answer, None]:
    """Free areas; vfree() of a NULL does nothing."""
    for area in areas:
        if area is not None:
            yield Vfree(area)
