"""A small table on the screen: a title, columns of which the first is text and the others are figures."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def show_table(console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print `rows` under `title`; nothing in them is read as markup."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column(Text(columns[0]), no_wrap=True)
    for column in columns[1:]:
        table.add_column(Text(column), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(Text(title, style="italic"))
    console.print(table)
