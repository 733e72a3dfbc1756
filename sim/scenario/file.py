"""Reading scenarios: TOML, `--set`, variants; every mistake is one line that names the key.

A file is one scenario, or, with `[[variant]]` tables, one per variant: the same keys but for those that the
variant sets. `--set` changes what all variants start from, and `--seed` is `--set seed=`; a key that no
variant would take from there is refused.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from copy import deepcopy
from pathlib import Path
from stat import S_ISREG
from typing import Any

from attrs import asdict, evolve, fields, frozen

from actors.addresses import ALL_NODES, FREE_SPACE, LAZY_PAGES, address_of_node
from protocol.kernel import KERNELS, nr_vmap_nodes
from sim.errors import BadInput
from sim.files import RESULT_FILES
from sim.scenario import presets
from sim.scenario.converter import structure_as, touches
from sim.scenario.faults import fits, patterns
from sim.scenario.model import KernelChoices, Scenario
from sim.scenario.parameters import refuse_unfit
from sim.scenario.settings import Table, put_all, read_settings, settings_of, shown, tables_of

OTHER_FILES = (
    ({"constant", "measurement"}, "targets", "calibrate"),
    ({"scenario", "factor", "compare"}, "a study", "study"),
)
"""By their keys, files that are no scenarios: what they are, and the command that they are for."""


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
    _refuse_other_files(table, path)
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


def _refuse_other_files(table: Mapping[str, Any], path: Path) -> None:
    """Refuse a file with keys that no scenario has at its top: mistyped ones, or those of a study or of targets."""
    known = [*(attribute.name for attribute in fields(Scenario)), "variant"]
    unknown = [key for key in table if key not in known]
    if not unknown:
        return
    for keys, is_what, command in OTHER_FILES:
        if not keys.isdisjoint(unknown):
            raise BadInput(str(path), is_what, f"a scenario, or for this file: ./dev {command} {path}")
    key = min(unknown) or '""'
    raise BadInput(f"{path}: {key}", "an unknown key", ", ".join(known))


def structure(
    table: Mapping[str, Any], where: str, set_keys: Set[str] = frozenset(), beside: Path = Path()
) -> Scenario:
    """Make a scenario of a table, with a preset's constants and its kernel's choices where it makes none.

    A costs file is looked up in the folder `beside`.
    Raises `BadInput` with a text that names the key, after `where`, or after `--set` for `set_keys`.
    """
    table = presets.under(table, beside, where, _read_costs)
    scenario = _with_its_kernel(structure_as(Scenario, table, where, set_keys), table)
    _refuse_unknown_actors(scenario, where)
    if scenario.parameters:
        refuse_unfit(scenario, lambda key: _place(where, set_keys, key))
    if scenario.workload.kind == "trace" and not scenario.workload.file:
        raise BadInput(f"{where}: workload.file", "nothing", "a trace's file name, for workload.kind trace")
    return scenario


def _read_costs(path: Path) -> Table:
    """Read a costs file; what it says must hold by itself. Raises `BadInput`, with a text that names the file."""
    table = read_toml(path)
    structure_as(Scenario, {name: table[name] for name in ("machine", "costs") if name in table}, str(path))
    return table


def _place(where: str, set_keys: Set[str], key: str) -> str:
    """Say where a key is from."""
    return f"--set {key}" if any(touches(given, key) for given in set_keys) else f"{where}: {key}"


def _refuse_unknown_actors(scenario: Scenario, where: str) -> None:
    """Refuse patterns in `[faults]` that no actor of this scenario can fit."""
    nodes, cpus = scenario.space.nodes, scenario.machine.cpus
    actors = [*map(address_of_node, range(nodes)), *(f"cpu/{cpu}" for cpu in range(cpus))]
    for key, pattern in patterns(scenario.faults):
        if not any(fits(pattern, actor) for actor in (*actors, ALL_NODES, FREE_SPACE, LAZY_PAGES)):
            known = f"actors of the scenario: node/0-{nodes - 1}, cpu/0-{cpus - 1}, nodes, free, lazy-pages"
            raise BadInput(f"{where}: faults.{key}", shown(pattern), known)


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
