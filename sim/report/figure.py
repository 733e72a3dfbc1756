"""A figure: what is drawn for each choice that its reader can make, in the terms of Plotly's JSON.

Colours, fonts and sizes are the page's business: it knows whether it is dark, and how wide.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from attrs import asdict, field, frozen

Trace: TypeAlias = dict[str, Any]
"""A trace of Plotly's JSON; `series` instead of a colour: traces of one number have one colour. A heatmap with
`log` has colours by powers of ten."""


@frozen
class Choice:
    """Something the reader can choose: the title of a list, and what is in it."""

    title: str
    options: list[str]
    axis: str = ""
    """The axis whose title is the chosen option: "xaxis", "yaxis", or none."""
    start: int = 0
    """The option that is chosen at first."""


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
            "choices": [asdict(choice) for choice in self.choices],
            "views": self.views,
            "layout": self.layout,
        }


def figure_of(
    name: str,
    title: str,
    caption: str,
    choices: Sequence[Choice],
    draw: Mapping[tuple[int, ...], list[Trace]],
    layout: Mapping[str, Any],
) -> Figure:
    """Make a figure of what is drawn for the options' numbers; there is nothing to choose from one option."""
    kept = [place for place, choice in enumerate(choices) if len(choice.options) > 1]
    views = {"/".join(str(key[place]) for place in kept): traces for key, traces in draw.items()}
    settled = {choice.axis: choice.options[0] for choice in choices if choice.axis and len(choice.options) == 1}
    titled = {
        key: value | {"title": {"text": settled[key]}} if key in settled else value for key, value in layout.items()
    }
    return Figure(name, title, caption, [choices[place] for place in kept], views, titled)


def axis(title: str, *, log: bool = False, **more: Any) -> dict[str, Any]:
    """Give an axis; Plotly chooses its ticks."""
    scale = {"type": "log", "tickformat": "~s"} if log else {"tickformat": "~s"}
    return {"title": {"text": title}, "automargin": True, **scale, **more}


def digits(value: float | None, count: int = 5) -> float | None:
    """Give a figure of some digits, None for what cannot be drawn."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{count}g}")
