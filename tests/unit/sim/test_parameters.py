"""Parameters of what scenarios name: who gets them, what is refused, and what is left where there are none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import asdict

from sim import extensions
from sim.errors import BadInput
from sim.results import results_of
from sim.scenario import Scenario, load_scenarios
from sim.scenario.converter import unstructure
from sim.scenario.file import structure
from sim.simulation import policy_of, simulate, strategy_of
from sim.topologies import topology

MY_POLICY = """
from attrs import field, frozen
from attrs.validators import ge

@frozen
class MyPolicy:
    \"\"\"Ask the home node, then `reach` nodes at once.\"\"\"

    reach: int = field(default=2, validator=ge(1))
    share: "float" = 0.5
    extra: int = 0
    anything: object = None

    def __call__(self, home, nr_nodes):
        behind = [(home - step) % nr_nodes for step in range(1, nr_nodes)]
        return ((home,), *(tuple(behind[at : at + self.reach]) for at in range(0, len(behind), self.reach)))
"""
MY_STRATEGY = """
from attrs import frozen
from protocol.strategies import LockSession

@frozen
class MyStrategy:
    \"\"\"Sessions of `most` areas.\"\"\"

    most: int = 1

    def __call__(self, areas, layout):
        return tuple((LockSession(layout.addr_to_node_id(area.va_start), (area,)),) for area in areas)
"""
MY_TOPOLOGY = """
from attrs import evolve
from sim.topologies import Topology
from sim.topologies.flat import flat

def my_topology(scenario, beside) -> Topology:
    \"\"\"Everybody is so many times as far.\"\"\"
    times = scenario.parameters.get("my-topology", {}).get("times", 1)
    return evolve(flat(scenario, beside), uniform_ns=times * scenario.costs.link_ns)
"""


@pytest.fixture(autouse=True)
def loaded(tmp_path: Path) -> Iterator[None]:
    """Have a policy, a strategy and a topology of somebody's."""
    for name, source in (("my_policy", MY_POLICY), ("my_strategy", MY_STRATEGY), ("my_topology", MY_TOPOLOGY)):
        (tmp_path / f"{name}.py").write_text(source)
        extensions.load(tmp_path / f"{name}.py")
    yield
    extensions.unload()


def scenario(parameters: dict[str, Any], **more: Any) -> Scenario:
    return structure(
        {"parameters": parameters, "workload": {"operations": 50, "preload_areas": 20}, **more}, "here"
    )


def test_policies_and_strategies_get_them_as_fields() -> None:
    """Those of the names that the scenario uses, beside the tables' own keys, which they win over."""
    given = scenario(
        {"my-policy": {"reach": 5, "share": 1}, "my-strategy": {"most": 3}},
        lookup={"policy": "my-policy", "extra": 7},
        batch={"strategy": "my-strategy"},
    )
    policy, strategy = fields_of(policy_of(given)), fields_of(strategy_of(given))
    assert policy == {"reach": 5, "share": 1, "extra": 7, "anything": None}
    assert strategy == {"most": 3}
    bounded = scenario({"bounded": {"extra": 4}}, lookup={"policy": "bounded", "extra": 7})
    assert fields_of(policy_of(bounded)) == {"extra": 4}


def fields_of(thing: Any) -> dict[str, Any]:
    """Give the fields of a policy or a strategy."""
    return asdict(thing)


def test_who_is_given_the_scenario_reads_them_there() -> None:
    """A topology's keys are free; without them it has its own defaults."""
    for parameters, link_ns in ({}, 60), ({"my-topology": {"times": 3, "note": "far", "odd": True}}, 180):
        given = scenario(parameters, machine={"topology": "my-topology"})
        assert topology(given, Path()).link_ns(0, 1) == link_ns


