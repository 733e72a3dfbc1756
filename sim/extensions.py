"""Extensions: files from anywhere that offer what a folder's own files do, for as long as they are loaded.

A file says by its shape what it is: what it offers by its name (`my_policy.py` the function `my_policy`, or the
attrs class `MyPolicy`) is called with the parameters of exactly one kind, or says by its annotation which of two.
It is executed once, as a module of its own, and offered by the registry of its kind's folder under its name, which
must be free there.

An extension carries its source: whoever runs a scenario elsewhere, in a worker process or on another machine,
installs it there first, and what took part in a run is known by a digest.
"""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any

from attrs import field, frozen

from actors.errors import ActorFailed
from protocol import registry
from protocol.errors import VmapsimError
from sim.errors import BadInput, first_of, one_line

KINDS: Mapping[str, str] = {
    "policies": "protocol.policies",
    "strategies": "protocol.strategies",
    "workloads": "sim.workloads",
    "checks": "sim.checks",
    "costs": "sim.costs",
    "topologies": "sim.topologies",
    "kernels": "protocol.kernels",
    "faults": "sim.faults",
}
"""What an extension can be: the folders of ideas, by their names."""

PACKAGE = "extension"
"""In front of the names of extensions' modules; there is no such package."""


PROGRAM = ("actors", "protocol", "sim")
"""The packages of the program."""


@frozen
class Extension:
    """A file that is one idea more."""

    kind: str
    """A key of `KINDS`."""
    name: str
    """As scenarios name it."""
    sha256: str
    path: str = field(eq=False)
    """Where the file was, as it was given."""
    source: bytes = field(eq=False, repr=False)


_LOADED: dict[tuple[str, str], Extension] = {}
"""By kind and name; in the order of loading."""


def folder_of(kind: str) -> ModuleType:
    """Give the folder of a kind, imported."""
    return importlib.import_module(KINDS[kind])


def loaded() -> tuple[Extension, ...]:
    """Give all extensions that are loaded, in the order of loading."""
    return tuple(_LOADED.values())


def described(extensions: Sequence[Extension]) -> list[dict[str, str]]:
    """Give what results say of extensions: which they are, and a digest of their source."""
    return [{"kind": one.kind, "name": one.name, "sha256": one.sha256} for one in extensions]


def words() -> list[str]:
    """Give the words of a command that load again what is loaded now."""
    return [word for extension in loaded() for word in ("--extension", extension.path)]


def load(path: Path, where: str = "--extension") -> Extension:
    """Load the file at `path`; loading it again replaces it by what it holds now. Raises `BadInput`.

    Its name must not be that of a file of its folder, or of another extension.
    """
    here = f"{where} {path}"
    try:
        source = path.read_bytes()
    except OSError as error:
        raise BadInput(here, (error.strerror or str(error)).lower(), "a readable Python file") from None
    if path.suffix != ".py" or not path.stem.isidentifier() or path.stem.startswith("_"):
        raise BadInput(here, repr(path.name), "the name of a Python module, such as my_policy.py")
    return _offer(source, str(path), here)


def place_of(path: Path) -> tuple[str, str]:
    """Give kind and name of the idea in the file at `path`: a file of a folder's own, or loaded now.

    Raises `BadInput` and `registry.BrokenFile`.
    """
    for kind in KINDS:
        folder = folder_of(kind)
        if path.parent.resolve() in [Path(place).resolve() for place in folder.__path__]:
            name = registry.name_of(folder, path.stem)
            registry.offered(folder, name)
            return kind, name
    extension = load(path, "check-extension")
    return extension.kind, extension.name


def install(extensions: Sequence[Extension]) -> None:
    """Have these extensions loaded, from their own sources, and no others."""
    if extensions == loaded():
        return
    unload()
    for extension in extensions:
        _offer(extension.source, extension.path, extension.path)


def unload() -> None:
    """Take back all extensions."""
    for kind, name in _LOADED:
        registry.remove(folder_of(kind), name)
    _LOADED.clear()


