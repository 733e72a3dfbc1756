"""Commands: one file each, of the command's name; what it calls `command` is what `vmapsim NAME` does.

What they share is here: exit codes, options, the session, the console to print on, the bar that shows progress;
what those share that run a scenario is in `_running.py`. What a command needs is imported when it runs, so that
`--help` answers at once; attrs would be a third of what it loads.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

CHECK_FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

PIPE_COLUMNS = 120
"""Columns of the tables where there is no terminal to ask."""


@dataclass
class Session:
    """What is known of a command's results when it is interrupted, and of the screen it will be shown on."""

    terminal: bool
    out: Path = Path()
    finished: list[str] = field(default_factory=list)
    nothing: str = "nothing was written"
    """Says what there is while there are no results."""
    kept: Callable[[], str] | None = None
    """Says what an interrupted command can go on with, where it can."""

    def told(self) -> str:
        """Say what has been written so far."""
        if self.kept is not None:
            return self.kept()
        if not self.finished:
            return self.nothing
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


class Whole(click.IntRange):
    """An integer from `low` to `high`, as an option's value; what is none is told in the words of all messages."""

    def __init__(self, low: int, high: int | None = None, top: str = "") -> None:
        """Allow `low` to `high`, which messages call `top`; without it, all from `low` on."""
        super().__init__(low, high)
        self._words = f"of at least {low}" if high is None else f"from {low} to {top or high}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType.convert`."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"found {value!r}; allowed: an integer {self._words}", param, ctx)


def set_option(does: str) -> Callable[[Decorated], Decorated]:
    """Give a command the option `--set`, the texts of which it gets as `settings`."""
    return click.option("--set", "settings", multiple=True, metavar="TABLE.KEY=VALUE", help=does)


def seed_option(does: str) -> Callable[[Decorated], Decorated]:
    """Give a command the option `--seed`."""
    return click.option("--seed", type=Whole(0, 2**64 - 1, "2**64 - 1"), metavar="N", help=does)


def out_option(is_what: str, metavar: str | None = None) -> Callable[[Decorated], Decorated]:
    """Give a command the option `--out`."""
    return click.option("--out", type=click.Path(path_type=Path), metavar=metavar, help=is_what)


def jobs_option() -> Callable[[Decorated], Decorated]:
    """Give a command the option `--jobs`."""
    return click.option("--jobs", type=Whole(1, 4096), metavar="N", help="Processes [default: all cores].")


def quiet_option(written: str) -> Callable[[Decorated], Decorated]:
    """Give a command the option `--quiet`; `written` is what is left to read."""
    return click.option("--quiet", is_flag=True, help=f"Print nothing; the exit code and {written} say it all.")


def with_extensions(command: Decorated) -> Decorated:
    """Give a command the option `--extension`: files that are loaded before it runs, until it is over."""
    return click.option(
        "--extension",
        "extensions",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        callback=_load_extensions,
        expose_value=False,
        help="A Python file: one policy, strategy, … more (docs/how-to/extend.md); may be repeated.",
    )(command)


def _load_extensions(context: click.Context, _option: object, paths: tuple[Path, ...]) -> None:
    if paths:
        from sim import extensions

        context.call_on_close(extensions.unload)
        try:
            for path in paths:
                extensions.load(path)
        except BaseException:
            context.close()  # click does not where reading the arguments fails
            raise


def default_out(path: Path) -> Path:
    """Give the folder for the results of the file at `path`. Raises `BadInput` where its name gives none."""
    if not path.stem.strip(". "):
        from sim.errors import BadInput

        raise BadInput("--out", f"none, and no folder's name in {path.name!r}", "a folder for the results")
    return Path("out") / path.stem


def printable(text: str) -> str:
    """Escape what would move the cursor or be cut: a file's name can hold anything."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


@contextmanager
def bar(name: str, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar on stderr while something lasts, on a terminal and nowhere else.

    It is told what is done, of how much, and a note that stands beside it.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _done, _total, _note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as shown:
        task = shown.add_task(printable(name), note="")
        yield lambda done, total, note: shown.update(task, completed=done, total=total, note=note)


@contextmanager
def progress(name: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how many operations of a run are done, how many in a second, and the time left."""
    begun_s = time.monotonic()
    with bar(name, quiet) as told:
        yield lambda done, total: told(done, total, rate(done, begun_s))


def rate(operations: int, begun_s: float) -> str:
    """Say how many operations a second there were since `begun_s` of `time.monotonic`."""
    return f"{operations / max(1e-3, time.monotonic() - begun_s):,.0f} operations/s"
