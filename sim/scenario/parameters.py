"""`[parameters.NAME]`: whether what is offered as NAME has a use for its keys.

What is given the scenario (a workload, topology, cost model or fault) reads `scenario.parameters.get(NAME, {})`,
and its keys are free. A policy or strategy is given none: one that is an attrs class gets the keys as its fields,
and there are no others. Kernels and checks have no parameters.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import Attribute, fields, has

from protocol import policies, registry, strategies
from sim.errors import BadInput
from sim.extensions import folder_of
from sim.scenario.model import Scenario
from sim.scenario.settings import shown
from sim.scenario.values import SCALARS

READING = ("workloads", "topologies", "costs", "faults")
"""The kinds that are given the scenario."""

MADE: Mapping[str, Callable[..., Any]] = {"policies": policies.load, "strategies": strategies.load}
"""The kinds that are not, and what makes one of its fields."""


def refuse_unfit(scenario: Scenario, place: Callable[[str], str]) -> None:
    """Refuse parameters that nobody takes; `place` says where a key is from. Raises `BadInput`."""
    for name, values in scenario.parameters.items():
        here = place(f"parameters.{name}")
        kinds = [kind for kind in (*READING, *MADE) if name in registry.names(folder_of(kind))]
        if not kinds:
            takes = "a policy, strategy, workload, topology, cost model or fault, as `./dev list` names it"
            raise BadInput(here, f"parameters of {shown(name)}", takes)
        if not set(kinds) & set(READING):
            for kind in kinds:
                _refuse_no_fields(kind, name, values, place)
                _refuse_impossible(kind, name, values, here)


def _refuse_no_fields(kind: str, name: str, values: Mapping[str, Any], place: Callable[[str], str]) -> None:
    """Refuse keys that are no fields, and values of other types than theirs."""
    thing: Any = registry.offered(folder_of(kind), name)
    own = fields(thing) if isinstance(thing, type) and has(thing) else ()
    known = {field.name: field for field in own if field.init}
    for key, value in values.items():
        here = place(f"parameters.{name}.{key}")
        if key not in known:
            raise BadInput(here, "an unknown key", ", ".join(known) or f"none: {name} has no fields")
        words, types = _wanted(known[key])
        if type(value) not in types:
            raise BadInput(here, shown(value), words)


def _refuse_impossible(kind: str, name: str, values: Mapping[str, Any], here: str) -> None:
    """Refuse values of which it cannot be made."""
    try:
        MADE[kind](name, parameters=values)
    except (TypeError, ValueError) as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInput(here, found, f"values that {name} takes") from None


def _wanted(field: "Attribute[Any]") -> tuple[str, tuple[type, ...]]:
    """Give in words what a field takes, and the types of such values; all scalars where it does not say."""
    for kind, (words, also) in SCALARS.items():
        if field.type in (kind, kind.__name__):
            return words, (kind, *also)
    return "a value", tuple(SCALARS)
