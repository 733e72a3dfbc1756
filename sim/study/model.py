"""The study file: a base scenario, factors, how often to replicate, what to compare.

A factor is a list of values of one key, a range of them, levels that each set any keys, or a `count` of levels that
set nothing (repetitions, which differ where seeds are not common). The product of all
factors' levels, in the order given, makes the cells. Every mistake is one line that names the key. An example
stands in `sim.study.reference`, from which docs/reference/study.md is made.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from protocol import registry
from sim import checks
from sim.errors import BadInput
from sim.scenario.converter import structure_as
from sim.scenario.file import read_toml
from sim.scenario.settings import Table, leaves, read_settings, settings_of, shown, tables_of
from sim.scenario.values import Allowed, Impossible, allowed, between, one_of
from sim.study.metrics import METRIC_SHAPES, is_metric

Value: TypeAlias = bool | int | float | str
"""What a level is called in tables: a key's value, or a level's name."""

DEFAULT_METRICS = ("latency.all.mean_ns", "latency.all.p99_ns")

MOST_CELLS = 100_000
MOST_LEVELS = 10_000
MOST_VALUE = 1e300


_METRIC = allowed(is_metric, METRIC_SHAPES)
_METRICS = allowed(
    lambda names: names and all(map(is_metric, names)) and len(set(names)) == len(names),
    f"a list of different ones, each {METRIC_SHAPES}",
)
_CHECKS = Allowed(lambda names: set(names) <= set(_check_names()), lambda: ", ".join(_check_names()))
_SOME = allowed(bool, "a name")


def _check_names() -> list[str]:
    return registry.names(checks)


@frozen
class Replications:
    """`[replications]`: how often a cell is run, each time with another seed.

    With `common` replication r of every cell has the same seed, so that cells can be compared by pairs;
    otherwise each cell has seeds of its own.
    """

    least: int = field(default=5, validator=between(2, 10_000))
    most: int = field(default=40, validator=between(2, 10_000))
    common: bool = True

    def __attrs_post_init__(self) -> None:
        if self.least > self.most:
            raise Impossible("least", self.least, f"at most replications.most ({self.most})")


@frozen
class Precision:
    """`[precision]`: when to stop: once `metric` is known to ± `relative` of itself, at `confidence`.

    All intervals of the study have that confidence.
    """

    metric: str = field(default="latency.all.p99_ns", validator=_METRIC)
    relative: float = field(
        default=0.02, validator=allowed(lambda value: 1e-6 <= value <= 1.0, "a number from 0.000001 to 1")
    )
    confidence: float = field(
        default=0.95, validator=allowed(lambda value: 0.5 <= value <= 0.9999, "a number from 0.5 to 0.9999")
    )


@frozen
class Compare:
    """`[compare]`: every level of `factor` against the level `baseline`, all other factors equal.

    Without `metrics` those of the study are compared.
    """

    factor: str = field(default="", validator=_SOME)
    baseline: Any = None
    metrics: list[str] = field(
        factory=list, validator=allowed(lambda names: all(map(is_metric, names)), METRIC_SHAPES)
    )


@frozen
class Level:
    """One level of a factor: what it is called and the keys of single values that it sets."""

    value: Value
    settings: Table


@frozen
class Factor:
    """What a study varies."""

    name: str
    levels: list[Level]


@frozen
class StudyFile:
    """The tables of a study file that are not factors and not changes to the scenario.

    With `warmup` "mser-5" each cell's warm-up is found in pilot runs, which count for nothing else; "none" leaves
    it to the scenario's own `[warmup]`.
    """

    scenario: str = field(default="", validator=_SOME)
    seed: int = field(default=1, validator=between(0, 2**64 - 1))
    warmup: str = field(default="mser-5", validator=one_of(lambda: ["none", "mser-5"]))
    metrics: list[str] = field(factory=lambda: list(DEFAULT_METRICS), validator=_METRICS)
    accept: list[str] = field(factory=list, validator=_CHECKS)
    replications: Replications = field(factory=Replications)
    precision: Precision = field(factory=Precision)


@frozen
class Study:
    """A study, checked but for its cells' scenarios."""

    path: Path
    plan: StudyFile
    base: Table
    """The base scenario's tables, as its file has them."""
    changes: Table
    """What all cells set, by key."""
    factors: list[Factor]
    compare: Compare | None
    given: Table = field(factory=dict)
    """Those of the changes that are not the file's own."""

    @property
    def scenario_path(self) -> Path:
        """Where the base scenario is."""
        return Path(os.path.normpath(self.path.parent / self.plan.scenario))

    @property
    def metrics(self) -> list[str]:
        """The metrics that are reported: those asked for, and the one that decides when to stop."""
        return list(dict.fromkeys([*self.plan.metrics, self.plan.precision.metric]))

    @property
    def all_metrics(self) -> list[str]:
        """The metrics that are reported, and those that are only compared."""
        return list(dict.fromkeys([*self.metrics, *(self.compare.metrics if self.compare else [])]))


