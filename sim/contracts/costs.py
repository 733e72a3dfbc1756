"""What every cost model holds to, for any work, and in a small run."""

from pathlib import Path

from hypothesis import strategies as st

from protocol import registry
from protocol.area import VmapArea
from protocol.messages import Insert, Inserted
from protocol.work import Work
from sim import costs
from sim.contracts import Breach, Clause, judged, search
from sim.costs import CostModel, cost_model
from sim.scenario.file import structure
from sim.scenario.model import Scenario
from sim.simulation import simulate

CPUS, NODES = 3, 4
ADDRESSES = [*(f"node/{node_id}" for node_id in range(NODES)), "free"]

works = st.builds(
    lambda lock, visited, moved, holds: Work(lock, visited, moved, holds if lock else 0),
    st.sampled_from(["busy/0", "busy/3", "free", ""]),
    st.integers(0, 40),
    st.integers(1, 100),
    st.integers(1, 3),
)


def prices_work_in_whole_nanoseconds(model: CostModel, work: Work) -> None:
    """No work takes less than nothing."""
    if model.memory is None:
        _whole(model.service_ns(work), "for work")
    else:
        request, reply = Insert(VmapArea(0, 1)), Inserted(1)
        _whole(model.memory.hold_ns(0, work, request, reply), "for a hold")


def prices_equal_work_alike_where_it_says_so(model: CostModel, work: Work) -> None:
    """With `fixed` the same work always takes the same time."""
    if model.fixed and model.memory is None:
        twin = Work(work.lock, work.visited, work.moved, work.holds)
        first, second = model.service_ns(work), model.service_ns(twin)
        if first != second:
            raise Breach(f"says `fixed`, and equal work takes {first} ns and then {second}")


def prices_messages_in_whole_nanoseconds(model: CostModel, _work: Work) -> None:
    """Links are not negative, and uniform or fixed where it says so."""
    for cpu in range(CPUS):
        for address in ADDRESSES:
            first, second = model.link_ns(cpu, address), model.link_ns(cpu, address)
            _whole(first, f"from CPU {cpu} to {address}")
            if model.fixed_links and first != second:
                raise Breach(f"says `fixed_links`, and CPU {cpu} to {address} takes {first} ns and then {second}")
            if model.uniform_link_ns not in (None, first):
                raise Breach(
                    f"says `uniform_link_ns` {model.uniform_link_ns}, and CPU {cpu} to {address} is {first}"
                )


def chooses_one_of_those_who_wait(model: CostModel, _work: Work) -> None:
    """Where it remembers who held a lock, the next holder is one of them."""
    for waiting in ([0], [2, 1], [1, 2, 0]):
        chosen = 0 if model.memory is None else model.memory.next_holder(0, waiting)
        if type(chosen) is not int or not 0 <= chosen < len(waiting):
            raise Breach(f"chooses number {chosen!r} of {len(waiting)} CPUs that wait")


def carries_a_run_and_repeats_with_the_seed(name: str) -> None:
    """A small run has the same outcome twice, and passes every check."""
    digests = set()
    for _ in range(2):
        outcome = simulate(_scenario(name), Path())
        digests.add(outcome.recorder.digest())
        for check, verdict in outcome.verdicts.items():
            if not verdict.ok:
                raise Breach(f"makes a run fail the check {check}: {verdict.first}")
    if len(digests) > 1:
        raise Breach("makes two runs of the same seed differ")


CLAUSES = (
    prices_work_in_whole_nanoseconds,
    prices_equal_work_alike_where_it_says_so,
    prices_messages_in_whole_nanoseconds,
    chooses_one_of_those_who_wait,
    carries_a_run_and_repeats_with_the_seed,
)


def hold(name: str, clause: Clause) -> None:
    """Hold the cost model `name` to a clause. Raises `Breach`."""
    module = registry.offered(costs, name).__module__
    if clause is carries_a_run_and_repeats_with_the_seed:
        with judged(f"on {CPUS} CPUs and {NODES} nodes", most_steps=50_000_000, only=module):
            clause(name)
        return

    scenario = _scenario(name)

    def test(work: Work) -> None:
        words = f"for lock {work.lock!r}, {work.visited} visited, {work.moved} moved, {work.holds} holds"
        with judged(words, only=module):
            clause(cost_model(scenario, Path()), work)

    search(test, works)


def _scenario(name: str) -> Scenario:
    table = {
        "machine": {"cpus": CPUS},
        "space": {"nodes": NODES},
        "costs": {"model": name},
        "workload": {"operations": 200, "preload_areas": 40},
    }
    return structure(table, "the contract of costs")


def _whole(ns: object, words: str) -> None:
    if type(ns) is not int or ns < 0:
        raise Breach(f"gives {ns!r} ns {words}")