def blamed(error: BaseException) -> BadInput | None:
    """Give the line that says where in an extension `error` was raised; None where it was not raised in one.

    The innermost of the frames that are an extension's or the program's decides: what the program raises when an
    extension calls it may be its own mistake, and keeps its traceback.
    """
    if isinstance(error, ActorFailed) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, VmapsimError):
        return None
    here = ""
    for frame, line in walk_tb(error.__traceback__):
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package == PACKAGE:
            here = f"{frame.f_globals['__file__']}: line {line}"
        elif package in PROGRAM:
            here = ""
    if not here:
        return None
    found = " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())
    return BadInput(here, found, "an extension that raises nothing")


def told(error: BaseException) -> str:
    """Say in a line what went wrong: of several errors, the first; where, if it was in an extension."""
    first = first_of(error)
    return str(blamed(first) or one_line(first))


def _offer(source: bytes, path: str, where: str) -> Extension:
    module = _executed(source, path, where)
    kind = _kind_of(module, where)
    folder = folder_of(kind)
    stem = Path(path).stem
    name = registry.name_of(folder, stem)
    before = _LOADED.pop((kind, name), None)
    if before is not None:
        registry.remove(folder, name)
        if before.path != path:
            raise BadInput(where, f"the name {name}, which {before.path} has", "a name of its own")
    if name in registry.names(folder):
        raise BadInput(where, f"the name {name}, which one of the {kind} has", "a name of its own")
    registry.add(folder, module.__name__)
    try:
        registry.offered(folder, name)
    except VmapsimError:
        registry.remove(folder, name)
        raise
    extension = Extension(kind, name, hashlib.sha256(source).hexdigest(), path, source)
    _LOADED[kind, name] = extension
    return extension


def _executed(source: bytes, path: str, where: str) -> ModuleType:
    """Execute a file as a module; what it raises is the user's mistake, in one line."""
    name = f"{PACKAGE}.{Path(path).stem}"
    module = ModuleType(name)
    module.__file__ = path
    module.__spec__ = ModuleSpec(name, None, origin=path)
    sys.modules[name] = module
    try:
        exec(compile(source, path, "exec"), module.__dict__)  # noqa: S102 (what an extension is for)
    except (Exception, SystemExit) as error:
        found = " ".join(f"{type(error).__name__} on import: {error}".split())
        raise BadInput(where, found, "a Python module that can be imported") from None
    return module


def _kind_of(module: ModuleType, where: str) -> str:
    """Tell by its shape what a module offers. Raises `BadInput`."""
    thing = registry.found_in(module)
    stem = module.__name__.rpartition(".")[2]
    if thing is None:
        offers = f"a function `{stem}`, or an attrs class of that name in CamelCase"
        raise BadInput(where, f"nothing that can be called by the name {stem}", offers)
    shapes = dict(_shapes())
    kinds = [kind for kind, (names, _) in shapes.items() if names == _parameters(thing)]
    if len(kinds) > 1:
        kinds = [kind for kind in kinds if shapes[kind][1] == _annotation(thing)]
    if len(kinds) != 1:
        words = "; ".join(f"{_shape_in_words(shapes, kind)} of {kind}" for kind in KINDS)
        raise BadInput(where, registry.described(thing), f"the parameters {words}")
    return kinds[0]


def _shapes() -> Iterator[tuple[str, tuple[tuple[str, ...], str]]]:
    """Give each kind with the names of its parameters and that of what it gives."""
    for kind in KINDS:
        shape = folder_of(kind).SHAPE
        yield kind, (registry.parameters(shape), _annotation(shape))


def _shape_in_words(shapes: Mapping[str, tuple[tuple[str, ...], str]], kind: str) -> str:
    """Give a kind's parameters, and what it gives where these are another's, too."""
    names, result = shapes[kind]
    alone = sum(names == others for others, _ in shapes.values()) == 1
    return f"({', '.join(names)}){'' if alone else f' -> {result}'}"


def _annotation(thing: Callable[..., Any]) -> str:
    """Give the name of what a function, or an instance of a class, says that it gives; "" if it does not say."""
    call = thing.__call__ if inspect.isclass(thing) else thing
    returns = getattr(call, "__annotations__", {}).get("return", "")
    return str(getattr(returns, "__name__", returns))


def _parameters(thing: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return registry.parameters(thing)
    except (TypeError, ValueError):  # what has no signature that Python could tell
        return ()
