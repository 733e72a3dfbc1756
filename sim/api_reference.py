"""docs/reference/python.md: the interface for programs, from its signatures and docstrings."""

import ast
import inspect
import re
from collections.abc import Callable
from textwrap import dedent
from typing import Any

from sim import api
from sim.frames import Framed
from sim.scenario.model import Scenario

HEAD = """# Python

`from sim import Scenario, simulate, simulate_async, replay, study, load_extension`; [the
tutorial](../tutorial-notebook.md) shows them at work. Wrong input is raised as `sim.errors.BadInput`, one line that
names the place.
"""

FUNCTIONS = (api.simulate, api.simulate_async, api.replay, api.study, api.load_extension)
MAKERS = (Scenario.load, Scenario.of, Scenario.changed)
RESULTS = (api.Run, api.Latency, api.Replay, api.StudyResult)


def python_page() -> str:
    """Give docs/reference/python.md."""
    parts = [HEAD, *(_function(function) for function in FUNCTIONS)]
    parts.append("## `Scenario`\n\nIts tables are attributes (`scenario.space.nodes`); [all keys](scenario.md).\n")
    parts += [_function(maker, "Scenario.") for maker in MAKERS]
    parts += map(_result, RESULTS)
    parts.append(_functions_of(Framed, "What all results but `Latency` can do besides:"))
    return "\n".join(parts).rstrip() + "\n"


def _function(function: Callable[..., Any], prefix: str = "") -> str:
    asynchronous = "async " if inspect.iscoroutinefunction(function) else ""
    title = f"## `{asynchronous}{prefix}{function.__name__}`"
    return f"{title}\n\n```text\n{_signature(function)}\n```\n\n{_prose(function)}\n"


def _signature(function: Callable[..., Any]) -> str:
    """Give a function's name, its parameters a line each, and what it gives, without the modules of types."""
    signature = inspect.signature(function)
    lines: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in lines:
            lines.append("*")
        if parameter.name != "self":
            lines.append(str(parameter))
    given = inspect.formatannotation(signature.return_annotation)
    shown = "\n".join([f"{function.__name__}(", *(f"    {line}," for line in lines), f") -> {given}"])
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", shown).replace("'", '"')


def _prose(thing: object) -> str:
    return inspect.getdoc(thing) or ""


def _result(kind: type) -> str:
    """Describe a class of results: its fields, and the properties that look something up in them."""
    rows = [f"| `{name}` | {what} |" for name, what in _attributes(kind).items()]
    return "\n".join(
        [f"## `{kind.__name__}`\n", f"{_prose(kind)}\n", "| attribute | what it is |", "|---|---|", *rows, ""]
    )


def _attributes(kind: type) -> dict[str, str]:
    """Give what is known of each attribute: the string below a field, the docstring of a property."""
    found: dict[str, str] = {}
    (tree,) = ast.parse(dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef), "the source of a class"
    for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign):
            kind_of = f"`{ast.unparse(statement.annotation)}`"
            found[ast.unparse(statement.target)] = ": ".join(filter(None, [kind_of, _text(following)]))
        elif isinstance(statement, ast.FunctionDef) and statement.decorator_list:
            assert statement.returns is not None, "a property says what it gives"
            found[statement.name] = f"`{ast.unparse(statement.returns)}`: {ast.get_docstring(statement)}"
    return found


def _text(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return inspect.cleandoc(str(statement.value.value)).replace("\n", " ")
    return ""


def _functions_of(kind: type, head: str) -> str:
    rows = [
        f"- `{name}()`: {_prose(function)}"
        for name, function in vars(kind).items()
        if inspect.isfunction(function) and not name.startswith("_")
    ]
    return "\n".join([f"## Tables\n\n{head}\n", *rows, ""])
