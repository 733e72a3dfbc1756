"""Reading scenarios: TOML, `--set`, variants; every mistake is one line that names the key.

A file is one scenario, or, with `[[variant]]` tables, one per variant: the same keys but for those that the
variant sets. `--set` changes what all variants start from, and `--seed` is `--set seed=`; a key that no
variant would take from there is refused.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar, get_args, get_origin

import cattrs
from attrs import asdict, evolve, fields, frozen, has
from cattrs.cols import list_structure_factory
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError
from cattrs.gen import make_dict_structure_fn

from protocol.kernel import KERNELS, nr_vmap_nodes
from sim.errors import BadInput
from sim.scenario import presets
from sim.scenario.faults import fits, patterns
from sim.scenario.model import KernelChoices, Scenario
from sim.scenario.settings import Table, put_all, read_settings, settings_of, shown, tables_of
from sim.scenario.values import Impossible

T = TypeVar("T")


RESULT_FILES = ("log.jsonl", "results.json", "report.html", "timeline.perfetto-trace")
"""What a run writes into its folder; no variant can have such a name."""


@frozen
class NamedScenario:
    """A scenario under the name of its variant, with the keys of single values that the variant sets."""

    name: str
    scenario: Scenario
    varied: Table


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
    table = read_toml(path)
    variant_tables = table.pop("variant", [])
    changes = read_settings(settings)
    if seed is not None:
        changes["seed"] = seed
    put_all(table, changes, "--set ")
    file = ScenarioFile(
        path,
        structure(table, str(path), changes.keys(), path.parent),
        list(_variants(table, variant_tables, path, changes.keys())),
    )
    _refuse_settings_without_effect(changes, file)
    return file


def structure(
    table: Mapping[str, Any], where: str, set_keys: Set[str] = frozenset(), beside: Path = Path()
) -> Scenario:
    """Make a scenario of a table, with a preset's constants and its kernel's choices where it makes none.

    A costs file is looked up in the folder `beside`.
    Raises `BadInput` with a text that names the key, after `where`, or after `--set` for `set_keys`.
    """
    table = presets.under(table, beside, where, read_toml)
    scenario = _with_its_kernel(structure_as(Scenario, table, where, set_keys), table)
    _refuse_unknown_actors(scenario, where)
    if scenario.workload.kind == "trace" and not scenario.workload.file:
        raise BadInput(f"{where}: workload.file", "nothing", "a trace's file name, for workload.kind trace")
    return scenario


def _refuse_unknown_actors(scenario: Scenario, where: str) -> None:
    """Refuse patterns in `[faults]` that no actor of this scenario can fit."""
    nodes, cpus = scenario.space.nodes, scenario.machine.cpus
    actors = [f"node/{node_id}" for node_id in range(nodes)] + [f"cpu/{cpu}" for cpu in range(cpus)]
    for key, pattern in patterns(scenario.faults):
        if not any(fits(pattern, actor) for actor in (*actors, "nodes", "free", "lazy-pages")):
            known = f"actors of the scenario: node/0-{nodes - 1}, cpu/0-{cpus - 1}, nodes, free, lazy-pages"
            raise BadInput(f"{where}: faults.{key}", shown(pattern), known)


def structure_as(kind: type[T], table: Mapping[str, Any], where: str, set_keys: Set[str] = frozenset()) -> T:
    """Make an attrs class of a table, as `structure` makes scenarios. Raises `BadInput`, which names the key."""
    try:
        return _CONVERTER.structure(table, kind)
    except (ClassValidationError, Impossible) as error:
        raise _bad_input(where, set_keys, error) from None


def choose_kernel(kernel: str, page_size: int, choices: Sequence[str]) -> Scenario:
    """Make a scenario of a kernel, choices such as "pools=false" and a page size. Raises `BadInput`."""
    table: Table = {}
    settings = read_settings([f"kernel.{choice}" for choice in choices])
    put_all(table, {**settings, "space.page_size": page_size, "space.kernel": kernel}, "--choose ")
    return structure(table, "--kernel, --page-size, --choose")


def _with_its_kernel(scenario: Scenario, table: Mapping[str, Any]) -> Scenario:
    """Give a scenario its kernel's choices where its table makes none."""
    kernel = KERNELS[scenario.space.kernel]
    decided: dict[str, Table] = {
        "space": {
            "nodes": nr_vmap_nodes(kernel, scenario.machine.cpus),
            "zone_pages": kernel.zone_pages,
        },
        "lookup": {"policy": kernel.policy},
        "kernel": asdict(KernelChoices.of(kernel)),
    }
    for name, choices in decided.items():
        open_keys = {key: value for key, value in choices.items() if key not in table.get(name, {})}
        scenario = evolve(scenario, **{name: evolve(getattr(scenario, name), **open_keys)})
    return scenario


def unstructure(scenario: Scenario) -> Table:
    """Give the scenario as plain tables, every key resolved."""
    table: Table = _CONVERTER.unstructure(scenario)
    return table


def read_toml(path: Path) -> Table:
    """Read a TOML file. Raises `BadInput`."""
    try:
        if not S_ISREG(path.stat().st_mode):
            raise BadInput(str(path), "no regular file", "a readable TOML file")
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise BadInput(str(path), (error.strerror or str(error)).lower(), "a readable TOML file") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(str(path), f"no TOML ({error})", "a TOML file") from None


