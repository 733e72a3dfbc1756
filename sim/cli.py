"""The command line. Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted.

Bad input and an interrupt are one line on stderr. What a command prints is collected and written when it is
over: a screen that is closed or full costs the text on it, never the files or the exit code.

What a command needs is imported when it runs, so that `--help` answers at once.
"""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from attrs import Factory, define

from protocol.errors import VmapsimError

if TYPE_CHECKING:
    from rich.console import Console

    from sim.scenario.file import ScenarioFile
    from sim.scenario.model import Scenario

QUICKSTART = Path(__file__).parent.parent / "configs" / "quickstart.toml"
"""What `run` runs when it is given nothing."""

CHECK_FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130

PIPE_COLUMNS = 120
"""Columns of the tables where there is no terminal to ask."""

LONGEST_WORD = 300
"""Characters of a word in a message; from a longer one the middle is left out."""


@define
class _Session:
    """What is known of a command's results when it is interrupted, and of the screen it will be shown on."""

    terminal: bool
    out: Path = Path()
    finished: list[str] = Factory(list)

    def told(self) -> str:
        if not self.finished:
            return "nothing was written"
        return f"results of {', '.join(self.finished)} are in {self.out}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; give the exit code. Errors that users cause are one line on stderr."""
    session = _Session(terminal=sys.stdout is not None and sys.stdout.isatty())
    try:
        return _run_and_show(sys.argv[1:] if arguments is None else arguments, session)
    except BaseException as error:
        if not _is_interrupt(error):
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one line is enough for the impatient, too
        _complain(f"interrupted; {session.told()}")
        return INTERRUPTED


def _run_and_show(arguments: Sequence[str], session: _Session) -> int:
    screen = io.StringIO()
    try:
        with redirect_stdout(screen):
            code = _invoke(arguments, session)
    except click.ClickException as error:
        code = _complain(error.format_message())
    except VmapsimError as error:
        code = _complain(str(error))
    except BaseExceptionGroup as group:
        code = _complain(str(_first_of_users(group)))
    problem = _write(sys.stdout, screen.getvalue())
    if problem is not None and not isinstance(problem, BrokenPipeError):
        _complain(f"the screen cannot be written ({problem})")
    return code


def _invoke(arguments: Sequence[str], session: _Session) -> int:
    """Do what click's own `main` does, without its opinion on interrupts and broken pipes."""
    try:
        with _cli.make_context("vmapsim", list(arguments), obj=session) as context:
            code = _cli.invoke(context)
    except click.exceptions.Exit as end:
        code = end.exit_code
    return code if isinstance(code, int) else 0


def _is_interrupt(error: BaseException) -> bool:
    """Whether it is one, alone or among what the actors raised meanwhile."""
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt) is not None
    )


