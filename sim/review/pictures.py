"""The page's pictures, as SVG: the same bytes for the same tables and the same matplotlib.

matplotlib is needed to draw them only (extra `dev`); the page itself does without. Each picture says in its
description which figures it shows (`drawn_from`), so that a stale one is found without drawing it.
"""

import hashlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73")
"""Of lines: Okabe and Ito's, told apart by the colour-blind too."""

PARTS = ("#009e73", "#999999", "#d55e00", "#e69f00")
"""Of the parts of bars."""

STYLE: Any = {
    "svg.hashsalt": "vmapsim",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}


@frozen
class Line:
    """Means with the ends of their intervals, over numbers."""

    name: str
    xs: Sequence[float]
    means: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]
    colour: int
    dashed: bool = False


@frozen
class Lines:
    """A panel of lines on logarithmic axes."""

    title: str
    across: str
    lines: Sequence[Line]


@frozen
class Bars:
    """A panel of bars, each of parts that add up to 1, in the order of `Shares.parts`."""

    title: str
    bars: Sequence[tuple[str, Sequence[float]]]


@frozen
class Curves:
    """A picture of panels with lines, side by side."""

    up: str
    panels: Sequence[Lines]


@frozen
class Shares:
    """A picture of panels with bars, side by side."""

    parts: Sequence[str]
    panels: Sequence[Bars]


def drawn_from(picture: Curves | Shares) -> str:
    """Give the words that a picture of these figures has in its description."""
    return f"sha256:{hashlib.sha256(repr(picture).encode()).hexdigest()}"


def draw(picture: Curves | Shares) -> str:
    """Draw a picture."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.6), layout="constrained")
        axes = figure.subplots(1, len(picture.panels), sharey=True, squeeze=False)[0]
        if isinstance(picture, Curves):
            for where, lines in zip(axes, picture.panels, strict=True):
                _draw_lines(where, lines)
            axes[0].set_ylabel(picture.up)
        else:
            for where, bars in zip(axes, picture.panels, strict=True):
                _draw_bars(where, bars, picture.parts)
            axes[0].invert_yaxis()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False)
        sink = io.StringIO()
        figure.savefig(sink, format="svg", metadata={"Date": None, "Description": drawn_from(picture)})
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()) + "\n"


def _draw_lines(where: "Axes", panel: Lines) -> None:
    for line in panel.lines:
        below = [mean - low for mean, low in zip(line.means, line.lows, strict=True)]
        above = [high - mean for mean, high in zip(line.means, line.highs, strict=True)]
        where.errorbar(
            line.xs,
            line.means,
            yerr=[below, above],
            label=line.name,
            color=COLOURS[line.colour],
            linestyle="--" if line.dashed else "-",
            marker="o",
            markersize=4,
            capsize=2,
        )
    xs = sorted({x for line in panel.lines for x in line.xs})
    where.set_xscale("log", base=2)
    where.set_yscale("log")
    where.set_xticks(xs, [f"{x:g}" for x in xs])
    where.minorticks_off()
    where.yaxis.set_major_formatter("{x:,.0f}")
    where.set_xlabel(panel.across)
    where.set_title(panel.title, fontsize=10)
    where.grid(axis="y", alpha=0.3)


def _draw_bars(where: "Axes", panel: Bars, parts: Sequence[str]) -> None:
    names = [name for name, _shares in panel.bars]
    left = [0.0] * len(names)
    for number, part in enumerate(parts):
        widths = [shares[number] for _name, shares in panel.bars]
        where.barh(names, widths, left=left, label=part, color=PARTS[number], height=0.7)
        left = [begin + width for begin, width in zip(left, widths, strict=True)]
    where.set_xlim(0, 1)
    where.set_xticks([0, 0.5, 1])
    where.xaxis.set_major_formatter("{x:.0%}")
    where.set_title(panel.title, fontsize=10)
