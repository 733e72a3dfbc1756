"""lib/test_vmalloc.c in generators: what each test asks for, in which order, what is counted and printed."""

import gzip
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from attrs import evolve

from protocol.area import PAGE_SIZE, VmapArea
from sim.scenario.model import VmallocTest
from sim.vmalloc_test import cases
from sim.vmalloc_test.cases import CASES, Case, Machine, Steps
from sim.vmalloc_test.driver import CaseData, Worker, order_of_tests, shuffle_array
from sim.vmalloc_test.operations import (
    Clock,
    KvfreeRcu,
    Operation,
    PcpuFreeVmAreas,
    PcpuGetVmAreas,
    Vfree,
    Vmalloc,
    VmMapRam,
    VmUnmapRam,
)
from sim.vmalloc_test.percpu import PerCpuMemory
from sim.vmalloc_test.summary import lines, report

DATA = Path(__file__).parents[2] / "data"
NAMES = [case.__name__ for case in CASES]
SMALL = VmallocTest(test_loop_count=7, nr_pcpu_objects=50)


def machine(cpus: int = 4, seed: int = 1) -> Machine:
    return Machine(cpus, Random(seed), PerCpuMemory(cpus))


class Kernel:
    """A kernel that has room for all but the `fails`-th request, and knows who still owes it an area."""

    def __init__(self, fails: int | None = None, most_aligned: int = 2**63) -> None:
        self.asked: list[Operation] = []
        self.held: dict[int, VmapArea] = {}
        self.fails = fails
        self.most_aligned = most_aligned
        self._requests = 0
        self._next = 2**20

    def run(self, steps: Steps) -> int:
        """Answer a test to its end; gives what it returned."""
        answer = None
        while True:
            try:
                operation = steps.send(answer)
            except StopIteration as end:
                return int(end.value)
            self.asked.append(operation)
            answer = self._answer(operation)

    def _answer(self, operation: Operation) -> VmapArea | int | None:
        match operation:
            case Vmalloc(size=size, align=align):
                return self._give(size + PAGE_SIZE, align)
            case VmMapRam(pages=pages):
                return self._give(pages * PAGE_SIZE, 1)
            case PcpuGetVmAreas(size=size, align=align):
                return self._give(size, align)
            case Vfree(area=area) | KvfreeRcu(area=area) | VmUnmapRam(range=area) | PcpuFreeVmAreas(area=area):
                assert self.held.pop(area.va_start) is area
                return None
            case Clock():
                return len(self.asked)

    def _give(self, size: int, align: int) -> VmapArea | None:
        self._requests += 1
        if self._requests == self.fails or align > self.most_aligned:
            return None
        area = VmapArea(self._next, self._next + size)
        self._next += size
        self.held[area.va_start] = area
        return area


