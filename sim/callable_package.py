"""Packages that can be called: `sim.replay(…)` and `sim.study(…)` do what `sim.api` has under their names.

An import of anything within a package sets its name in `sim` to the package, whatever stood there; so that
`from sim import replay` always gives something to call, the package itself can be.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package that does what the function of its name in `sim.api` does."""

    @property
    def __signature__(self) -> inspect.Signature:
        """The function's signature, for whoever asks how to call this."""
        return inspect.signature(self._function())

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call that function."""
        return self._function()(*arguments, **keywords)

    def _function(self) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(importlib.import_module("sim.api"), self.__name__.rpartition(".")[2])
        return function


def make_callable(package: str) -> None:
    """Let the imported `package` be called."""
    sys.modules[package].__class__ = CallablePackage
