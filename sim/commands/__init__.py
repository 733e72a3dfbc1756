"""Commands: one file each, of the command's name; what it calls `command` is what `vmapsim NAME` does.

What they share is here: exit codes, the session, the console to print on, the bar that shows progress. What a
command needs is imported when it runs, so that `--help` answers at once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import Factory, define

if TYPE_CHECKING:
    from rich.console import Console

CHECK_FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130

PIPE_COLUMNS = 120
"""Columns of the tables where there is no terminal to ask."""


@define
class Session:
    """What is known of a command's results when it is interrupted, and of the screen it will be shown on."""

    terminal: bool
    out: Path = Path()
    finished: list[str] = Factory(list)

    def told(self) -> str:
        """Say what has been written so far."""
        if not self.finished:
            return "nothing was written"
        return f"results of {', '.join(self.finished)} are in {self.out}"

    def console(self, *, quiet: bool = False) -> "Console":
        """Make the console for a command's tables."""
        from rich.console import Console

        return Console(
            quiet=quiet,
            highlight=False,
            force_terminal=self.terminal or None,
            width=None if self.terminal else PIPE_COLUMNS,
        )


def printable(text: str) -> str:
    """Escape what would move the cursor or be cut: a file's name can hold anything."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


@contextmanager
def progress(name: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr while a run lasts, on a terminal and nowhere else."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task(printable(name))
        yield lambda done, total: bar.update(task, completed=done, total=total)