def requests(asked: list[Operation]) -> Counter[tuple[int, int]]:
    """Count what was asked of vmalloc: pages with the guard page, and alignment."""
    return Counter((each.size // PAGE_SIZE + 1, each.align) for each in asked if isinstance(each, Vmalloc))


# -- the tests, one by one --------------------------------------------------------------------------


def test_names_and_ids() -> None:
    """The order of `test_case_array` is that of the ids, 1 << i."""
    assert {name: 1 << index for index, name in enumerate(NAMES)} == {
        "fix_size_alloc_test": 1,
        "full_fit_alloc_test": 2,
        "long_busy_list_alloc_test": 4,
        "random_size_alloc_test": 8,
        "fix_align_alloc_test": 16,
        "random_size_align_alloc_test": 32,
        "align_shift_alloc_test": 64,
        "pcpu_alloc_test": 128,
        "kvfree_rcu_1_arg_vmalloc_test": 256,
        "kvfree_rcu_2_arg_vmalloc_test": 512,
        "vm_map_ram_test": 1024,
        "no_block_alloc_test": 2048,
        "vrealloc_test": 4096,
    }


def recorded() -> Iterator[tuple[VmallocTest, int, Counter[tuple[int, int]]]]:
    """Give a real kernel's runs: parameters, how many times a test ran, what it asked for with success."""
    runs: dict[VmallocTest, Counter[tuple[int, int]]] = {}
    with gzip.open(DATA / "vn-smp4-testvmalloc-requests.txt.gz", "rt") as file:
        for line in file:
            threads, mask, loops, nr_pages, pages, align, failed, count = map(int, line.split())
            if not failed:
                parameters = VmallocTest(
                    nr_threads=threads, run_test_mask=mask, test_loop_count=loops, nr_pages=nr_pages
                )
                runs.setdefault(parameters, Counter())[pages, align] = count
    return ((parameters, 2 * parameters.workers, counts) for parameters, counts in runs.items())


RECORDED = list(recorded())
DETERMINED = 1 | 4 | 16 | 256 | 512


@pytest.mark.parametrize(
    ("parameters", "times", "counts"),
    [run for run in RECORDED if run[0].run_test_mask & DETERMINED],
    ids=str,
)
def test_requests_are_those_of_a_real_kernel(
    parameters: VmallocTest, times: int, counts: Counter[tuple[int, int]]
) -> None:
    """Where chance has no part, sizes, alignments and their numbers are what 6.12 recorded."""
    kernel = Kernel()
    case = CASES[parameters.run_test_mask.bit_length() - 1]

    assert kernel.run(case(parameters, machine())) == 0
    assert {request: count * times for request, count in requests(kernel.asked).items()} == counts


@pytest.mark.parametrize("mask", [8, 32])
def test_draws_are_those_of_a_real_kernel(mask: int) -> None:
    """Sizes and alignments by chance: the recorded 28,000 and 14,000, and ours, fit the same distribution."""
    runs = [(parameters, counts) for parameters, _, counts in RECORDED if parameters.run_test_mask == mask]
    theirs: Counter[tuple[int, int]] = sum((counts for _, counts in runs), Counter())
    kernel = Kernel()
    case = CASES[mask.bit_length() - 1]
    kernel.run(case(VmallocTest(test_loop_count=theirs.total()), machine()))
    ours = requests(kernel.asked)
    likely = (
        Counter((pages + 1, 1) for pages in range(1, 101))
        if mask == 8
        else Counter((byte % 10 + 2, 1 << byte % 23) for byte in range(256))
    )

    assert theirs.total() == ours.total() == (28_000 if mask == 8 else 14_000)
    for counts in (theirs, ours):
        assert counts.keys() == likely.keys()
        expected = {request: weight * counts.total() / likely.total() for request, weight in likely.items()}
        chi_squared = sum((counts[request] - mean) ** 2 / mean for request, mean in expected.items())
        degrees = len(likely) - 1
        assert abs(chi_squared - degrees) < 4 * (2 * degrees) ** 0.5


def test_align_shift_fails_where_a_real_kernel_fails() -> None:
    """A page at multiples of 1, 2, 4, … up to what there is room for; then -1, as recorded on 6.12."""
    ((_, times, counts),) = (run for run in RECORDED if run[0].run_test_mask == 64)
    kernel = Kernel(most_aligned=2**45)

    assert kernel.run(CASES[6](SMALL, machine())) == -1
    asked = requests(kernel.asked)
    assert asked.pop((2, 2**46)) == 1
    assert {request: count * times for request, count in asked.items()} == counts


def test_full_fit() -> None:
    """Holes for lazy_max_pages() pages: 2 x 3 x 8,192 areas of 4 CPUs, and two tables of 48 pages."""
    kernel = Kernel()

    assert kernel.run(cases.full_fit_alloc_test(SMALL, machine(cpus=4))) == 0
    assert requests(kernel.asked) == {(49, 1): 2, (2, 1): 2 * 24_576 + 7}
    first_free = next(index for index, each in enumerate(kernel.asked) if isinstance(each, Vfree))
    assert first_free == 2 + 2 * 24_576
    freed = [each.area for each in kernel.asked[first_free : first_free + 24_576] if isinstance(each, Vfree)]
    assert {area.va_start // (2 * PAGE_SIZE) % 2 for area in freed} == {freed[0].va_start // (2 * PAGE_SIZE) % 2}


def test_huge_mappings_are_whole_pmds() -> None:
    """`use_huge` matters from 2 MiB on: whole PMDs, at multiples of one."""
    for nr_pages, expected in ((1, (2, 1)), (511, (512, 1)), (512, (513, 2**21)), (513, (1025, 2**21))):
        kernel = Kernel()
        kernel.run(cases.fix_size_alloc_test(evolve(SMALL, use_huge=True, nr_pages=nr_pages), machine()))
        assert requests(kernel.asked) == {expected: 7}


def test_vm_map_ram_asks_for_pages() -> None:
    """`nr_pages`, or one; each is unmapped before the next."""
    kernel = Kernel()
    kernel.run(cases.vm_map_ram_test(evolve(SMALL, nr_pages=3), machine()))

    assert [type(each) for each in kernel.asked] == [VmMapRam, VmUnmapRam] * 7
    assert {each.pages for each in kernel.asked if isinstance(each, VmMapRam)} == {3}


def test_no_block_must_not_sleep() -> None:
    """Only this test asks for allocations that may not block."""
    for case in CASES:
        kernel = Kernel()
        kernel.run(case(evolve(SMALL, test_loop_count=1), machine(cpus=1)))
        may_block = {each.may_block for each in kernel.asked if isinstance(each, Vmalloc)}
        assert may_block <= {case is not cases.no_block_alloc_test}


def test_vrealloc_moves_once() -> None:
    """1 page, then 4 in another area; smaller and back in place."""
    kernel = Kernel()
    assert kernel.run(cases.vrealloc_test(evolve(SMALL, test_loop_count=1), machine())) == 0

    assert [type(each) for each in kernel.asked] == [Vmalloc, Vmalloc, Vfree, Vfree]
    assert requests(kernel.asked) == {(2, 1): 1, (5, 1): 1}


def test_kvfree_rcu_leaves_areas_to_a_worker() -> None:
    """Both ways to call it: no area is freed by the test itself."""
    for case in (cases.kvfree_rcu_1_arg_vmalloc_test, cases.kvfree_rcu_2_arg_vmalloc_test):
        kernel = Kernel()
        assert kernel.run(case(SMALL, machine())) == 0
        assert [type(each) for each in kernel.asked] == [Vmalloc, KvfreeRcu] * 7


@pytest.mark.parametrize("case", CASES, ids=NAMES)
@pytest.mark.parametrize("fails", [None, *range(1, 12), 16_386, 16_390, 30_001])
def test_nothing_leaks(case: Case, fails: int | None) -> None:
    """Whichever request fails: all that was given is given back, once, but for one chunk of per-CPU memory."""
    kernel = Kernel(fails)
    seen = machine(cpus=1)
    result = kernel.run(case(SMALL, seen))

    assert result in ((0,) if fails is None else (0, -1))
    assert list(kernel.held.values()) == [chunk.area for chunk in seen.percpu.chunks]
    assert len(seen.percpu.chunks) <= 1


@pytest.mark.parametrize(
    ("case", "fails"),
    [
        (cases.fix_size_alloc_test, 7),
        (cases.full_fit_alloc_test, 1),
        (cases.full_fit_alloc_test, 2),
        (cases.full_fit_alloc_test, 2 + 2 * 8_192 + 7),
        (cases.long_busy_list_alloc_test, 1),
        (cases.long_busy_list_alloc_test, 15_001 + 1),
        (cases.long_busy_list_alloc_test, 15_001 + 2),
        (cases.random_size_alloc_test, 7),
        (cases.fix_align_alloc_test, 7),
        (cases.random_size_align_alloc_test, 7),
        (cases.align_shift_alloc_test, 7),
        (cases.pcpu_alloc_test, 1),
        (cases.pcpu_alloc_test, 2),
        (cases.kvfree_rcu_1_arg_vmalloc_test, 7),
        (cases.kvfree_rcu_2_arg_vmalloc_test, 7),
        (cases.vm_map_ram_test, 7),
        (cases.no_block_alloc_test, 7),
        (cases.vrealloc_test, 13),
        (cases.vrealloc_test, 14),
    ],
)
def test_a_test_without_room_fails(case: Case, fails: int) -> None:
    """The requests of which each test says that it could not go on without."""
    assert Kernel(fails).run(case(SMALL, machine(cpus=1))) == -1


@pytest.mark.parametrize(
    ("case", "fails"),
    [
        (cases.full_fit_alloc_test, 3),
        (cases.full_fit_alloc_test, 16_000),
        (cases.long_busy_list_alloc_test, 3),
        (cases.long_busy_list_alloc_test, 15_001),
    ],
)
def test_what_a_test_does_not_look_at(case: Case, fails: int) -> None:
    """full_fit and long_busy_list fill their tables without looking; a NULL there is freed as nothing."""
    kernel = Kernel(fails)

    assert kernel.run(case(SMALL, machine(cpus=1))) == 0
    allocated = sum(isinstance(each, Vmalloc) for each in kernel.asked)
    assert sum(isinstance(each, Vfree) for each in kernel.asked) == allocated - 1


# -- per-CPU memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpus", "group", "unit"),
    [(1, 2**21, 2**21), (4, 2**21, 2**19), (6, 2**21, 2**18), (64, 2**21, 2**15), (65, 2**22, 2**15)],
)
def test_chunks_have_a_unit_for_each_cpu(cpus: int, group: int, unit: int) -> None:
    """4 CPUs share 2 MiB, as a real kernel shows; a unit has no less than 32 KiB."""
    memory = PerCpuMemory(cpus)

    assert (memory.group_size, memory.unit_size) == (group, unit)


def test_objects_fill_chunks() -> None:
    """35,000 objects of half a KiB on average: 18 MB of each CPU's units, and little more."""
    kernel = Kernel()
    seen = machine(cpus=4)
    assert kernel.run(cases.pcpu_alloc_test(VmallocTest(), seen)) == 0
    chunks = [each for each in kernel.asked if isinstance(each, PcpuGetVmAreas)]

    assert 35_000 * 512 / 2**19 < len(chunks) < 1.7 * 35_000 * 512 / 2**19
    assert {(each.size, each.align) for each in chunks} == {(2**21, 2**21)}
    assert sum(isinstance(each, PcpuFreeVmAreas) for each in kernel.asked) == len(chunks) - 1
    kernel.run(cases.pcpu_alloc_test(VmallocTest(), seen))
    assert sum(isinstance(each, PcpuGetVmAreas) for each in kernel.asked) < 2 * len(chunks)


# -- the order ------------------------------------------------------------------------------------------


def test_the_shuffle_is_a_cycle() -> None:
    """Drawing below i, never i, gives the 6 cyclic permutations of 4, each as often; none leaves one in place."""
    random = Random(5)
    seen: Counter[tuple[int, ...]] = Counter()
    for _ in range(6_000):
        array = [0, 1, 2, 3]
        shuffle_array(array, random)
        seen[tuple(array)] += 1

    assert len(seen) == 6
    assert all(850 < count < 1_150 for count in seen.values())
    for permutation in seen:
        at, steps = permutation[0], 1
        while at != 0:
            at, steps = permutation[at], steps + 1
        assert steps == 4


def test_the_mask_chooses_tests() -> None:
    """In sequence by their ids; shuffled, all tests are, and those of the mask are left."""
    sequential = VmallocTest(sequential_test_order=True, run_test_mask=1 | 8 | 4096)
    shuffled = evolve(sequential, sequential_test_order=False, run_test_mask=2**13 - 1)

    assert order_of_tests(sequential, Random(1)) == [0, 3, 12]
    order = order_of_tests(shuffled, Random(1))
    assert sorted(order) == list(range(13))
    assert all(index != test for index, test in enumerate(order))
    assert order_of_tests(evolve(shuffled, run_test_mask=7), Random(1)) == [test for test in order if test < 3]


# -- the worker -------------------------------------------------------------------------------------------


def run(worker: Worker, kernel: Kernel, clock_ns: Callable[[int], int]) -> None:
    steps, answer = worker.steps(), None
    while True:
        try:
            operation = steps.send(answer)
        except StopIteration:
            return
        kernel.asked.append(operation)
        answer = clock_ns(len(kernel.asked)) if isinstance(operation, Clock) else kernel._answer(operation)


def test_a_worker_counts_and_times() -> None:
    """Repetitions passed, failed, and failed as expected; mean microseconds, rounded down twice."""
    parameters = VmallocTest(
        run_test_mask=1 | 64,
        test_repeat_count=3,
        test_loop_count=2,
        sequential_test_order=True,
        cycles_per_us=2_000,
    )
    worker = Worker(2, parameters, machine())
    run(worker, Kernel(fails=3, most_aligned=1), lambda operations: operations * 700)

    assert worker.data[0] == CaseData(passed=2, failed=1, xfailed=0, time_us=2)
    assert worker.data[6] == CaseData(passed=0, failed=0, xfailed=3, time_us=2)
    assert list(lines([worker])) == [
        "Summary: fix_size_alloc_test passed: 2 failed: 1 xfailed: 0 repeat: 3 loops: 2 avg: 2 usec",
        "Summary: align_shift_alloc_test passed: 0 failed: 0 xfailed: 3 repeat: 3 loops: 2 avg: 2 usec",
        f"All test took worker2={(worker.stop_ns - worker.start_ns) * 2} cycles",
    ]


def test_lines_are_those_of_a_real_kernel() -> None:
    """6.12 printed no `xfailed:` yet; but for that the lines are its own."""
    worker = Worker(0, VmallocTest(test_loop_count=2000, run_test_mask=1), machine())
    worker.data[0] = CaseData(passed=1, time_us=115_354)
    worker.start_ns, worker.stop_ns = 1_000, 282_318_738

    assert [line.replace(" xfailed: 0", "") for line in lines([worker])] == [
        "Summary: fix_size_alloc_test passed: 1 failed: 0 repeat: 1 loops: 2000 avg: 115354 usec",
        "All test took worker0=282317738 cycles",
    ]


def test_the_report_has_the_same_as_numbers() -> None:
    """What programs read is what people read."""
    worker = Worker(5, VmallocTest(run_test_mask=4096), machine(cpus=4))
    worker.data[12] = CaseData(passed=1, time_us=9)
    found = report([worker])

    assert found["summary"] == list(lines([worker]))
    assert found["workers"] == [
        {
            "worker": 5,
            "cpu": 1,
            "start_ns": 0,
            "stop_ns": 0,
            "cycles": 0,
            "tests": {"vrealloc_test": {"passed": 1, "failed": 0, "xfailed": 0, "avg_usec": 9}},
        }
    ]
