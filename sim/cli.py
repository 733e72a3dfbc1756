"""The command line. Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted, 143 terminated.

Bad input and an interrupt are one line on stderr. What a command prints is collected and written when it is
over: a screen that is closed or full costs the text on it, never the files or the exit code.

What a command needs is imported when it runs, so that `--help` answers at once.
"""

import importlib
import io
import os
import pkgutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO

import click

import sim.commands
from protocol.errors import VmapsimError
from sim.commands import BAD_INPUT, INTERRUPTED, TERMINATED, Session, printable
from sim.errors import is_interrupt

LONGEST_WORD = 300
"""Characters of a word in a message; from a longer one the middle is left out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; give the exit code. Errors that users cause are one line on stderr."""
    session = Session(terminal=sys.stdout is not None and sys.stdout.isatty())
    with _terminable() as terminated:
        try:
            return _run_and_show(sys.argv[1:] if arguments is None else arguments, session)
        except BaseException as error:
            if not is_interrupt(error):
                raise
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # one line is enough for the impatient, too
            _complain(f"{'terminated' if terminated else 'interrupted'}; {session.told()}")
            return TERMINATED if terminated else INTERRUPTED


@contextmanager
def _terminable() -> Iterator[list[int]]:
    """Let SIGTERM end a command in order, as an interrupt does; gives the signals that came.

    It becomes an interrupt, which trio knows to raise where it can be. Where interrupts are ignored, as a shell has
    it for what runs in the background, they are blocked instead, until then.
    """
    came: list[int] = []

    def end(number: int, _frame: object) -> None:
        came.append(number)
        signal.raise_signal(signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    if threading.current_thread() is not threading.main_thread():
        yield came  # signals are the main thread's
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted == signal.SIG_IGN:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, signal.default_int_handler)
    terminated = signal.signal(signal.SIGTERM, end)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, terminated)
        if interrupted == signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _run_and_show(arguments: Sequence[str], session: Session) -> int:
    screen = io.StringIO()
    try:
        with redirect_stdout(screen):
            code = _invoke(arguments, session)
    except click.ClickException as error:
        code = _complain(error.format_message())
    except BaseException as error:
        if is_interrupt(error):
            raise
        theirs = list(_users(error))
        if None in theirs:
            raise
        code = _complain(str(theirs[0]))
    problem = _write(sys.stdout, screen.getvalue())
    if problem is not None and not isinstance(problem, BrokenPipeError):
        _complain(f"the screen cannot be written ({problem})")
    return code


def _invoke(arguments: Sequence[str], session: Session) -> int:
    """Do what click's own `main` does, without its opinion on interrupts and broken pipes."""
    try:
        with group.make_context("vmapsim", list(arguments), obj=session) as context:
            code = group.invoke(context)
    except click.exceptions.Exit as end:
        code = end.exit_code
    return code if isinstance(code, int) else 0


def _users(error: BaseException) -> Iterator[Exception | None]:
    """Give of an error, or of each of a group, the one that a user caused; None where no user did."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _users(one)
    elif isinstance(error, VmapsimError):
        yield error
    else:
        from sim.extensions import blamed

        yield blamed(error)


def _complain(text: str) -> int:
    words = (
        word if len(word) <= LONGEST_WORD else f"{word[: LONGEST_WORD // 2]}…{word[-LONGEST_WORD // 2 :]}"
        for word in text.split()
    )
    _write(sys.stderr, f"vmapsim: {printable(' '.join(words))}\n")
    return BAD_INPUT


def _write(stream: TextIO | None, text: str) -> Exception | None:
    """Write to a screen that may be closed, full, gone, or poor in letters; give what stood in the way."""
    if stream is None:
        return None
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):  # what is left in the buffer must not fail again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


class _Commands(click.Group):
    """The commands that the folder `sim/commands` holds, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's shape)
        """See `click.Group`: the files' names, but those that begin with an underscore."""
        files = [module.name for module in pkgutil.iter_modules(sim.commands.__path__)]
        return sorted(name.replace("_", "-") for name in files if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See `click.Group`: what the file calls `command`."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = f"{sim.commands.__name__}.{cmd_name.replace('-', '_')}"
        command: click.Command = importlib.import_module(module).command
        return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
    epilog="./dev test runs the tests.",
)
@click.version_option(package_name="vmapsim")
@click.pass_context
def group(context: click.Context) -> None:
    """Linux's vmap nodes as trio actors, in deterministic virtual time."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
