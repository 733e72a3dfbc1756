"""The page itself: the template page.md with the tables and numbers of the studies in it."""

from pathlib import Path

from jinja2 import Environment, StrictUndefined

from sim.review import answers
from sim.review.answers import Claims, Tables
from sim.review.pictures import Curves, Shares

DATA = "the-review-answered"
"""The page's name, and that of the folder beside it with its tables and pictures."""


def page(tables: Tables) -> str:
    """Make the page; raises `answers.Unsupported` where a sentence is not borne out."""
    claim = Claims([])
    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (Markdown, of our own figures)
    )
    source = (Path(__file__).parent / "page.md").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        studies={name.replace("-", "_"): table for name, table in tables.items()},
        missed=answers.missed(tables, claim),
        scan_order=answers.scan_order(tables, claim),
        percpu=answers.percpu(tables, claim),
        batches=answers.batches(tables, claim),
        node_0=answers.node_0(tables, claim),
        dumps=answers.dumps(tables, claim),
        names=answers,
        data=DATA,
    )


def pictures(tables: Tables) -> dict[str, Curves | Shares]:
    """Give the pictures that the page shows, by file name."""
    return {
        "scan-order.svg": answers.scan_order_picture(tables),
        "dumps.svg": answers.dumps_picture(tables),
    }
