"""What builds the world and judges it: virtual time, costs, workloads, traces, metrics, checks, commands.

Nothing below this package knows of it. `Scenario`, `simulate` and the others of `__all__` are its
interface for programs and notebooks (docs/tutorial-notebook.md); they are imported when they are asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.api import load_extension, simulate, simulate_async
    from sim.api import replay as replay
    from sim.api import study as study
    from sim.scenario.model import Scenario

__all__ = ["Scenario", "load_extension", "replay", "simulate", "simulate_async", "study"]

_HOMES = {
    "Scenario": "sim.scenario.model",
    "load_extension": "sim.api",
    "simulate": "sim.api",
    "simulate_async": "sim.api",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562). `replay` and `study` are packages that can be called, too."""
    if name in ("replay", "study"):
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
