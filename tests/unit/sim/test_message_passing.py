"""The cost model of actors on a network: what counts of work become in nanoseconds."""

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from protocol.work import Work, without_lock
from sim.costs import CostModel
from sim.costs.message_passing import message_passing
from sim.placement import Placement
from sim.results import results_of
from sim.scenario.costs import Costs
from sim.scenario.model import Mix, Scenario, Workload
from sim.simulation import simulate
from sim.topologies import topology


def model(seed: int = 1, **costs: Any) -> CostModel:
    constants: dict[str, Any] = {"lock_ns": 1000, "visit_ns": 100, "insert_ns": 10, "release_ns": 1}
    scenario = Scenario(seed=seed, costs=Costs(**{**constants, **costs}))
    return message_passing(scenario, Placement(topology(scenario, Path()), [0], 0))


def drawn(of: CostModel, work: Work, times: int = 1000) -> list[int]:
    return [of.service_ns(work) for _ in range(times)]


def test_work_takes_the_sum_of_its_parts() -> None:
    """Holds, tree nodes, areas after the first, and areas that become free together."""
    assert model().service_ns(Work("free", 3, 1)) == 1300
    assert model().service_ns(Work("free", 3, 5, holds=2)) == 2340
    assert model().service_ns(Work("free", 3, 5, released=5)) == 1345


@pytest.mark.parametrize(
    ("lock", "hold_ns"),
    [
        ("busy/3", 1),
        ("busy/all", 1),
        ("lazy/0", 20),
        ("pool/12", 300),
        ("free", 4000),
        ("vmap_lazy_nr", 1000),
        ("freed", 1000),
    ],
)
def test_a_hold_takes_what_its_kind_of_lock_does(lock: str, hold_ns: int) -> None:
    """And what is done under it besides; several holds take it several times, and no other lock is touched."""
    costs = model(busy_hold_ns=1, lazy_hold_ns=20, pool_hold_ns=300, free_hold_ns=4000)
    assert costs.service_ns(Work(lock, 0, 1)) == hold_ns
    assert costs.service_ns(Work(lock, 3, 5, holds=7, released=5)) == 7 * hold_ns + 345


def test_only_the_kinds_that_are_given_differ() -> None:
    costs = model(pool_hold_ns=300)
    taken = {lock: costs.service_ns(Work(lock, 0, 1)) for lock in ("busy/0", "lazy/0", "pool/0", "free")}
    assert taken == {"busy/0": 1000, "lazy/0": 1000, "pool/0": 300, "free": 1000}
    assert costs.service_ns(without_lock(2)) == 200


def test_prices_are_kept_unless_they_are_drawn() -> None:
    """By default and with holds by kind equal work always takes equally long."""
    assert model().fixed
    assert model(busy_hold_ns=7).fixed
    assert not model(hold_jitter=0.01).fixed
    assert len(set(drawn(model(busy_hold_ns=7), Work("busy/0", 1, 1), 10))) == 1


@pytest.mark.parametrize(
    "work", [Work("pool/1", 5, 1), Work("free", 3, 1), without_lock(8)], ids=lambda work: work.lock
)
def test_services_are_drawn_around_what_they_would_be(work: Work) -> None:
    """Uniformly: all lie within the bounds, come near both, and have their mean in the middle."""
    mean_ns = model(pool_hold_ns=300).service_ns(work)
    services_ns = drawn(model(pool_hold_ns=300, hold_jitter=0.5), work)
    assert all(type(service_ns) is int for service_ns in services_ns)
    assert 0.5 * mean_ns <= min(services_ns) < 0.51 * mean_ns
    assert 1.49 * mean_ns < max(services_ns) <= 1.5 * mean_ns
    assert fmean(services_ns) == pytest.approx(mean_ns, rel=0.03)


def test_the_widest_services_begin_at_nothing() -> None:
    services_ns = drawn(model(hold_jitter=1.0), Work("free", 0, 1))
    assert 0 <= min(services_ns) < 20
    assert 1980 < max(services_ns) <= 2000


@pytest.mark.parametrize("work", [Work("free", 3, 5), Work("vmap_lazy_nr", 0, 2, 3), Work("pool/0", 1, 1, 2)])
def test_work_for_several_takes_its_mean(work: Work) -> None:
    """It is a sum: of several areas, or of several holds."""
    assert set(drawn(model(hold_jitter=0.5), work, 5)) == {model().service_ns(work)}


def test_services_are_drawn_at_each_lock_by_itself() -> None:
    """A lock's do not depend on what others serve, nor are two locks' alike; the seed decides."""
    one, other = Work("busy/0", 3, 1), Work("busy/1", 3, 1)
    alone, beside = model(hold_jitter=0.5), model(hold_jitter=0.5)
    expected = drawn(alone, one, 5)
    found, others = [], []
    for _ in range(5):
        others.append(beside.service_ns(other))
        found.append(beside.service_ns(one))
    assert found == expected
    assert others == drawn(alone, other, 5)
    assert not set(others) & set(found)
    assert drawn(model(2, hold_jitter=0.5), one, 5) != expected


def test_a_run_has_the_holds_it_was_given() -> None:
    """What /proc/lock_stat says of a lock comes back: the mean, and that no two holds need be alike."""
    costs = Costs(busy_hold_ns=1000, visit_ns=0, hold_jitter=0.5)
    mix = Workload(operations=2000, preload_areas=100, mix=Mix(find=1.0, insert=0.0, unlink=0.0))
    first, again = (simulate(Scenario(costs=costs, workload=mix), Path()) for _ in range(2))
    busy = [lock for lock in results_of(first)["locks"] if lock["name"].startswith("busy/")]
    mean_ns = sum(lock["hold_ns"] for lock in busy) / sum(lock["acquisitions"] for lock in busy)
    assert mean_ns == pytest.approx(1000, rel=0.03)
    assert 1450 < max(lock["hold_max_ns"] for lock in busy) <= 1500
    assert first.recorder.digest() == again.recorder.digest()
