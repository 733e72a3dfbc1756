"""A figure: what is drawn for each choice that its reader can make, in the terms of Plotly's JSON.

Colours, fonts and sizes are the page's business: it knows whether it is dark, and how wide.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from attrs import field, frozen

Trace: TypeAlias = dict[str, Any]
"""A trace of Plotly's JSON; `series` instead of a colour: traces of one number have one colour."""


@frozen
class Choice:
    """Something the reader can choose: the title of a list, and what is in it."""

    title: str
    options: list[str]


@frozen
class Figure:
    """A figure of a page."""

    name: str
    """For its anchor, and its file when it is downloaded."""
    title: str
    caption: str
    """How to read it."""
    choices: list[Choice]
    views: dict[str, list[Trace]]
    """Traces for the options' numbers, joined by "/"; "" where there is no choice."""
    layout: dict[str, Any] = field(factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Give the figure as the page's script takes it."""
        return {
            "name": self.name,
            "choices": [{"title": choice.title, "options": choice.options} for choice in self.choices],
            "views": self.views,
            "layout": self.layout,
        }


def views_of(
    choices: Sequence[Choice], draw: Mapping[tuple[int, ...], list[Trace]]
) -> tuple[list[Choice], dict[str, list[Trace]]]:
    """Leave out choices of one option, and give views the keys that the page's script makes of the rest."""
    kept = [place for place, choice in enumerate(choices) if len(choice.options) > 1]
    views = {"/".join(str(key[place]) for place in kept): traces for key, traces in draw.items()}
    return [choices[place] for place in kept], views


def axis(title: str, *, log: bool = False, **more: Any) -> dict[str, Any]:
    """Give an axis; a logarithmic one has ticks at powers of ten."""
    scale = {"type": "log", "dtick": 1, "tickformat": "~s", "minor": {"dtick": "D1"}} if log else {}
    return {"title": {"text": title}, "automargin": True, **scale, **more}


def digits(value: float | None, count: int = 5) -> float | None:
    """Give a figure of some digits, None for what cannot be drawn."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{count}g}")
