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


@pytest.mark.parametrize(("command", "shown"), commands(), ids=lambda text: text.partition("\n")[0][:60])
def test_commands_run_and_print_what_is_shown(
    command: str,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A command in the documents exits with 0; where output is shown, it prints that, but for the times."""
    words = shlex.split(command)
    assert words[0] == "./dev"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    assert main(words[1:]) == 0
    printed = capfd.readouterr().out
    if shown.strip():
        assert _lines(printed) == _lines(shown)


def _lines(text: str) -> list[str]:
    return [SHOWN_TIMES.sub("", line).rstrip() for line in text.splitlines()]
