"""The cost model of actors on a network: what counts of work become in nanoseconds."""

from pathlib import Path

from protocol.work import Work
from sim.costs.message_passing import message_passing
from sim.placement import Placement
from sim.scenario.costs import Costs
from sim.scenario.model import Scenario
from sim.topologies import topology

SCENARIO = Scenario(costs=Costs(lock_ns=1000, visit_ns=100, insert_ns=10, release_ns=1))


def test_work_takes_the_sum_of_its_parts() -> None:
    """Holds, tree nodes, areas after the first, and areas that become free together."""
    model = message_passing(SCENARIO, Placement(topology(SCENARIO, Path()), [0], 0))
    assert model.service_ns(Work("free", 3, 1)) == 1300
    assert model.service_ns(Work("free", 3, 5, holds=2)) == 2340
    assert model.service_ns(Work("free", 3, 5, released=5)) == 1345
