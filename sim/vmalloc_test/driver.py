"""One worker of lib/test_vmalloc.c: its order of tests, its repetitions, and what it counts (`test_func()`)."""

from collections.abc import Generator, MutableSequence
from random import Random

from attrs import define, field

from sim.scenario.model import VmallocTest
from sim.vmalloc_test.cases import CASES, EXPECTED_TO_FAIL, Machine
from sim.vmalloc_test.operations import CLOCK, Answer, Operation


@define
class CaseData:
    """`struct test_case_data`: how often a test ended how, and the mean time of a repetition."""

    passed: int = 0
    failed: int = 0
    xfailed: int = 0
    time_us: int = 0


@define(eq=False)
class Worker:
    """`struct test_driver`: a thread that goes through the tests of the mask, and what it found."""

    number: int
    parameters: VmallocTest
    machine: Machine
    data: list[CaseData] = field(factory=lambda: [CaseData() for _ in CASES])
    start_ns: int = 0
    stop_ns: int = 0

    def steps(self) -> Generator[Operation, Answer, None]:
        """Yield the operations of all its tests, and count."""
        order = order_of_tests(self.parameters, self.machine.random)
        self.start_ns = yield CLOCK
        for index in order:
            yield from self._repeat(index)
        self.stop_ns = yield CLOCK

    def _repeat(self, index: int) -> Generator[Operation, Answer, None]:
        parameters, case, data = self.parameters, CASES[index], self.data[index]
        began_ns = yield CLOCK
        for _ in range(parameters.test_repeat_count):
            if not (yield from case(parameters, self.machine)):
                data.passed += 1
            elif case in EXPECTED_TO_FAIL:
                data.xfailed += 1
            else:
                data.failed += 1
        ended_ns = yield CLOCK
        data.time_us = (ended_ns - began_ns) // 1000 // parameters.test_repeat_count


def order_of_tests(parameters: VmallocTest, random: Random) -> list[int]:
    """Give the numbers of the tests in the mask, in the order in which a worker goes through them.

    All tests are shuffled, whether they are in the mask or not.
    """
    order = list(range(len(CASES)))
    if not parameters.sequential_test_order:
        shuffle_array(order, random)
    return [index for index in order if parameters.run_test_mask >> index & 1]


def shuffle_array(array: MutableSequence[int], random: Random) -> None:
    """Shuffle as the kernel's function does: no element stays where it was.

    The index to swap with is drawn below i, never i itself (Sattolo 1986): one of the (n-1)! cyclic
    permutations, each as likely, and not one of all n!.
    """
    for index in range(len(array) - 1, 0, -1):
        other = int(random.random() * index)
        array[index], array[other] = array[other], array[index]
