"""The page: one HTML file with everything in it, Plotly's script too. It asks no network for anything.

What it says of its making (command, seed, version, code) stands on top; the same run or study gives the same page.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from attrs import frozen
from jinja2 import Environment
from plotly.offline import get_plotlyjs

from sim.report.figure import Figure


@frozen
class Table:
    """A table of the page: a heading, rows of texts, and whether it is folded away at first."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    folded: bool = False


@frozen
class Page:
    """What stands on a page."""

    title: str
    facts: list[tuple[str, str]]
    """What it was made of and how: name and text."""
    warnings: list[str]
    """What a reader must know before anything else: failed checks, failed cells."""
    tables: list[Table]
    figures: list[Figure]
    scenario: Mapping[str, Any]


def render(page: Page) -> str:
    """Give the page as HTML."""
    figures = [figure.as_json() for figure in page.figures]
    html: str = _template().render(
        page=page,
        scenario=json.dumps(page.scenario, indent=1, ensure_ascii=False),
        figures=_in_script(json.dumps(figures, separators=(",", ":"), ensure_ascii=False)),
        plotly=_in_script(get_plotlyjs()),
        style=_part("page.css"),
        script=_part("page.js"),
    )
    return html


def _in_script(text: str) -> str:
    """Keep a text within a script element: nothing in it may look like the element's end, or a comment's begin."""
    return text.replace("</", "<\\/").replace("<!--", "<\\!--")


@cache
def _template() -> Any:
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_part("page.html"))


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def table_of(title: str, rows: Sequence[Mapping[str, Any]], *, folded: bool = False) -> Table:
    """Make a table of rows with equal keys."""
    columns = list(rows[0]) if rows else []
    return Table(title, columns, [[_text(row[column]) for column in columns] for row in rows], folded)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
