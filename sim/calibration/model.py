"""The targets file: constants to be fitted, the measurements to fit them to, and those to predict.

Every mistake is one line that names the key. An example stands in `sim.calibration.reference`, from which
docs/reference/targets.md is made.
"""

import math
import os
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from sim.errors import BadInput
from sim.scenario.converter import structure_as
from sim.scenario.file import read_toml, structure
from sim.scenario.model import Scenario
from sim.scenario.settings import Table, kind_of, put_all, settings_of, shown
from sim.scenario.values import Impossible, allowed, between

Point: TypeAlias = tuple[int | float, ...]
"""A value for each constant, in the order of the file."""

MOST_CONSTANTS = 50
MOST_MEASUREMENTS = 1000

_SOME = allowed(lambda text: bool(text.strip()), "some text")
_FINITE = allowed(math.isfinite, "a finite number")
_ABOVE_ZERO = allowed(lambda value: 0 < value < math.inf, "a number above 0")


@frozen
class Constant:
    """`[[constant]]`: a key of the scenarios that is to be fitted, between `lower` and `upper`, from `start` on.

    It is a whole number where the key wants an integer; with `integer` also where the key allows fractions.
    """

    key: str = field(default="", validator=_SOME)
    start: float = field(default=0.0, validator=_FINITE)
    lower: float = field(default=0.0, validator=_FINITE)
    upper: float = field(default=0.0, validator=_FINITE)
    integer: bool = False

    def __attrs_post_init__(self) -> None:
        if not self.lower < self.upper:
            raise Impossible("upper", self.upper, f"a number above lower ({self.lower:g})")
        if not self.lower <= self.start <= self.upper:
            raise Impossible(
                "start", self.start, f"a number from lower to upper ({self.lower:g} to {self.upper:g})"
            )

    def nearest(self, value: float) -> int | float:
        """Give the value nearest to `value` that the constant can have."""
        within = min(max(float(value), self.lower), self.upper)
        return round(within) if self.integer else within


@frozen
class Measurement:
    """`[[measurement]]`: a figure that was measured, and what it is compared with: `factor` times a run's `metric`.

    The run is of `scenario`, looked up beside the targets (the file's own `scenario` where it is left out), changed
    by a table `set`. With a table `over` the figure is a quotient, of the metric and another one; `over` has
    the keys `metric`, `scenario` and `set`, each the measurement's own where it is left out. `unit` and
    `source` say what `value` is. A measurement counts `weight` times in the fit, and not at all with `predict`:
    then it is evaluated with the constants that were found without it.
    """

    name: str = field(default="", validator=_SOME)
    scenario: str = ""
    metric: str = field(default="", validator=_SOME)
    factor: float = field(default=1.0, validator=_ABOVE_ZERO)
    value: float = field(default=0.0, validator=_ABOVE_ZERO)
    unit: str = field(default="", validator=_SOME)
    source: str = field(default="", validator=_SOME)
    weight: float = field(default=1.0, validator=_ABOVE_ZERO)
    predict: bool = False


@frozen
class Plan:
    """The keys of a targets file outside of its lists.

    `seed` is that of all runs, and of the further starts. `scenario` is for measurements that name none. At most
    `evaluations` sets of constants are tried, from `starts` places: the constants' own, then some drawn within the
    bounds; two for each constant are kept for its standard error. `step` is by how much of itself a constant is
    varied to see what depends on it, by 1 at least where it is a whole number.
    """

    seed: int = field(default=1, validator=between(0, 2**64 - 1))
    scenario: str = ""
    evaluations: int = field(default=200, validator=between(3, 100_000))
    starts: int = field(default=1, validator=between(1, 100))
    step: float = field(
        default=0.05, validator=allowed(lambda value: 1e-4 <= value <= 0.5, "a number from 0.0001 to 0.5")
    )


@frozen
class Figure:
    """A metric of a run, before the constants are put into its scenario."""

    path: Path
    table: Table = field(repr=False)
    metric: str


@frozen
class Target:
    """A measurement with the figures whose quotient it is compared with; `over` is None where there is only one."""

    measured: Measurement
    ours: Figure
    over: Figure | None

    @property
    def figures(self) -> list[Figure]:
        """All figures that it takes."""
        return [self.ours] if self.over is None else [self.ours, self.over]


@frozen
class Targets:
    """A targets file, checked: all scenarios are possible at every bound of every constant."""

    path: Path
    plan: Plan
    constants: list[Constant]
    targets: list[Target]

    @property
    def start(self) -> Point:
        """The constants where the search starts."""
        return tuple(constant.nearest(constant.start) for constant in self.constants)

    @property
    def beside(self) -> int:
        """How many neighbours of the result tell what it is worth: two for each constant."""
        return 2 * len(self.constants)

    @property
    def fitted(self) -> list[Target]:
        """The measurements that the constants are fitted to."""
        return [target for target in self.targets if not target.measured.predict]

    def scenario(self, figure: Figure, point: Point) -> Scenario:
        """Give the scenario of a figure with the constants of `point`. Raises `BadInput`."""
        table = deepcopy(figure.table)
        where = f"{self.path} with {figure.path.name}"
        keys = [constant.key for constant in self.constants]
        put_all(table, dict(zip(keys, point, strict=True)), f"{where}: ")
        return evolve(structure(table, where, beside=figure.path.parent), seed=self.plan.seed)