REFUSED: dict[str, tuple[Any, str]] = {
    "a name of nobody": (
        {"my-polict": {"reach": 3}},
        "parameters.my-polict: found parameters of 'my-polict'; allowed: a policy, strategy, workload, topology, "
        "cost model or fault, as `./dev list` names it",
    ),
    "a kernel": ({"7.1": {"x": 3}}, "parameters.7.1: found parameters of '7.1'; allowed: a policy,"),
    "no such field": (
        {"my-policy": {"raech": 3}},
        "parameters.my-policy.raech: found an unknown key; allowed: reach, share, extra, anything",
    ),
    "no fields": (
        {"forward": {"reach": 3}},
        "parameters.forward.reach: found an unknown key; allowed: none: forward has no fields",
    ),
    "another type": (
        {"my-policy": {"reach": "far"}},
        "parameters.my-policy.reach: found 'far'; allowed: an integer",
    ),
    "a bool is no integer": (
        {"my-strategy": {"most": True}},
        "parameters.my-strategy.most: found True; allowed: an",
    ),
    "what the class refuses": (
        {"my-policy": {"reach": 0}},
        "parameters.my-policy: found ValueError: 'reach' must be >= 1: 0; allowed: values that my-policy takes",
    ),
    "no scalar": (
        {"my-topology": {"times": [1, 2]}},
        "parameters.my-topology.times: found [1, 2]; allowed: a string,",
    ),
    "not finite": (
        {"my-topology": {"times": float("nan")}},
        "parameters.my-topology.times: found nan; allowed: a st",
    ),
    "too large": (
        {"my-topology": {"times": 2**63}},
        "parameters.my-topology.times: found an integer of 64 bits; al",
    ),
    "no table": ({"my-topology": 3}, "parameters.my-topology: found 3; allowed: a table, [parameters.my-topology]"),
    "no table of tables": (3, "parameters: found 3; allowed: a table of tables"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_nobody_takes_is_refused_in_one_line(what: str) -> None:
    """Also of names that the scenario does not use; the line names the key."""
    parameters, said = REFUSED[what]
    with pytest.raises(BadInput) as caught:
        scenario(parameters)
    assert str(caught.value).startswith(f"here: {said}")
    assert "\n" not in str(caught.value)


def test_they_are_set_like_all_keys(tmp_path: Path) -> None:
    """By `--set`, key by key or as a table, in variants and from Python; mistakes name who made them."""
    path = tmp_path / "scenario.toml"
    path.write_text(
        "[parameters.my-policy]\nreach = 4\nshare = 0.25\n"
        '[[variant]]\nname = "far"\nset = { "parameters.my-policy.reach" = 9 }\n'
        '[[variant]]\nname = "near"\nset = { parameters = { my-policy = { reach = 1 } } }\n'
    )
    file = load_scenarios(path, ["parameters.my-topology.times=2", "parameters={my-policy={share=0.75}}"])
    for one, reach in zip([file.base, *(variant.scenario for variant in file.variants)], (4, 9, 1), strict=True):
        assert one.parameters == {"my-policy": {"reach": reach, "share": 0.75}, "my-topology": {"times": 2}}
    assert file.base.changed({"parameters.my-policy.reach": 8}).parameters["my-policy"]["reach"] == 8
    for setting, said in (
        ("parameters.my-policy.raech=9", "--set parameters.my-policy.raech: found an unknown key"),
        ("parameters.my-policy.reach=x", "--set parameters.my-policy.reach: found 'x'; allowed: an integer"),
        ("parameters.me.reach=9", "--set parameters.me: found parameters of 'me'"),
    ):
        with pytest.raises(BadInput, match=said):
            load_scenarios(path, [setting])


def test_results_have_them_where_there_are_any() -> None:
    """They are a part of what was asked; a scenario without is told as it was before there were parameters."""
    without, given = scenario({}), scenario({"my-topology": {"times": 3}})
    assert "parameters" not in unstructure(without)
    assert "parameters" not in results_of(simulate(without, Path()))["scenario"]
    assert results_of(simulate(given, Path()))["scenario"]["parameters"] == {"my-topology": {"times": 3}}
    assert Scenario.of(unstructure(given)) == given
