"""Folders as registries: each file of a folder holds one idea, and its name is the idea's name.

`forward.py` offers the function `forward`, `bounded.py` the attrs class `Bounded`, `per_area.py` is called
"per-area", and a file named after a Python keyword carries a trailing underscore (`global_.py` is "global",
its class `Global`). A folder whose names are the kernel's says so by `SEPARATOR = "_"` in its `__init__.py`: there
`test_vmalloc.py` is called "test_vmalloc". A function is used as it is; a class is created with those of the given
parameters that it has fields for. Files whose names begin with an underscore are not listed.

A folder says by `SHAPE`, a `Protocol` with `__call__`, how what its files offer is called: the names of the
parameters, in order. Modules from elsewhere can be added to a folder for a while (`add`): they are then offered
like its own files.
"""

import importlib
import importlib.util
import inspect
import pkgutil
import reprlib
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


class WrongResult(VmapsimError):
    """What a file offers gave something else than it has to; the text says what it gave, and what is allowed."""


_ADDED: dict[str, dict[str, str]] = {}
"""By folder, the names that were added to it and the modules that offer them."""


def names(folder: ModuleType) -> list[str]:
    """List what `folder` offers, in alphabetical order."""
    return sorted(_modules(folder))


def add(folder: ModuleType, module: str) -> str:
    """Offer what the imported `module` does as if its file stood in `folder`; give the name it has there.

    The last part of the module's name stands for the file's. The name must be free.
    """
    name = name_of(folder, module.rpartition(".")[2])
    assert name not in _modules(folder), f"{name} is offered already"
    _ADDED.setdefault(folder.__name__, {})[name] = module
    return name


def remove(folder: ModuleType, name: str) -> None:
    """Take back what was added to `folder` as `name`."""
    del _ADDED[folder.__name__][name]


def name_of(folder: ModuleType, stem: str) -> str:
    """Give the name in `folder` of what a file offers whose name, without its ending, is `stem`.

    A folder may decide that itself, by a function `name_of` in its `__init__.py`.
    """
    named: Callable[[str], str] | None = getattr(folder, "name_of", None)
    if named is not None:
        return named(stem)
    return _without_escape(stem).replace("_", getattr(folder, "SEPARATOR", "-"))


def parameters(thing: Callable[..., Any] | type) -> tuple[str, ...]:
    """Give the names of the parameters with which `thing`, or an instance of that class, is called."""
    if not inspect.isclass(thing):
        return tuple(inspect.signature(thing).parameters)
    return tuple(inspect.signature(thing.__call__).parameters)[1:]


def found_in(module: ModuleType) -> Callable[..., Any] | None:
    """Give the function or attrs class that `module` offers by its name, None if it has none.

    A class without attrs or `__call__` is given too.
    """
    function, cls = _things(module.__name__.rpartition(".")[2])
    thing: Callable[..., Any] | None = getattr(module, function, None) or getattr(module, cls, None)
    return thing if callable(thing) else None


def offered(folder: ModuleType, name: str) -> Callable[..., Any]:
    """Give the function or attrs class that the file `name` of `folder` offers.

    Raises `UnknownName` and `BrokenFile`.
    """
    modules = _modules(folder)
    if name not in modules:
        kind = folder.__name__.rpartition(".")[2]
        raise UnknownName(f"{name!r} is none of the {kind}: {', '.join(sorted(modules))}")
    module_name = modules[name]
    function, cls = _things(module_name.rpartition(".")[2])
    expected = f"a function `{function}` or an attrs class `{cls}` with `__call__`"
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise BrokenFile(module_name, f"{type(error).__name__} on import: {error}", expected) from error
    thing = found_in(module)
    if thing is None:
        raise BrokenFile(module_name, "neither", expected)
    if inspect.isclass(thing) and (not has(thing) or "__call__" not in dir(thing)):
        raise BrokenFile(module_name, f"a class `{thing.__name__}` without attrs or `__call__`", expected)
    shape = getattr(folder, "SHAPE", None)
    if shape is not None and parameters(thing) != parameters(shape):
        raise BrokenFile(module_name, described(thing), f"the parameters ({', '.join(parameters(shape))})")
    return thing


def described(thing: Callable[..., Any]) -> str:
    """Say in words what `thing` is and how it is called."""
    kind = "a class" if inspect.isclass(thing) else "a function"
    return f"{kind} `{thing.__name__}` with the parameters ({', '.join(parameters(thing))})"


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


def insist(folder: ModuleType, name: str, given: object, wanted: type[Any]) -> None:
    """Insist that what the file `name` of `folder` has given has all that a `wanted` has.

    Raises `WrongResult`.
    """
    asked = sorted({*dir(wanted), *getattr(wanted, "__annotations__", {})})
    lacking = [public for public in asked if public[0] != "_" and not hasattr(given, public)]
    if lacking:
        kind = folder.__name__.rpartition(".")[2]
        shown = reprlib.repr(given) if type(given).__module__ == "builtins" else f"a {type(given).__name__}"
        found = f"found {shown} from {name} of the {kind}, without {lacking[0]}"
        raise WrongResult(f"{found}; allowed: a {wanted.__name__}")


def summary(folder: ModuleType, name: str) -> str:
    """Give the first line of the docstring of what the file `name` offers."""
    return (inspect.getdoc(offered(folder, name)) or "").partition("\n")[0]


def _modules(folder: ModuleType) -> dict[str, str]:
    """Map the names that `folder` offers to the full names of its modules."""
    stems = [module.name for module in pkgutil.iter_modules(folder.__path__) if module.name[0] != "_"]
    own = {name_of(folder, stem): f"{folder.__name__}.{stem}" for stem in stems}
    return {**own, **_ADDED.get(folder.__name__, {})}


def _things(stem: str) -> tuple[str, str]:
    """Give the names of the function and of the class that the file `stem` may offer."""
    word = _without_escape(stem)
    return word, word.title().replace("_", "")


def _without_escape(stem: str) -> str:
    word = stem.removesuffix("_")
    return word if iskeyword(word) else stem
