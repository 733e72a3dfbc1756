"""Folders as registries: each file of a folder holds one idea, and its name is the idea's name.

`forward.py` offers the function `forward`, `bounded.py` the attrs class `Bounded`, `per_area.py` is called
"per-area", and a file named after a Python keyword carries a trailing underscore (`global_.py` is "global",
its class `Global`). A folder whose names are the kernel's says so by `SEPARATOR = "_"` in its `__init__.py`: there
`test_vmalloc.py` is called "test_vmalloc". A function is used as it is; a class is created with those of the given
parameters that it has fields for. Files whose names begin with an underscore are not listed.
"""

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from keyword import iskeyword
from types import ModuleType
from typing import Any

from attrs import NOTHING, fields, has

from protocol.errors import VmapsimError


class UnknownName(VmapsimError):
    """A name that no file of the folder has; the text lists those there are."""


class BrokenFile(VmapsimError):
    """A file of the folder does not offer what its name says; the text names it and what is expected."""

    def __init__(self, module: str, found: str, expected: str) -> None:
        spec = importlib.util.find_spec(module)
        assert spec is not None, f"{module} was listed and is not there"
        super().__init__(f"{spec.origin}: found {' '.join(found.split())}; expected: {expected}")


def names(folder: ModuleType) -> list[str]:
    """List what `folder` offers, in alphabetical order."""
    return sorted(_modules(folder))


def offered(folder: ModuleType, name: str) -> Callable[..., Any]:
    """Give the function or attrs class that the file `name` of `folder` offers.

    Raises `UnknownName` and `BrokenFile`.
    """
    modules = _modules(folder)
    if name not in modules:
        kind = folder.__name__.rpartition(".")[2]
        raise UnknownName(f"{name!r} is none of the {kind}: {', '.join(sorted(modules))}")
    module_name = f"{folder.__name__}.{modules[name]}"
    function = name.replace("-", "_")
    cls = function.title().replace("_", "")
    expected = f"a function `{function}` or an attrs class `{cls}` with `__call__`"
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise BrokenFile(module_name, f"{type(error).__name__} on import: {error}", expected) from error
    thing = getattr(module, function, None) or getattr(module, cls, None)
    if inspect.isclass(thing):
        if not has(thing) or "__call__" not in dir(thing):
            raise BrokenFile(module_name, f"a class `{thing.__name__}` without attrs or `__call__`", expected)
    elif not callable(thing):
        raise BrokenFile(module_name, "neither", expected)
    found: Callable[..., Any] = thing
    return found


def load(folder: ModuleType, name: str, parameters: Mapping[str, object]) -> Any:
    """Give what the file `name` of `folder` offers, ready for use.

    Parameters that it has no use for are left out: a scenario's table serves all files of a folder.
    Raises `UnknownName` and `BrokenFile`.
    """
    thing = offered(folder, name)
    if not (inspect.isclass(thing) and has(thing)):
        return thing
    wanted = [field for field in fields(thing) if field.init]
    for field in wanted:
        if field.default is NOTHING and field.name not in parameters:
            allowed = f"a default, or one of the parameters there are: {', '.join(parameters)}"
            raise BrokenFile(thing.__module__, f"a field `{field.name}` without a default", allowed)
    return thing(**{field.name: parameters[field.name] for field in wanted if field.name in parameters})


def summary(folder: ModuleType, name: str) -> str:
    """Give the first line of the docstring of what the file `name` offers."""
    return (inspect.getdoc(offered(folder, name)) or "").partition("\n")[0]


def _modules(folder: ModuleType) -> dict[str, str]:
    """Map the names that `folder` offers to those of its modules."""
    stems = [module.name for module in pkgutil.iter_modules(folder.__path__) if module.name[0] != "_"]
    separator = getattr(folder, "SEPARATOR", "-")
    return {_without_escape(stem).replace("_", separator): stem for stem in stems}


def _without_escape(stem: str) -> str:
    word = stem.removesuffix("_")
    return word if iskeyword(word) else stem
