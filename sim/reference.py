"""The reference pages that are made from the code: `python -m sim.reference FOLDER` writes them.

A test holds docs/reference/ to what this gives.
"""

import inspect
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

from attrs import NOTHING, Attribute, fields, has

from protocol import codec
from protocol.kernel import CHOICES, KERNELS
from sim.api_reference import python_page
from sim.calibration.reference import targets_page
from sim.catalogue import CATALOGUES
from sim.files import write_files
from sim.scenario.model import Scenario
from sim.scenario.values import Allowed
from sim.study.reference import study_page

SCENARIO_HEAD = """# Scenario

TOML. Unknown keys, wrong types and impossible values are refused, with the key's name. A relative `file` is
looked up beside the scenario.

A value after `--set TABLE.KEY=` is read as TOML, and as a string where it is none or the key wants a string
(`--set space.kernel=6.10`). A table given as a value changes the keys in it and leaves the others of the table
as they are (`--set workload={operations=10}`).

`[[variant]]` tables, each with a `name` and a table `set`, make several scenarios of one file; each runs
with the same seed into `OUT/NAME/`. `--set` and `--seed` change what all of them start from; a key that every
variant sets itself is refused there.
"""

PARAMETERS = """\
## `[parameters.NAME]`

Keys of one's own, strings, numbers, true or false, for a policy, strategy, workload, topology, cost model or fault
that [the catalogue](catalogue.md) has as NAME, mostly [an extension](../how-to/extend.md):
`--set parameters.my-policy.reach=3`. A policy or strategy that is an attrs class gets them as its fields, and has
no other keys; what is given the scenario reads `scenario.parameters.get("my-topology", {})`. Whoever is not used in
a scenario may have parameters in it: a variant, or a level of a study's factor, uses them.
"""

KERNELS_HEAD = """# Kernels

`space.kernel` names a set of choices. A kernel decides what a scenario leaves open, and a key that is set wins:
each choice is settable by itself, in `[kernel]` or, where so named below, in `[space]` and `[lookup]`. The scenario
in results.json has all of them resolved. What they do: [the flows, by version](../explanation/kernel.md).

"""

KERNELS_TAIL = """
Sources. For the nodes: Uladzislau Rezki's series "Mitigate a vmap lock contention" (v3, 2 January 2024; merged for
v6.9) and its review; patch numbers are the series'. For the backward search and the mended decay: Baoquan He's
patches of April 2025. *By its date* means that the version follows from a patch's date and was not read in a tag.
A real 6.12 kernel's order of locks is in tests/data/.
"""


def scenario_page() -> str:
    """Give docs/reference/scenario.md: every table and key of a scenario."""
    return "\n".join([SCENARIO_HEAD, *table_lines("", Scenario), PARAMETERS])


def kernels_page() -> str:
    """Give docs/reference/kernels.md: what each kernel decides, and what can be chosen instead."""
    kernels = list(KERNELS.values())
    lines = [KERNELS_HEAD + "| kernel | what it is |", "|---|---|"]
    lines += [f"| `{kernel.name}` | {kernel.summary} |" for kernel in kernels]
    lines += ["", "| choice | " + " | ".join(kernel.name for kernel in kernels) + " |"]
    lines += ["|---" * (1 + len(kernels)) + "|"]
    for name in CHOICES:
        lines.append(f"| `{name}` | " + " | ".join(_chosen(getattr(kernel, name)) for kernel in kernels) + " |")
    for name, choice in CHOICES.items():
        lines += ["", f"**`{name}`**: {choice.decides}.", ""]
        lines += [f"- {_chosen(value)}: {meaning}" for value, meaning in choice.values.items()]
    return "\n".join(lines) + "\n" + KERNELS_TAIL


def _chosen(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


MESSAGES_HEAD = """# Messages

Every kind of frame, with its number on the wire and its fields in order. Connections carry envelopes, and messages
within them; [protocol](protocol.md) says how. `Journaled`, `Kept` and `Rebuilt` are in journals on disk only.
"""


def messages_page() -> str:
    """Give docs/reference/messages.md: every message and envelope, its number and its fields."""
    parts = [MESSAGES_HEAD]
    for title, kinds in (("Messages", codec.KINDS), ("Envelopes", codec.ENVELOPES)):
        parts += [f"## {title}\n", "| number | kind | fields | what it is |", "|---|---|---|---|"]
        for number, kind in kinds.items():
            names = ", ".join(f"`{attribute.name}`" for attribute in fields(kind)) or "-"
            summary = (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")
            parts.append(f"| {number} | `{kind.__name__}` | {names} | {summary} |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def catalogue_page() -> str:
    """Give docs/reference/catalogue.md: what scenarios can name."""
    parts = ["# What scenarios can name\n", "`./dev list WHAT` prints the same.\n"]
    for what, entries in CATALOGUES.items():
        parts += [f"## {what}\n", "| name | what it does |", "|---|---|"]
        parts += [f"| `{name}` | {summary} |" for name, summary in entries().items()]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


PAGES = {
    "scenario.md": scenario_page,
    "study.md": lambda: study_page(table_lines),
    "targets.md": lambda: targets_page(table_lines),
    "kernels.md": kernels_page,
    "catalogue.md": catalogue_page,
    "messages.md": messages_page,
    "python.md": python_page,
}
"""The generated pages, by file name."""


def table_lines(name: str, table: type, *, many: bool = False) -> list[str]:
    """Describe a table, of which there may be `many`, and those within it."""
    lines, inner = [], []
    for attribute in fields(table):
        kind = attribute.type
        if get_origin(kind) is dict:
            continue  # free keys, which a page describes itself
        if isinstance(kind, type) and has(kind):
            inner += table_lines(f"{name}.{attribute.name}".lstrip("."), kind)
        elif get_origin(kind) is list and has(get_args(kind)[0]):
            inner += table_lines(f"{name}.{attribute.name}", get_args(kind)[0], many=True)
        else:
            lines.append(f"| `{attribute.name}` | {_kind(kind)} | `{_default(attribute)}` | {_words(attribute)} |")
    title = f"[[{name}]]" if many else f"[{name}]"
    heading = [f"## `{title}`\n", _prose(table), ""] if name else []
    rows = ["| key | type | default | allowed |", "|---|---|---|---|", *lines, ""] if lines else []
    return [*heading, *rows, *inner]


def _prose(table: type) -> str:
    text = inspect.getdoc(table) or ""
    first, colon, rest = text.partition(": ")
    return (rest[:1].upper() + rest[1:]) if colon and first.startswith("`[") else text


def _kind(kind: Any) -> str:
    lists = {"list[int]": "list of integers", "list[str]": "list of strings"}
    names = {"int": "integer", "float": "number", "bool": "true or false", "str": "string"}
    return lists.get(str(kind)) or names.get(getattr(kind, "__name__", ""), "any")


def _default(attribute: "Attribute[Any]") -> str:
    default: Any = attribute.default
    if hasattr(default, "factory"):
        default = default.factory()
    assert default is not NOTHING, f"{attribute.name} has no default"
    return str(default).lower() if isinstance(default, bool) else repr(default).replace("'", '"')


def _words(attribute: "Attribute[Any]") -> str:
    validator = attribute.validator
    return validator.words() if isinstance(validator, Allowed) else "any"


def main(folder: Path) -> None:
    """Write the pages into `folder`."""
    write_files(folder, {name: page() for name, page in PAGES.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