def _variants(table: Table, variant_tables: object, path: Path, set_keys: Set[str]) -> Iterator[NamedScenario]:
    where = str(path)
    names: set[str] = set()
    for here, variant in tables_of(variant_tables, where, "variant", "a table with name and set"):
        unknown = sorted(variant.keys() - {"name", "set"})
        if unknown:
            raise BadInput(f"{here}: {unknown[0]}", "an unknown key", "name, set")
        name = variant.get("name")
        if not isinstance(name, str) or not _is_folder_name(name) or name.casefold() in names:
            raise BadInput(f"{here}: name", shown(name), "a name of its own that can be a folder's")
        names.add(name.casefold())
        changed, varied = deepcopy(table), settings_of(variant.get("set", {}), f"{here}: set")
        put_all(changed, varied, f"{here}: ")
        scenario = structure(changed, f"{where}: variant {name!r}", set_keys - varied.keys(), path.parent)
        yield NamedScenario(name, scenario, varied)


def _refuse_settings_without_effect(changes: Table, file: ScenarioFile) -> None:
    for key in changes:
        if file.variants and all(key in variant.varied for variant in file.variants):
            raise BadInput(
                f"--set {key}",
                f"a value, and every variant of {file.path.name} sets it",
                "a key that some variant leaves open",
            )


def _is_folder_name(name: str) -> bool:
    """Whether `name` can be a folder's on every file system, and none of a run's own files has it."""
    return (
        name.isprintable()
        and name == name.strip()
        and name.casefold() not in {"", ".", "..", *RESULT_FILES}
        and not any(character in '/\\:*?"<>|' for character in name)
    )


# -- structuring ----------------------------------------------------------------------------------


class _IllTyped(ValueError):
    def __init__(self, found: object, allowed: str) -> None:
        super().__init__(allowed)
        self.found = found
        self.allowed = allowed


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter()

    def table_of_keys(kind: type[Any]) -> Any:
        structure_keys = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)

        def hook(value: object, kind: object) -> object:
            if not isinstance(value, Mapping):
                raise _IllTyped(value, "a table of keys")
            return structure_keys(value, kind)

        return hook

    converter.register_structure_hook_factory(has, table_of_keys)

    def strict(kind: type, words: str, also: tuple[type, ...] = ()) -> None:
        def hook(value: object, _kind: object) -> object:
            if type(value) is kind:
                return value
            if type(value) in also:
                with suppress(OverflowError):
                    return kind(value)
            raise _IllTyped(value, words)

        converter.register_structure_hook(kind, hook)

    strict(int, "an integer")
    strict(float, "a number", also=(int,))
    strict(bool, "true or false")
    strict(str, "a string")

    def lists(kind: Any, words: str) -> None:
        structure_list = converter.get_structure_hook(kind)

        def hook(value: object, kind: Any) -> object:
            if not isinstance(value, list):
                raise _IllTyped(value, words)
            return structure_list(value, kind)

        converter.register_structure_hook_func(lambda found: found == kind, hook)

    lists(list[int], "a list of integers")
    lists(list[str], "a list of strings")
    lists(list[list[int]], "a list of lists of integers")

    def is_list_of_tables(kind: Any) -> bool:
        return get_origin(kind) is list and has(get_args(kind)[0])

    def tables(kind: Any) -> Any:
        structure_tables = list_structure_factory(kind, converter)

        def hook(value: object, kind: object) -> object:
            if not isinstance(value, list):
                raise _IllTyped(value, "a list of tables")
            return structure_tables(value, kind)

        return hook

    converter.register_structure_hook_factory(is_list_of_tables, tables)
    return converter


_CONVERTER = _make_converter()


def _bad_input(where: str, set_keys: Set[str], error: Exception, path: tuple[str, ...] = ()) -> BadInput:
    """Turn the first of cattrs' nested errors into one line."""

    def refuse(keys: str, found: str, allowed: str) -> BadInput:
        named = ".".join((*path, keys) if keys else path)
        given = any(_touches(set_key, ".".join((*path, key))) for key in keys.split(" + ") for set_key in set_keys)
        return BadInput(f"--set {named}" if given else f"{where}: {named}", found, allowed)

    match error:
        case ClassValidationError() | IterableValidationError():
            inner = error.exceptions[0]
            for note in getattr(inner, "__notes__", ()):
                step = getattr(note, "name", None) or str(note.index)
                path = (*path, step)
            return _bad_input(where, set_keys, inner, path)
        case ForbiddenExtraKeysError():
            known = ", ".join(attribute.name for attribute in fields(error.cl))
            return refuse(min(error.extra_fields) or '""', "an unknown key", known)
        case Impossible():
            return refuse(error.key, shown(error.found), error.allowed)
        case _IllTyped():
            return refuse("", shown(error.found), error.allowed)
    raise error


def _touches(set_key: str, key: str) -> bool:
    """Whether what is at `key` came from `set_key`: it is that, or within it, or a table that it made."""
    return f"{key}.".startswith(f"{set_key}.") or set_key.startswith(f"{key}.")
