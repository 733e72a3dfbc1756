"""Contracts: what every file of a folder of ideas has to hold to, one module per folder, named like it.

Each module has `CLAUSES`, functions whose names say what holds, and `hold`, which holds a thing to one of them for
every example there is or Hypothesis can think of. The tests hold the folders' own files to them, `check-extension`
anybody's. What breaks a clause is a `Breach`, whose text has the smallest example that was found.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any, TypeAlias

from protocol.errors import VmapsimError
from sim.errors import BadInput, first_of, is_interrupt, one_line

MOST_STEPS = 100_000
"""Steps of Python's interpreter that one call may take; whoever takes more is taken not to stop."""

Clause: TypeAlias = Callable[..., None]
"""Raises `Breach` when the thing that it is given does not hold to what its name says."""


class Breach(VmapsimError):
    """Something does not hold to its contract; the text says how, in words that go on after its name."""


def contract_of(kind: str) -> ModuleType:
    """Give the module with the contract of a kind of `sim.extensions.KINDS`. Raises `BadInput`."""
    try:
        return importlib.import_module(f"{__name__}.{kind}")
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise BadInput(
            "check-extension", "no package `hypothesis`", "it installed (pip install 'vmapsim[extend]')"
        ) from None


def sentence(clause: Clause) -> str:
    """Give what a clause says, in words that go on after a name."""
    return clause.__name__.replace("_", " ")


def check(kind: str, name: str, settings: tuple[str, ...] = ()) -> Iterator[str]:
    """Hold what the folder of `kind` offers as `name` to its contract, clause by clause; give what holds.

    Contracts of what runs in scenarios take `--set` texts, which change these.

    Raises `Breach` at the first clause that does not, and `BadInput`.
    """
    contract = contract_of(kind)
    for clause in contract.CLAUSES:
        if settings:
            contract.hold(name, clause, settings)
        else:
            contract.hold(name, clause)
        yield sentence(clause)


def remarks(kind: str, name: str) -> list[str]:
    """Say what is no breach, and should be known of a thing all the same."""
    found: list[str] = getattr(contract_of(kind), "remarks", lambda _name: [])(name)
    return found


def asked(thing: Callable[..., Any], *arguments: Any, words: str) -> Any:
    """Call `thing` and give what it gives; `words` say of what it was asked. Raises `Breach`."""
    with judged(words):
        return thing(*arguments)


@contextmanager
def judged(words: str, most_steps: int = MOST_STEPS, only: str = "") -> Iterator[None]:
    """Turn into a `Breach` what the body raises, and that it does not stop.

    Steps of Python's interpreter are counted, in the functions of the module `only` if that is given.
    """
    left = most_steps

    def count(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        if only and frame.f_globals.get("__name__") != only:
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        left -= event == "opcode"
        if left < 0:
            raise Breach(f"does not stop, {words}: more than {most_steps:,} steps of Python")
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        yield
    except BaseException as error:
        if is_interrupt(error):
            raise
        if isinstance(first := first_of(error), Breach):
            raise first from None
        raise Breach(f"raises {one_line(error)}, {words}") from error
    finally:
        sys.settrace(before)


def search(test: Callable[[Any], None], examples: Any, most: int = 60) -> None:
    """Let Hypothesis look for an example for which `test` raises `Breach`; raises that of the smallest.

    Always the same examples are tried.
    """
    from hypothesis import HealthCheck, Phase, Verbosity, given, settings
    from hypothesis.errors import Flaky

    tried = settings(
        max_examples=most,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    try:
        tried(given(examples)(test))()  # type: ignore[no-untyped-call]  # Hypothesis' wrapper
    except Flaky:
        raise Breach("is not the same each time: asked anew, it gives something else") from None