def load_study(
    path: Path, settings: Sequence[str] = (), seed: int | None = None, keys: Mapping[str, Any] | None = None
) -> Study:
    """Read the study at `path`, changed by `--set` settings and `--seed`, or by keys' values. Raises `BadInput`."""
    table = read_toml(path)
    where = str(path)
    factor_tables = table.pop("factor", [])
    compare_table = table.pop("compare", None)
    changes = settings_of(table.pop("set", {}), f"{where}: set")
    if "scenario" not in table:
        raise BadInput(f"{where}: scenario", "nothing", "the file name of the base scenario")
    plan = structure_as(StudyFile, table, where)
    if seed is not None:
        plan = evolve(plan, seed=seed)
    base = read_toml(Path(os.path.normpath(path.parent / plan.scenario)))
    if "variant" in base:
        raise BadInput(f"{where}: scenario", f"variants in {plan.scenario}", "a scenario without; make them levels")
    factors = list(_factors(factor_tables, where))
    _refuse_twice(factors, changes, where)
    given = {**read_settings(settings), **settings_of(keys or {}, "settings")}
    for key in given:
        if any(key in level.settings for factor in factors for level in factor.levels):
            raise BadInput(f"--set {key}", "a value, and a factor sets it", "a key that no factor sets")
    changes = {**changes, **given}
    if "seed" in changes:
        raise BadInput(f"{where}: set.seed", "a seed", "the study's own seed, from which all others are derived")
    return Study(path, plan, base, changes, factors, _compare(compare_table, factors, where), given)


def _factors(tables: object, where: str) -> Iterator[Factor]:
    names: set[str] = set()
    for here, table in tables_of(tables, where, "factor", "a table"):
        factor = _factor(table, here)
        if factor.name in names or is_metric(factor.name) or factor.name in RESERVED:
            raise BadInput(f"{here}: name", shown(factor.name), "a name of its own, no metric's and no column's")
        names.add(factor.name)
        yield factor


RESERVED = ("cell", "replication", "replications", "seed", "command", "error", "metric", "reached", "baseline")
"""Columns of the tables that are no factors."""


FACTOR_KEYS = ("name", "key", "values", "from", "to", "times", "step", "level", "count")


def _factor(table: Mapping[str, Any], where: str) -> Factor:
    unknown = sorted(table.keys() - set(FACTOR_KEYS))
    if unknown:
        raise BadInput(f"{where}: {unknown[0]}", "an unknown key", ", ".join(FACTOR_KEYS))
    key = table.get("key")
    name = table.get("name", key)
    if not isinstance(name, str) or not name.strip():
        raise BadInput(f"{where}: name", shown(name), "a name, or a key to be called after")
    kinds = [kind for kind in ("values", "from", "level", "count") if kind in table]
    if len(kinds) != 1:
        raise BadInput(where, " and ".join(kinds) or "no levels", "one of values, from (with to), level, count")
    if kinds == ["level"]:
        levels = list(_levels(table["level"], where))
    elif kinds == ["count"]:
        levels = [Level(number, {}) for number in range(1, _count(table["count"], where) + 1)]
    elif not isinstance(key, str):
        raise BadInput(f"{where}: key", shown(key), "the key that the values are for")
    else:
        values = table["values"] if kinds == ["values"] else _range(table, where)
        if not isinstance(values, list):
            raise BadInput(f"{where}: values", shown(values), "a list of values")
        levels = [Level(_called(value), dict(leaves(key, value, where))) for value in values]
    called = [level.value for level in levels]
    if not called or len(set(map(str, called))) != len(called) or len(called) > MOST_LEVELS:
        raise BadInput(f"{where}: levels", shown(called), f"1 to {MOST_LEVELS} different levels")
    return Factor(name, levels)


