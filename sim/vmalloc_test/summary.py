"""What lib/test_vmalloc.c prints when its workers are done, and the same for programs."""

from collections.abc import Iterator, Sequence
from typing import Any

from sim.vmalloc_test.cases import CASES
from sim.vmalloc_test.driver import CaseData, Worker


def lines(workers: Sequence[Worker]) -> Iterator[str]:
    """Give the kernel's lines: for each worker its tests in the order of their ids, then its cycles."""
    for worker in workers:
        parameters = worker.parameters
        for name, data in tests_of(worker):
            counts = f"passed: {data.passed} failed: {data.failed} xfailed: {data.xfailed}"
            times = f"repeat: {parameters.test_repeat_count} loops: {parameters.test_loop_count}"
            yield f"Summary: {name} {counts} {times} avg: {data.time_us} usec"
        yield f"All test took worker{worker.number}={cycles_of(worker)} cycles"


def report(workers: Sequence[Worker]) -> dict[str, Any]:
    """Give the same as numbers, with the lines."""
    return {
        "summary": list(lines(workers)),
        "workers": [
            {
                "worker": worker.number,
                "cpu": worker.number % worker.machine.cpus,
                "start_ns": worker.start_ns,
                "stop_ns": worker.stop_ns,
                "cycles": cycles_of(worker),
                "tests": {
                    name: {
                        "passed": data.passed,
                        "failed": data.failed,
                        "xfailed": data.xfailed,
                        "avg_usec": data.time_us,
                    }
                    for name, data in tests_of(worker)
                },
            }
            for worker in workers
        ],
    }


def tests_of(worker: Worker) -> list[tuple[str, CaseData]]:
    """Give the tests that the worker ran, with their names."""
    mask = worker.parameters.run_test_mask
    return [
        (case.__name__, data)
        for index, (case, data) in enumerate(zip(CASES, worker.data, strict=True))
        if mask >> index & 1
    ]


def cycles_of(worker: Worker) -> int:
    """Give how long the worker took, in cycles of the clock that the parameters say."""
    return (worker.stop_ns - worker.start_ns) * worker.parameters.cycles_per_us // 1000
