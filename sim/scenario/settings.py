"""Settings: keys with dots and their values, as `--set` and variants give them.

A table given as a value stands for the keys in it. All settings are brought to the keys of single values
("space.nodes") first, so that a table merges into the one that is there, and whoever asks which keys are set
gets one kind of answer.
"""

import reprlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import fields_dict, has

from sim.errors import BadInput
from sim.scenario.model import Scenario

Table = dict[str, Any]


def read_settings(texts: Sequence[str]) -> Table:
    """Give the values of `--set` texts by key; the last one of a key counts. Raises `BadInput`."""
    settings: Table = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise BadInput("--set", shown(text), "table.key=value")
        settings.update(leaves(key, _value_of(key, value.strip()), "--set"))
    return settings


def leaves(key: str, value: object, where: str) -> Iterator[tuple[str, Any]]:
    """Give the keys of single values that a setting consists of. Raises `BadInput` for an empty key."""
    if not all(key.split(".")):
        raise BadInput(where, f"an empty key in {shown(key)}", "keys like table.key")
    if isinstance(value, dict) and (has(kind_of(key)) or key.partition(".")[0] == "parameters"):
        for inner, inner_value in value.items():
            yield from leaves(f"{key}.{inner}", inner_value, where)
    else:
        yield key, value


def settings_of(table: object, where: str) -> Table:
    """Bring a table of settings, {"space.nodes": 4}, to the keys of single values. Raises `BadInput`."""
    if not isinstance(table, Mapping):
        raise BadInput(where, shown(table), 'a table of "table.key" = value')
    return {key: value for outer, given in table.items() for key, value in leaves(outer, given, where)}


def put_all(table: Table, settings: Mapping[str, Any], before: str) -> None:
    """Set several keys in a table of tables; `before` and a key name it where it cannot be set. See `put`."""
    for key, value in settings.items():
        put(table, key, value, f"{before}{key}")


def tables_of(tables: object, where: str, name: str, expected: str) -> Iterator[tuple[str, Table]]:
    """Give the tables of `[[name]]`, each with what messages call it. Raises `BadInput`.

    `expected` says what each of them has to be.
    """
    one = name.rpartition(".")[2]
    if not isinstance(tables, list):
        raise BadInput(f"{where}: {one}", shown(tables), f"[[{name}]] tables")
    for number, table in enumerate(tables, start=1):
        here = f"{where}: {one} {number}"
        if not isinstance(table, dict):
            raise BadInput(here, shown(table), expected)
        yield here, table


def put(table: Table, key: str, value: object, where: str) -> None:
    """Set one key in a table of tables. Raises `BadInput` where a table would have to be and is not."""
    *path, last = key.split(".")
    for step in path:
        inner = table.setdefault(step, {})
        if not isinstance(inner, dict):
            raise BadInput(where, f"the value {shown(inner)} at {step}", "a table there")
        table = inner
    table[last] = value


def shown(value: object) -> str:
    """Give a value as a message shows it: short, whatever it is."""
    return _SHORT.repr(value)


def _value_of(key: str, text: str) -> object:
    """Read a value as TOML, and as a string where it is none or the key wants a string."""
    where, one_value = f"--set {key}", "one TOML value, or a string"
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError) as error:
        raise BadInput(where, f"no value ({error})", one_value) from None
    if read.keys() != {"value"}:
        raise BadInput(where, f"more than a value in {shown(text)}", one_value)
    value = read["value"]
    return text if kind_of(key) is str and not isinstance(value, str) else value


def kind_of(key: str) -> Any:
    """Give the type that a scenario has at a key; None where it has no such key."""
    kind: Any = Scenario
    for step in key.split("."):
        attribute = fields_dict(kind).get(step) if has(kind) else None
        kind = attribute.type if attribute is not None else None
    return kind


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80

    def repr_int(self, value: int, _level: int) -> str:
        bits = value.bit_length()
        return repr(value) if bits < 64 else f"an integer of {bits} bits"


_SHORT = _Short()