def _first_of_users(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the first error of a group that users caused; raises the group when somebody else caused one of them."""
    theirs, others = group.split(VmapsimError)
    if theirs is None or others is not None:
        raise group
    first: BaseException = theirs
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def _complain(text: str) -> int:
    words = (
        word if len(word) <= LONGEST_WORD else f"{word[: LONGEST_WORD // 2]}…{word[-LONGEST_WORD // 2 :]}"
        for word in text.split()
    )
    _write(sys.stderr, f"vmapsim: {_printable(' '.join(words))}\n")
    return BAD_INPUT


def _printable(text: str) -> str:
    """Escape what would move the cursor or be cut: a file's name can hold anything."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


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


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.version_option(package_name="vmapsim")
@click.pass_context
def _cli(context: click.Context) -> None:
    """Linux's vmap nodes as trio actors, in deterministic virtual time."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@_cli.command(
    epilog="The tables and keys of a scenario are in docs/reference/scenario.md, the names in it in `list`. "
    "Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted."
)
@click.argument("scenario", type=click.Path(path_type=Path), required=False)
@click.option("--set", "settings", multiple=True, metavar="TABLE.KEY=VALUE", help="Change a key; may be repeated.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), metavar="N", help="Change the seed.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for results [default: out/SCENARIO].")
@click.option(
    "--engine",
    type=click.Choice(["virtual", "live"]),
    default="virtual",
    show_default=True,
    help="Virtual time, or real trio channels on the wall clock.",
)
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code and the files say it all.")
@click.pass_obj
def run(
    session: _Session,
    scenario: Path | None,
    settings: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    engine: str,
    quiet: bool,
) -> int:
    """Run SCENARIO (a TOML file; without one, the quickstart) and show what it found."""
    from rich.console import Console

    from sim.scenario import load_scenarios

    path = scenario or QUICKSTART
    file = load_scenarios(path, settings, seed)
    session.out = out or _default_out(path)
    console = Console(
        quiet=quiet,
        highlight=False,
        force_terminal=session.terminal or None,
        width=None if session.terminal else PIPE_COLUMNS,
    )
    return _run_all(file, session, engine, console)


def _default_out(path: Path) -> Path:
    if not path.stem.strip(". "):
        from sim.errors import BadInput

        raise BadInput("--out", f"none, and no folder's name in {path.name!r}", "a folder for the results")
    return Path("out") / path.stem


@_cli.command(name="list")
@click.argument("what", type=click.Choice(["kernels", "policies", "strategies", "workloads", "costs"]))
def list_(what: str) -> None:
    """List what scenarios can name, each with a line of explanation."""
    from sim.catalogue import CATALOGUES

    entries = CATALOGUES[what]()
    width = max(len(name) for name in entries)
    for name, summary in entries.items():
        click.echo(f"{name:<{width}}  {summary}")


def _run_all(file: "ScenarioFile", session: _Session, engine: str, console: "Console") -> int:
    """Run a scenario or its variants, write their results, and show them."""
    from sim.results import prepared
    from sim.summary import show_run, show_variants

    named = [(variant.name, variant.scenario) for variant in file.variants] or [("", file.base)]
    folders = [session.out / name for name, _scenario in named]
    results = {}
    with prepared(folders):
        for (name, scenario), folder in zip(named, folders, strict=True):
            with _progress(name or file.path.stem, console.quiet) as progress:
                results[name] = _run_one(scenario, file.path.parent, folder, engine, progress)
            session.finished.append(name or file.path.stem)
    where = _printable(f"results in {session.out}/")
    title = _printable(_title(file.path.name, [scenario for _name, scenario in named], engine))
    if file.variants:
        varied = {variant.name: list(variant.varied) for variant in file.variants}
        show_variants(console, title, results, varied, where)
    else:
        show_run(console, title, results[""], where)
    held = all(check["ok"] for result in results.values() for check in result["checks"].values())
    return 0 if held else CHECK_FAILED


def _run_one(
    scenario: "Scenario", beside: Path, folder: Path, engine: str, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    from sim.log import log_of
    from sim.results import results_of, to_json, write_files
    from sim.simulation import simulate

    outcome = simulate(scenario, beside, engine=engine, progress=progress)
    results = results_of(outcome)
    write_files(folder, {"log.jsonl": log_of(outcome), "results.json": to_json(results)})
    return results


def _title(name: str, scenarios: "Sequence[Scenario]", engine: str) -> str:
    """Say what was run, as far as it holds for all of the scenarios."""
    described = [_described(scenario, engine) for scenario in scenarios]
    agreed = [words[0] for words in zip(*described, strict=True) if len(set(words)) == 1]
    return f"{name}: {', '.join(agreed)}"


def _described(scenario: "Scenario", engine: str) -> tuple[str, ...]:
    from sim.summary import count_of

    space, workload = scenario.space, scenario.workload
    return (
        workload.kind,
        workload.file if workload.kind == "trace" else count_of(workload.operations, "operation"),
        count_of(scenario.machine.cpus, "CPU"),
        count_of(space.nodes, "node"),
        f"{space.zone_pages}-page zones",
        f"{engine} engine",
        f"seed {scenario.seed}",
    )


@contextmanager
def _progress(name: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr while a run lasts, on a terminal and nowhere else."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task(_printable(name))
        yield lambda done, total: bar.update(task, completed=done, total=total)
