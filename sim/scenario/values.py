"""What is allowed at a key of a scenario: validators that know it in words."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import Attribute, frozen


class Impossible(ValueError):
    """A value of the right type that cannot be; `key` is its name within its table."""

    def __init__(self, key: str, found: object, allowed: str) -> None:
        super().__init__(key)
        self.key = key
        self.found = found
        self.allowed = allowed


@frozen
class Allowed:
    """A validator that knows in words what it allows."""

    test: Callable[[Any], bool]
    words: Callable[[], str]

    def __call__(self, _instance: object, attribute: "Attribute[Any]", value: object) -> None:
        """Raise `Impossible` unless `value` is allowed."""
        if not self.test(value):
            raise Impossible(attribute.name, value, self.words())


def allowed(test: Callable[[Any], bool], words: str) -> Allowed:
    """Allow what passes `test`."""
    return Allowed(test, lambda: words)


def one_of(names: Callable[[], list[str]]) -> Allowed:
    """Allow the names that `names` gives when it is asked."""
    return Allowed(lambda value: value in names(), lambda: ", ".join(names()))


def between(low: int, high: int) -> Allowed:
    """Allow the integers from `low` to `high`."""
    return allowed(lambda value: low <= value <= high, f"an integer from {low} to {high}")


def power_of_two(high: int) -> Allowed:
    """Allow the powers of two from 1 to `high`."""
    return allowed(lambda value: 0 < value <= high and not value & (value - 1), f"a power of two from 1 to {high}")


FILE = allowed(lambda value: "\0" not in value, "a file's name")
"""Where a file is."""

SHARE = allowed(lambda value: 0.0 <= value <= 1.0, "a number from 0 to 1")
"""A part of a whole."""

NS = between(0, 10**15)
"""Nanoseconds, at most some eleven days."""

SCALARS: Mapping[type, tuple[str, tuple[type, ...]]] = {
    int: ("an integer", ()),
    float: ("a number", (int,)),
    bool: ("true or false", ()),
    str: ("a string", ()),
}
"""The types of single values: what messages call them, and of which other types a value may be."""
