"""Cells: the scenarios that a study's factors span, their seeds, and the command that runs one of them again."""

import hashlib
import json
import re
import shlex
from copy import deepcopy
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

import actors
import protocol
import sim
from sim.errors import BadInput
from sim.extensions import described, loaded, words
from sim.scenario.converter import unstructure
from sim.scenario.file import structure
from sim.scenario.model import Scenario
from sim.scenario.settings import Table, put_all
from sim.study.model import MOST_CELLS, Level, Study, Value

_BARE = re.compile(r"(?!(?:true|false|inf|nan)$)[A-Za-z][A-Za-z0-9_./-]*")
"""Strings that need no quotes after `--set key=`."""


@frozen
class Cell:
    """One combination of the factors' levels."""

    number: int
    """From 0, in the order of the product of all levels."""
    levels: dict[str, Value]
    """The level of each factor, by the factor's name."""
    scenario: Scenario = field(repr=False)
    """The scenario to run; its seed is the base's, and replaced by each replication's."""
    fingerprint: str
    """What, together with a seed, decides a replication's outcome: scenario, trace and code."""
    command: str
    """Runs the scenario again, but for `--seed N`, which goes to its end."""

    def named(self) -> str:
        """Give the cell in words, for messages: "policy=home, nodes=4"."""
        return ", ".join(f"{name}={value}" for name, value in self.levels.items()) or "the only cell"


def cells_of(study: Study) -> list[Cell]:
    """Make all cells of a study. Raises `BadInput` for the first scenario that cannot be."""
    combinations = product(*(factor.levels for factor in study.factors))
    count = 1
    for factor in study.factors:
        count *= len(factor.levels)
    if count > MOST_CELLS:
        raise BadInput(f"{study.path}: factor", f"{count:,} cells", f"at most {MOST_CELLS:,}")
    return [_cell(study, number, levels) for number, levels in enumerate(combinations)]


def replication_seed(study: Study, cell: Cell, replication: int) -> int:
    """Give the seed of a replication (of a pilot: -1, -2, …): the same in all cells, unless they have their own.

    Seeds are the first 64 bits of a SHA-256, so that streams of different replications have nothing in common.
    """
    own = "" if study.plan.replications.common else f"/{cell.number}"
    text = f"vmapsim/study/{study.plan.seed}/{replication}{own}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _cell(study: Study, number: int, levels: tuple[Level, ...]) -> Cell:
    called = {factor.name: level.value for factor, level in zip(study.factors, levels, strict=True)}
    words = ", ".join(f"{name}={value}" for name, value in called.items())
    where = f"{study.path}: cell {words}" if words else str(study.path)
    settings = dict(study.changes)
    for level in levels:
        settings.update(level.settings)
    table = deepcopy(study.base)
    put_all(table, settings, f"{where}: ")
    scenario = structure(table, where, beside=study.scenario_path.parent)
    command = _command("run", study.scenario_path, settings)
    return Cell(number, called, scenario, _fingerprint(study, scenario), command)


def study_command(study: Study) -> str:
    """Give the command that makes a study again."""
    return f"{_command('study', study.path, study.given)} --seed {study.plan.seed}"


def _command(name: str, path: Path, settings: Table) -> str:
    command = ["./dev", name, str(path), *words()]
    for key, value in settings.items():
        command += ["--set", f"{key}={_toml(value)}"]
    return shlex.join(command)


def _toml(value: Any) -> str:
    """Give a value as it is read after `--set key=`."""
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)} = {_toml(inner)}' for key, inner in value.items())}}}"
    return repr(value)


def _fingerprint(study: Study, scenario: Scenario) -> str:
    facts: dict[str, Any] = {"scenario": unstructure(evolve(scenario, seed=0)), "code": code_digest()}
    for key, file in (("file", scenario.workload.file), ("links", scenario.machine.hosts.file)):
        if file:
            facts[key] = _file_digest(study.scenario_path.parent / file)
    if loaded():
        facts["extensions"] = described(loaded())
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@cache
def _file_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(str(path), (error.strerror or str(error)).lower(), "a readable file") from None


@cache
def code_digest() -> str:
    """Give the SHA-256 of the program's source: results of other code are not taken for this one's."""
    whole = hashlib.sha256()
    for package in (protocol, actors, sim):
        assert package.__file__ is not None
        root = Path(package.__file__).parent
        for path in sorted(root.rglob("*.py")):
            whole.update(f"{package.__name__}/{path.relative_to(root).as_posix()}\0".encode())
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
