"""Tables into attrs classes and back: exact types, known keys, and one line about the first mistake."""

from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from copy import deepcopy
from functools import partial
from operator import eq
from typing import Any, TypeVar, get_args, get_origin

import cattrs
from attrs import fields, has
from cattrs.cols import list_structure_factory
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError
from cattrs.gen import make_dict_structure_fn

from sim.errors import BadInput
from sim.scenario.settings import Table, shown
from sim.scenario.values import SCALARS, Impossible

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]
"""Makes of a value what a type wants: cattrs' shape."""

LISTS: Mapping[Any, str] = {
    list[int]: "a list of integers",
    list[str]: "a list of strings",
    list[list[int]]: "a list of lists of integers",
}
"""The types of lists of values, and what messages call them."""


def structure_as(kind: type[T], table: Mapping[str, Any], where: str, set_keys: Set[str] = frozenset()) -> T:
    """Make an attrs class of a table.

    Raises `BadInput` with a text that names the key, after `where`, or after `--set` for `set_keys`.
    """
    try:
        return _CONVERTER.structure(table, kind)
    except (ClassValidationError, Impossible) as error:
        raise _bad_input(where, set_keys, error) from None


def unstructure(instance: object) -> Table:
    """Give an attrs class as plain tables, every key resolved; `parameters` where there are any."""
    table: Table = _CONVERTER.unstructure(instance)
    return {key: value for key, value in table.items() if key != "parameters" or value}


class _IllTyped(ValueError):
    def __init__(self, found: object, allowed: str) -> None:
        super().__init__(allowed)
        self.found = found
        self.allowed = allowed


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter()

    def table_of_keys(kind: Any) -> Hook:
        structure = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)
        return _only(Mapping, "a table of keys", structure)

    def list_of_tables(kind: Any) -> Hook:
        return _only(list, "a list of tables", list_structure_factory(kind, converter))

    converter.register_structure_hook_factory(has, table_of_keys)
    for kind, (words, also) in SCALARS.items():
        converter.register_structure_hook(kind, _exactly(kind, words, also))
    for kind, words in LISTS.items():
        structure = converter.get_structure_hook(kind)
        converter.register_structure_hook_func(partial(eq, kind), _only(list, words, structure))
    converter.register_structure_hook_factory(_is_list_of_tables, list_of_tables)
    converter.register_structure_hook_func(
        partial(eq, dict[str, Any]), _only(Mapping, "a table of tables", lambda table, _kind: deepcopy(dict(table)))
    )
    return converter


def _exactly(kind: type, words: str, also: tuple[type, ...]) -> Hook:
    """Take values of one type, and of those that can become it: to TOML a bool is no integer."""

    def hook(value: object, _kind: object) -> object:
        if type(value) is kind:
            return value
        if type(value) in also:
            with suppress(OverflowError):
                return kind(value)
        raise _IllTyped(value, words)

    return hook


def _only(kind: type, words: str, structure: Hook) -> Hook:
    """Refuse what is no instance of `kind` before `structure` makes something of it."""

    def hook(value: object, wanted: object) -> object:
        if not isinstance(value, kind):
            raise _IllTyped(value, words)
        return structure(value, wanted)

    return hook


def _is_list_of_tables(kind: Any) -> bool:
    return get_origin(kind) is list and has(get_args(kind)[0])


_CONVERTER = _make_converter()


def _bad_input(where: str, set_keys: Set[str], error: Exception, path: tuple[str, ...] = ()) -> BadInput:
    """Turn the first of cattrs' nested errors into one line."""

    def refuse(keys: str, found: str, allowed: str) -> BadInput:
        named = ".".join((*path, keys) if keys else path)
        given = any(touches(set_key, ".".join((*path, key))) for key in keys.split(" + ") for set_key in set_keys)
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


def touches(set_key: str, key: str) -> bool:
    """Whether what is at `key` came from `set_key`: it is that, or within it, or a table that it made."""
    return f"{key}.".startswith(f"{set_key}.") or set_key.startswith(f"{key}.")
