"""The open workload: operations come at their own times, whether or not earlier ones are over.

Where closed-loop CPUs wait for an answer before they ask again, and so go easy on a system that is slow, users do
not: they come at a rate. Arrivals are dealt out to the CPUs in turn; each works on its own one after the other, and
what comes meanwhile waits for it. The latency of an operation counts from its arrival, that wait included as
queueing; a slow system cannot hide the operations it kept from being sent. What the operations are is drawn as
for `mix`.

All CPUs' arrivals are one stream, and end together: streams of their own would end at different times, and the
load would fade out long before the run does. Arrivals have random numbers of their own: runs that are compared get
the same operations at the same times.
"""

from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

from attrs import frozen

from actors.client import Client
from sim.chance import exponential, stream
from sim.scenario.model import Scenario
from sim.workloads import ClientScript, Plan
from sim.workloads.mix import FAILURES, Operations, give_up, plan_own_areas, started


@frozen
class Open:
    """Operations that come at a rate, waiting or not: `[workload.open]`, with the shares of `[workload.mix]`."""

    def __call__(self, scenario: Scenario, beside: Path) -> Plan:  # noqa: ARG002 (the shape of every workload)
        """See `Workload`."""
        cpus, load = scenario.machine.cpus, scenario.workload.open

        if load.arrivals == "poisson":
            arrivals_ns = poisson(stream(scenario.seed, "open/arrivals"), load.rate_per_s)
        else:
            arrivals_ns = even(load.rate_per_s)
        dealt = deal(arrivals_ns, cpus)

        def script(cpu: int, operations: Operations) -> ClientScript:
            return partial(_run, operations=operations, arrivals_ns=dealt[cpu])

        return plan_own_areas(scenario, script)


def poisson(random: Random, rate_per_s: float) -> Iterator[int]:
    """Give arrival times, in whole nanoseconds, whose distances are exponential."""
    mean_ns = 1e9 / rate_per_s
    time_ns = 0.0
    while True:
        time_ns += mean_ns * exponential(random)
        yield round(time_ns)


def even(rate_per_s: float) -> Iterator[int]:
    """Give arrival times, in whole nanoseconds, at equal distances."""
    return (round(arrival * 1e9 / rate_per_s) for arrival in count())


def deal(arrivals: Iterator[int], hands: int) -> list[Iterator[int]]:
    """Deal `arrivals` out to `hands` in turn; what a hand gets does not depend on who takes first.

    Kept is what has been dealt and not yet taken.
    """
    dealt: list[deque[int]] = [deque() for _ in range(hands)]

    def hand(own: deque[int]) -> Iterator[int]:
        while True:
            if not own:
                for other in dealt:
                    other.append(next(arrivals))
            yield own.popleft()

    return [hand(own) for own in dealt]


async def _run(client: Client, *, operations: Operations, arrivals_ns: Iterator[int]) -> None:
    """Carry out each operation when it comes, or as soon after as the CPU is free."""
    port = client.port
    for drawn in operations:
        for operation in drawn:
            arrival_ns = next(arrivals_ns)
            await client.sleep(arrival_ns - port.now_ns)
            port.backlog_ns = port.now_ns - arrival_ns
            begin_ns = port.now_ns
            try:
                await started(client, operation)
            except FAILURES as error:
                give_up(client, operation, begin_ns, error)