def _count(count: object, where: str) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_LEVELS:
        raise BadInput(f"{where}: count", shown(count), f"an integer from 1 to {MOST_LEVELS}")
    return count


def _called(value: object) -> Value:
    """Give what a level with this value is called in tables."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _levels(tables: object, where: str) -> Iterator[Level]:
    for here, table in tables_of(tables, where, "factor.level", "a table with name and set"):
        if table.keys() != {"name", "set"}:
            raise BadInput(here, shown(table), "a table with name and set")
        if not isinstance(table["name"], str) or not table["name"].strip():
            raise BadInput(f"{here}: name", shown(table["name"]), "a name")
        yield Level(table["name"], settings_of(table["set"], f"{here}: set"))


def _range(table: Mapping[str, Any], where: str) -> list[int | float]:
    """Give the values from `from` to `to`, both included: `times` or `step` apart, by default step 1."""
    for key in ("from", "to", "times", "step"):
        value = table.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= MOST_VALUE:
            raise BadInput(f"{where}: {key}", shown(value), f"a number, of at most {MOST_VALUE:g}")
    low, high, times, step = table["from"], table.get("to"), table.get("times"), table.get("step")
    if high is None or high < low:
        raise BadInput(f"{where}: to", shown(high), f"a number of at least from ({shown(low)})")
    if times is not None and step is not None:
        raise BadInput(f"{where}: step", shown(step), "either times or step")
    if times is not None and (times <= 1 or low <= 0):
        raise BadInput(f"{where}: times", shown(times), "a number above 1, with from above 0")
    if step is not None and step <= 0:
        raise BadInput(f"{where}: step", shown(step), "a number above 0")
    values: list[int | float] = []
    while len(values) <= MOST_LEVELS:
        value = low * times ** len(values) if times is not None else low + (step or 1) * len(values)
        if value > high + 1e-12 * max(abs(high), abs(low)):
            break
        values.append(value)
    return values


def _refuse_twice(factors: Sequence[Factor], changes: Table, where: str) -> None:
    """Refuse a key that two factors set, or that a factor and `set` do: one would hide the other."""
    owner = dict.fromkeys(changes, "set")
    for factor in factors:
        for key in dict.fromkeys(key for level in factor.levels for key in level.settings):
            if key == "seed":
                raise BadInput(f"{where}: factor {factor.name}", "the key seed", "[replications] for other seeds")
            if key in owner:
                raise BadInput(f"{where}: factor {factor.name}", f"the key {key}, as in {owner[key]}", "a key once")
            owner[key] = f"factor {factor.name}"


def _compare(table: object, factors: Sequence[Factor], where: str) -> Compare | None:
    if table is None:
        return None
    here = f"{where}: compare"
    if not isinstance(table, dict):
        raise BadInput(here, shown(table), "a table with factor, baseline and metrics")
    baseline = table.pop("baseline", None)
    compare = structure_as(Compare, table, here)
    by_name = {factor.name: factor for factor in factors}
    if compare.factor not in by_name:
        raise BadInput(f"{here}.factor", shown(compare.factor), ", ".join(by_name) or "a factor of the study")
    called = [level.value for level in by_name[compare.factor].levels]
    if _called(baseline) not in called or baseline is None:
        raise BadInput(f"{here}.baseline", shown(baseline), ", ".join(map(str, called)))
    return evolve(compare, baseline=_called(baseline))