def load_targets(path: Path, seed: int | None = None) -> Targets:
    """Read the targets file at `path`, with `--seed` in the place of its own. Raises `BadInput`."""
    table = read_toml(path)
    where = str(path)
    constant_tables = _tables(table.pop("constant", None), f"{where}: constant", MOST_CONSTANTS)
    measurement_tables = _tables(table.pop("measurement", None), f"{where}: measurement", MOST_MEASUREMENTS)
    changes = settings_of(table.pop("set", {}), f"{where}: set")
    plan = structure_as(Plan, table, where)
    plan = plan if seed is None else evolve(plan, seed=seed)
    constants = [_constant(one, f"{where}: constant {number}") for number, one in enumerate(constant_tables, 1)]
    keys = [constant.key for constant in constants]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise BadInput(f"{where}: constant", f"{twice} twice", "each key once")
    reader = _Reader(path, plan, changes, set(keys))
    targets = [
        reader.target(one, f"{where}: measurement {number}") for number, one in enumerate(measurement_tables, 1)
    ]
    read = Targets(path, plan, constants, targets)
    _check(read, where)
    return read


def _check(read: Targets, where: str) -> None:
    """Refuse what could not be told apart or fitted, and scenarios that cannot be."""
    names = [target.measured.name for target in read.targets]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"{where}: measurement", f"two called {shown(twice)}", "names of their own")
    if not read.fitted:
        raise BadInput(f"{where}: measurement", "only some to predict", "at least one to fit to")
    if read.plan.evaluations <= read.beside:
        least = f"at least {read.beside + 1}: the start, and two for each constant's standard error"
        raise BadInput(f"{where}: evaluations", str(read.plan.evaluations), least)
    points = [read.start]
    for place, constant in enumerate(read.constants):
        points += [_with(read.start, place, constant.nearest(end)) for end in (constant.lower, constant.upper)]
    for figure in [figure for target in read.targets for figure in target.figures]:
        for point in points:
            read.scenario(figure, point)


def _with(point: Point, place: int, value: int | float) -> Point:
    return (*point[:place], value, *point[place + 1 :])


def _constant(table: Table, where: str) -> Constant:
    constant = structure_as(Constant, table, where)
    kind = kind_of(constant.key)
    if kind not in (int, float) or constant.key == "seed":
        raise BadInput(
            f"{where}: key", shown(constant.key), "a scenario's key that takes a number, as costs.lock_ns"
        )
    if kind is int or constant.integer:
        for name in ("start", "lower", "upper"):
            value: float = getattr(constant, name)
            if not value.is_integer():
                raise BadInput(f"{where}: {name}", shown(value), f"a whole number, as {constant.key} is one")
        constant = evolve(constant, integer=True)
    return constant


@frozen
class _Reader:
    """Reads measurements; base scenarios are looked up beside the targets."""

    path: Path
    plan: Plan
    changes: Table
    fitted_keys: set[str]

    def target(self, table: Table, where: str) -> Target:
        own = table.pop("set", {})
        over = table.pop("over", None)
        measured = structure_as(Measurement, table, where)
        ours = self._figure(measured.scenario or self.plan.scenario, measured.metric, own, where)
        if over is None:
            return Target(measured, ours, None)
        here = f"{where}: over"
        if not isinstance(over, dict) or not over:
            raise BadInput(here, shown(over), "a table with one or more of metric, scenario, set")
        changed = over.pop("set", own)
        other = structure_as(_Over, over, here)
        scenario = other.scenario or measured.scenario or self.plan.scenario
        return Target(measured, ours, self._figure(scenario, other.metric or measured.metric, changed, here))

    def _figure(self, scenario: str, metric: str, own: object, where: str) -> Figure:
        if not scenario:
            raise BadInput(f"{where}: scenario", "nothing", "the file name of a scenario, here or for all")
        path = Path(os.path.normpath(self.path.parent / scenario))
        table = read_toml(path)
        if "variant" in table:
            raise BadInput(f"{where}: scenario", f"variants in {scenario}", "a scenario without; set their keys")
        changes = {**self.changes, **settings_of(own, f"{where}: set")}
        for key in changes:
            if key in self.fitted_keys or key == "seed":
                ours = "seed = N for all of the file" if key == "seed" else "keys that are not fitted"
                raise BadInput(f"{where}: set", f"a value for {key}", ours)
        put_all(table, changes, f"{where}: ")
        return Figure(path, table, metric)


@frozen
class _Over:
    metric: str = ""
    scenario: str = ""


def _tables(tables: Any, where: str, most: int) -> Sequence[Table]:
    name = where.rpartition(" ")[2]
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise BadInput(where, "nothing" if tables is None else shown(tables), f"[[{name}]] tables")
    if len(tables) > most:
        raise BadInput(where, f"{len(tables)} tables", f"at most {most}")
    return tables
