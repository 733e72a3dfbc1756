"""Folders as registries: each file of a folder holds one idea, and its name is the idea's name.

`forward.py` offers the function `forward`, `bounded.py` the attrs class `Bounded`, `per_area.py` is called
"per-area", and a file named after a Python keyword carries a trailing underscore (`global_.py` is "global",
its class `Global`). A function is used as it is; a class is created with those of the given parameters that
it has fields for.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from keyword import iskeyword
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
    module = importlib.import_module(f"{folder.__name__}.{stem}{'_' if iskeyword(stem) else ''}")
    thing = getattr(module, stem, None) or getattr(module, stem.title().replace("_", ""), None)
    assert callable(thing), f"{module.__name__} defines neither a function nor a class of its own name"
    found: Callable[..., Any] = thing
    return found


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
