"""`run`: a scenario and its variants, into results and one screen of tables."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from sim.commands import CHECK_FAILED, Session, printable, progress

if TYPE_CHECKING:
    from rich.console import Console

    from sim.scenario.file import ScenarioFile
    from sim.scenario.model import Scenario, Workload
    from sim.simulation import Outcome

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.toml"
"""What `run` runs when it is given nothing."""


@click.command(
    name="run",
    epilog="The tables and keys of a scenario are in docs/reference/scenario.md, the names in it in `list`. "
    "Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted.",
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
@click.option(
    "--vmallocinfo",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the areas at the end as /proc/vmallocinfo shows them; those of a variant into FILE.VARIANT.",
)
@click.option(
    "--vmallocinfo-order",
    type=click.Choice(["node", "address"]),
    help="The order of FILE: node by node, as the kernel's, or by address [default: node].",
)
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code and the files say it all.")
@click.pass_obj
def command(
    session: Session,
    scenario: Path | None,
    settings: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    engine: str,
    vmallocinfo: Path | None,
    vmallocinfo_order: str | None,
    quiet: bool,
) -> int:
    """Run SCENARIO (a TOML file; without one, the quickstart) and show what it found."""
    from sim.scenario import load_scenarios

    path = scenario or QUICKSTART
    file = load_scenarios(path, settings, seed)
    session.out = out or _default_out(path)
    return _run_all(
        file, session, engine, _state_file(vmallocinfo, vmallocinfo_order), session.console(quiet=quiet)
    )


@frozen
class _StateFile:
    """Where the state at the end goes, and in which order; `path` is None where it is not asked for."""

    path: Path | None
    order: str

    def of(self, variant: str) -> Path | None:
        """Give the file of a variant, "" for a scenario without."""
        if self.path is None or not variant:
            return self.path
        return self.path.with_name(f"{self.path.name}.{variant}")

    def text(self, variant: str, outcome: "Outcome") -> dict[Path, str]:
        """Give the file of a variant with its text, nothing where it is not asked for."""
        from sim.final_state import vmallocinfo_of

        path = self.of(variant)
        return {} if path is None else {path: vmallocinfo_of(outcome, self.order)}


def _state_file(path: Path | None, order: str | None) -> _StateFile:
    from sim.errors import BadInput

    if path is None and order is not None:
        raise BadInput("--vmallocinfo-order", repr(order), "only together with --vmallocinfo")
    if path is not None and path.name in ("", "-", ".."):
        raise BadInput("--vmallocinfo", repr(str(path)), "a file's name")
    return _StateFile(path, order or "node")


def _default_out(path: Path) -> Path:
    if not path.stem.strip(". "):
        from sim.errors import BadInput

        raise BadInput("--out", f"none, and no folder's name in {path.name!r}", "a folder for the results")
    return Path("out") / path.stem


def _run_all(file: "ScenarioFile", session: Session, engine: str, state: _StateFile, console: "Console") -> int:
    """Run a scenario or its variants, write their results, and show them."""
    from sim.results import prepared
    from sim.summary import show_run, show_variants

    named = [(variant.name, variant.scenario) for variant in file.variants] or [("", file.base)]
    folders = [session.out / name for name, _scenario in named]
    states = [path for name, _scenario in named if (path := state.of(name)) is not None]
    _refuse_to_overwrite_results(states, folders)
    results = {}
    with prepared(folders, states):
        for (name, scenario), folder in zip(named, folders, strict=True):
            with progress(name or file.path.stem, console.quiet) as told:
                results[name] = _run_one(
                    scenario, file.path.parent, folder, engine, told, partial(state.text, name)
                )
            session.finished.append(name or file.path.stem)
    where = printable(f"results in {session.out}/")
    title = printable(_title(file.path.name, [scenario for _name, scenario in named], engine))
    if file.variants:
        varied = {variant.name: list(variant.varied) for variant in file.variants}
        show_variants(console, title, results, varied, where)
    else:
        show_run(console, title, results[""], where)
    held = all(check["ok"] for result in results.values() for check in result["checks"].values())
    return 0 if held else CHECK_FAILED


def _run_one(
    scenario: "Scenario",
    beside: Path,
    folder: Path,
    engine: str,
    progress: Callable[[int, int], None],
    state: "Callable[[Outcome], dict[Path, str]]",
) -> dict[str, Any]:
    from sim.log import log_of
    from sim.results import results_of, to_json, write_whole
    from sim.simulation import simulate

    outcome = simulate(scenario, beside, engine=engine, progress=progress)
    results = results_of(outcome)
    write_whole(
        {
            folder / "log.jsonl": log_of(outcome),
            folder / "results.json": to_json(results),
            **state(outcome),
        }
    )
    return results


def _refuse_to_overwrite_results(states: Sequence[Path], folders: Sequence[Path]) -> None:
    from sim.errors import BadInput
    from sim.scenario.file import RESULT_FILES

    taken = {(folder / name).resolve() for folder in folders for name in RESULT_FILES}
    for path in states:
        if path.resolve() in taken:
            raise BadInput("--vmallocinfo", repr(str(path)), "another file than the results'")


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
        _load(workload),
        count_of(scenario.machine.cpus, "CPU"),
        count_of(space.nodes, "node"),
        f"{space.zone_pages}-page zones" if space.zone_pages else "1-byte zones",
        f"{engine} engine",
        f"seed {scenario.seed}",
    )


def _load(workload: "Workload") -> str:
    """Say what a workload of its kind is about."""
    from sim.summary import count_of

    match workload.kind:
        case "trace":
            return workload.file
        case "test_vmalloc":
            test = workload.test_vmalloc
            loops = count_of(test.test_loop_count, "loop")
            return f"mask {test.run_test_mask}, {count_of(test.workers, 'worker')}, {loops}"
        case _:
            return count_of(workload.operations, "operation")
