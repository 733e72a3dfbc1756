"""Documentation is true: generated pages are fresh, links lead somewhere, commands run and print what is shown."""

import re
import shlex
from pathlib import Path

import pytest

from sim.cli import main
from sim.reference import PAGES

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("configs/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#:]+)(?:#[^)]*)?\)")
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)

SHOWN_TIMES = re.compile(r" in [\d.]+ s \([\d,]+/s\)")
"""The one thing on the screen that differs between equal runs."""


@pytest.mark.parametrize("name", sorted(PAGES))
def test_generated_pages_are_fresh(name: str) -> None:
    """A page is what the code gives; `python -m sim.reference docs/reference` writes it anew."""
    assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == PAGES[name]()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    """Every relative link of a document leads to a file or folder of the repository."""
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def commands() -> list[tuple[str, str]]:
    """Give the `./dev` commands of all documents, with the output that is shown under each."""
    found = []
    for document in DOCUMENTS:
        for block in CONSOLE.findall(document.read_text(encoding="utf-8")):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append((command, output))
    return found


SHOWING = [(command, shown) for command, shown in commands() if shown.strip()]
SILENT = [command for command, shown in commands() if not shown.strip()]


@pytest.fixture(autouse=True)
def folder_with_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in a folder of their own, beside the repository's scenarios."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")


@pytest.mark.parametrize(("command", "shown"), SHOWING, ids=[command[:60] for command, _shown in SHOWING])
def test_commands_print_what_is_shown(command: str, shown: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A command with its output in the documents exits with 0 and prints that, but for the times."""
    assert main(_arguments(command)) == 0
    assert _lines(capfd.readouterr().out) == _lines(shown)


@pytest.mark.parametrize("command", SILENT, ids=[command[:60] for command in SILENT])
def test_commands_run_in_short(command: str) -> None:
    """A command without its output in the documents exits with 0, on fewer operations where it names no number."""
    arguments = _arguments(command)
    if arguments[0] == "run" and not any(word.startswith("workload.") for word in arguments):
        arguments += ["--set", "workload.operations=2000"]
    assert main(arguments) == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", SILENT, ids=[command[:60] for command in SILENT])
def test_commands_run(command: str) -> None:
    """The same as it stands there."""
    assert main(_arguments(command)) == 0


def _arguments(command: str) -> list[str]:
    program, *arguments = shlex.split(command)
    assert program == "./dev"
    return arguments


def _lines(text: str) -> list[str]:
    return [SHOWN_TIMES.sub("", line).rstrip() for line in text.splitlines()]
