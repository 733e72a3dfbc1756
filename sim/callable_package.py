"""Packages that can be called: `sim.replay(…)` and `sim.study(…)` do what `sim.api` has under their names.

An import of anything within a package sets its name in `sim` to the package, whatever stood there; so that
`from sim import replay` always gives something to call, the package itself can be.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package that does what the function of its name in `sim.api` does."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call that function."""
        return getattr(importlib.import_module("sim.api"), self.__name__.rpartition(".")[2])(*arguments, **keywords)


def make_callable(package: str) -> None:
    """Let the imported `package` be called."""
    sys.modules[package].__class__ = CallablePackage
