"""Reading scenarios: TOML, `--set`, variants; every mistake is one line that names the key.

A file is one scenario, or, with `[[variant]]` tables, one per variant: the same keys but for those that the
variant sets. `--set` changes what all variants start from, and `--seed` is `--set seed=`.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import cattrs
from attrs import evolve, fields, frozen
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from sim.errors import BadInput
from sim.scenario.kernels import KERNELS
from sim.scenario.model import Impossible, Scenario

Table = dict[str, Any]


@frozen
class NamedScenario:
    """A scenario under the name of its variant, with the keys the variant sets."""

    name: str
    scenario: Scenario
    varied: dict[str, Any]


@frozen
class ScenarioFile:
    """What a file asks for: one or more scenarios (`variants` is empty for a plain one)."""

    path: Path
    base: Scenario
    variants: list[NamedScenario]


def load_scenarios(path: Path, settings: Sequence[str] = (), seed: int | None = None) -> ScenarioFile:
    """Read the scenario at `path`, changed by `--set` settings and `--seed`.

    Raises `BadInput`.
    """
    table = _read_toml(path)
    variant_tables = table.pop("variant", [])
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise BadInput("--set", repr(setting), "table.key=value")
        _put(table, key.strip(), _value_of(text.strip()), "--set")
    if seed is not None:
        table["seed"] = seed
    base = structure(table, str(path))
    return ScenarioFile(path, base, list(_variants(table, variant_tables, str(path))))


def structure(table: Mapping[str, Any], where: str) -> Scenario:
    """Make a scenario of a table, with its kernel's choices where it makes none.

    Raises `BadInput` with a text that begins with `where` and names the key.
    """
    try:
        scenario = _CONVERTER.structure(table, Scenario)
    except (ClassValidationError, Impossible) as error:
        raise _bad_input(where, error) from None
    kernel = KERNELS[scenario.space.kernel]
    if "nodes" not in table.get("space", {}):
        scenario = evolve(scenario, space=evolve(scenario.space, nodes=kernel.nodes))
    if "policy" not in table.get("lookup", {}):
        scenario = evolve(scenario, lookup=evolve(scenario.lookup, policy=kernel.policy))
    if scenario.workload.kind == "trace" and not scenario.workload.file:
        raise BadInput(f"{where}: workload.file", "nothing", "a trace's file name, for workload.kind trace")
    return scenario


def unstructure(scenario: Scenario) -> Table:
    """Give the scenario as plain tables, every key resolved."""
    table: Table = _CONVERTER.unstructure(scenario)
    return table


def _read_toml(path: Path) -> Table:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(str(path), (error.strerror or str(error)).lower(), "a readable TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(str(path), f"no TOML ({error})", "a TOML file") from None


def _variants(table: Table, variant_tables: object, where: str) -> Iterator[NamedScenario]:
    if not isinstance(variant_tables, list):
        raise BadInput(f"{where}: variant", repr(variant_tables), "[[variant]] tables")
    names: set[str] = set()
    for number, variant in enumerate(variant_tables, start=1):
        here = f"{where}: variant {number}"
        if not isinstance(variant, dict):
            raise BadInput(here, repr(variant), "a table with name and set")
        unknown = sorted(variant.keys() - {"name", "set"})
        if unknown:
            raise BadInput(f"{here}: {unknown[0]}", "an unknown key", "name, set")
        name = variant.get("name")
        if not isinstance(name, str) or not name or name in names or not _is_folder_name(name):
            raise BadInput(f"{here}: name", repr(name), "a name of its own that can be a folder's")
        names.add(name)
        settings = variant.get("set", {})
        if not isinstance(settings, dict):
            raise BadInput(f"{here}: set", repr(settings), 'a table of "table.key" = value')
        changed = deepcopy(table)
        for key, value in settings.items():
            _put(changed, key, value, here)
        yield NamedScenario(name, structure(changed, f"{where}: variant {name!r}"), settings)


def _is_folder_name(name: str) -> bool:
    return name not in {".", ".."} and not any(character in '/\\:*?"<>|\0' for character in name)


def _value_of(text: str) -> object:
    """Read a value as TOML, and as a string where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(table: Table, key: str, value: object, where: str) -> None:
    *path, last = key.split(".")
    for step in path:
        inner = table.setdefault(step, {})
        if not isinstance(inner, dict):
            raise BadInput(f"{where}: {key}", f"the value {inner!r} at {step}", "a table there")
        table = inner
    table[last] = value


# -- structuring ----------------------------------------------------------------------------------


class _IllTyped(ValueError):
    def __init__(self, found: object, allowed: str) -> None:
        super().__init__(repr(found))
        self.found = found
        self.allowed = allowed


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)

    def strict(kind: type, words: str, also: tuple[type, ...] = ()) -> None:
        def hook(value: object, _kind: object) -> object:
            if type(value) is kind:
                return value
            if type(value) in also:
                return kind(value)
            raise _IllTyped(value, words)

        converter.register_structure_hook(kind, hook)

    strict(int, "an integer")
    strict(float, "a number", also=(int,))
    strict(bool, "true or false")
    strict(str, "a string")
    structure_list = converter.get_structure_hook(list[int])

    def integers(value: object, kind: Any) -> object:
        if not isinstance(value, list):
            raise _IllTyped(value, "a list of integers")
        return structure_list(value, kind)

    converter.register_structure_hook_func(lambda kind: kind == list[int], integers)
    return converter


_CONVERTER = _make_converter()


def _bad_input(where: str, error: BaseException, path: tuple[str, ...] = ()) -> BadInput:
    """Turn the first of cattrs' nested errors into one line."""
    if isinstance(error, (ClassValidationError, IterableValidationError)):
        inner = error.exceptions[0]
        for note in getattr(inner, "__notes__", ()):
            if name := getattr(note, "name", None):
                path = (*path, name)
            elif (index := getattr(note, "index", None)) is not None:
                path = (*path, str(index))
        return _bad_input(where, inner, path)
    if isinstance(error, ForbiddenExtraKeysError):
        key = ".".join((*path, sorted(error.extra_fields)[0]))
        known = ", ".join(attribute.name for attribute in fields(error.cl))
        return BadInput(f"{where}: {key}", "an unknown key", known)
    if isinstance(error, Impossible):
        return BadInput(f"{where}: {'.'.join((*path, error.key))}", repr(error.found), error.allowed)
    if isinstance(error, _IllTyped):
        return BadInput(f"{where}: {'.'.join(path)}", repr(error.found), error.allowed)
    return BadInput(f"{where}: {'.'.join(path)}", "a value", "a table of keys")
