"""Folders as registries: each file of a folder holds one idea, and its name is the idea's name.

`forward.py` holds `forward`, `per_area.py` holds `per_area` and is called "per-area"; a file named
after a Python keyword carries a trailing underscore (`global_.py` is "global"). The one public function
or class that a file defines is what it offers: a function is used as it is, a class is created with
those of the given parameters that it has fields for.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from attrs import fields, has

from protocol.errors import VmapsimError


class UnknownName(VmapsimError):
    """A name that no file of the folder has; the text lists those there are."""


def names(folder: ModuleType) -> list[str]:
    """List what `folder` offers, in alphabetical order."""
    found = pkgutil.iter_modules(folder.__path__)
    return sorted(module.name.rstrip("_").replace("_", "-") for module in found)


def offered(folder: ModuleType, name: str) -> Callable[..., Any]:
    """Give the function or class that the file `name` of `folder` offers.

    Raises `UnknownName`.
    """
    known = names(folder)
    if name not in known:
        kind = folder.__name__.rpartition(".")[2]
        raise UnknownName(f"{name!r} is none of the {kind}: {', '.join(known)}")
    stem = name.replace("-", "_")
    stems = {module.name for module in pkgutil.iter_modules(folder.__path__)}
    module = importlib.import_module(f"{folder.__name__}.{stem if stem in stems else stem + '_'}")
    public = [
        thing
        for key, thing in vars(module).items()
        if not key.startswith("_")
        and (inspect.isfunction(thing) or inspect.isclass(thing))
        and thing.__module__ == module.__name__
    ]
    assert len(public) == 1, f"{module.__name__} defines {len(public)} public things, not one"
    return public[0]


def load(folder: ModuleType, name: str, parameters: Mapping[str, object]) -> Any:
    """Give what the file `name` of `folder` offers, ready for use.

    Parameters that it has no use for are left out: a scenario's table serves all files of a folder.
    Raises `UnknownName`.
    """
    thing = offered(folder, name)
    if not inspect.isclass(thing):
        return thing
    assert has(thing), f"{thing.__name__} is a class but not an attrs class"
    wanted = {field.name for field in fields(thing) if field.init}
    return thing(**{key: value for key, value in parameters.items() if key in wanted})


def summary(folder: ModuleType, name: str) -> str:
    """Give the first line of the docstring of what the file `name` offers."""
    return (inspect.getdoc(offered(folder, name)) or "").partition("\n")[0]
