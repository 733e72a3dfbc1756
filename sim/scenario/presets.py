"""Costs files: a machine's distances and constants, apart from any scenario; a preset is one in configs/costs/.

TOML with tables `machine` and `costs`, whose keys are a scenario's, `about`, a line on what it is, and, in files
that `calibrate` wrote, `fit`, which says what was fitted to what, and is for people. A scenario's own keys win.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sim.errors import BadInput

FOLDER = Path(__file__).parents[2] / "configs" / "costs"
"""Where presets are: adding one is a file."""

TABLES = ("about", "machine", "costs", "fit")

Table = dict[str, Any]


def names() -> list[str]:
    """List the presets there are, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def summaries(read: Callable[[Path], Table] | None = None) -> dict[str, str]:
    """Give a line on each preset, by its name."""
    from sim.scenario.file import read_toml

    read = read or read_toml
    return {name: str(read(FOLDER / f"{name}.toml").get("about", "")) for name in names()}


def under(table: Mapping[str, Any], beside: Path, where: str, read: Callable[[Path], Table]) -> Table:
    """Give a scenario's `table` on top of the costs file and the preset that it names. Raises `BadInput`."""
    costs = table.get("costs", {})
    if not isinstance(costs, Mapping):
        return dict(table)
    file = costs.get("file", "")
    above = _merged(_constants(beside / file, read), table) if file and isinstance(file, str) else dict(table)
    preset = above.get("costs", {}).get("preset", "")
    if not (preset and isinstance(preset, str)):
        return above
    if preset not in names():
        raise BadInput(f"{where}: costs.preset", repr(preset), ", ".join(names()))
    return _merged(_constants(FOLDER / f"{preset}.toml", read), above)


def _constants(path: Path, read: Callable[[Path], Table]) -> Table:
    table = read(path)
    unknown = sorted(table.keys() - set(TABLES))
    if unknown:
        raise BadInput(f"{path}: {unknown[0]}", "an unknown key", ", ".join(TABLES))
    constants: Table = {name: table[name] for name in ("machine", "costs") if name in table}
    if constants.get("costs", {}).get("file"):
        raise BadInput(f"{path}: costs.file", "a costs file of its own", "constants, and perhaps a preset")
    return constants


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Table:
    """Lay one table of tables upon another."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, dict) and isinstance(value, Mapping) else value
    return merged
