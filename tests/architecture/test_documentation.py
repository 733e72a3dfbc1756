"""Documentation is true: generated pages are fresh, links lead somewhere, commands and Python do what is shown."""

import re
import shlex
from pathlib import Path

import pytest

from sim import extensions
from sim.cli import main
from sim.reference import PAGES
from tests.docs import DOCUMENTS, ROOT, blocks, commands, snippets, write_files

LINK = re.compile(r"\[[^\]]*\]\(([^)#:]+)(?:#[^)]*)?\)")

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


COMMANDS = [(document, *command) for document in DOCUMENTS for command in commands(document)]
LONG = ("configs/studies/span-directory.toml", "configs/studies/adaptive.toml")
"""What takes a dozen seconds: studies of many cells."""

SHOWING = [
    pytest.param(*command, id=command[1][:60], marks=[pytest.mark.slow] if command[1].endswith(LONG) else [])
    for command in COMMANDS
    if command[2].strip()
]
SILENT = [pytest.param(*command[:2], id=command[1][:60]) for command in COMMANDS if not command[2].strip()]
SPEAKING = [document for document in DOCUMENTS if snippets(document)]


@pytest.fixture(autouse=True)
def folder_with_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in a folder of their own, beside the repository's scenarios."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")


@pytest.mark.parametrize(("document", "command", "shown"), SHOWING)
def test_commands_print_what_is_shown(
    document: Path, command: str, shown: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A command with its output in the documents exits with 0 and prints that, but for times; … are lines."""
    write_files(document, tmp_path)
    *before, last = command.split(" && ")
    assert [main(_arguments(one)) for one in before] == [0] * len(before)
    capfd.readouterr()
    assert main(_arguments(last)) == 0
    printed = _lines(capfd.readouterr().out)
    for part in "\n".join(_lines(shown)).split("\n…\n"):
        assert part in "\n".join(printed)
    if "…" not in _lines(shown):
        assert printed == _lines(shown)


@pytest.mark.parametrize(("document", "command"), SILENT)
def test_commands_run_in_short(document: Path, command: str, tmp_path: Path) -> None:
    """A command without its output in the documents exits with 0, on fewer operations where it names no number."""
    write_files(document, tmp_path)
    arguments = _arguments(command)
    if arguments[0] == "run" and not any(word.startswith("workload.") for word in arguments):
        arguments += ["--set", "workload.operations=2000"]
    assert main(arguments) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("document", "command"), SILENT)
def test_commands_run(document: Path, command: str, tmp_path: Path) -> None:
    """The same as it stands there."""
    write_files(document, tmp_path)
    assert main(_arguments(command)) == 0


def test_the_site_builds_and_no_link_of_it_is_broken(tmp_path: Path) -> None:
    """Strictly; and nothing in it comes from elsewhere. (404.html is for servers; its links begin at a root.)

    Every block of code of a page is one in the site, also those in lists.
    """
    for _time in ("new", "replaced"):
        assert main(["docs", "--out", str(tmp_path / "site")]) == 0
    site = tmp_path / "site"
    pages = {path.relative_to(site).as_posix(): path.read_text() for path in site.rglob("[!4]*.html")}
    assert "how-to/extend.html" in pages
    for name, text in pages.items():
        assert not re.findall(r'(?:src=|<link[^>]* href=)"(?:https?:)?//', text), name
        for target in re.findall(r'href="([^"#:]+\.html)', text):
            assert (site / name).parent.joinpath(target).exists(), f"{name}: {target}"
        source = ROOT / "docs" / name.replace(".html", ".md")
        if source.exists():
            assert text.count('<div class="highlight">') >= len(blocks(source)), name
            assert "```" not in text, name


@pytest.mark.parametrize(
    ("out", "problem"),
    [
        ("mine", "mine/ with something else in it; allowed: a folder that is new, or empty, or a site made before"),
        ("mine/notes.txt", "mine/notes.txt, which is no folder; allowed: a folder that is new"),
    ],
)
def test_the_site_replaces_nothing_but_a_site(
    out: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What builds it empties its folder: one that holds anything else is left alone."""
    monkeypatch.chdir(tmp_path)
    notes = Path("mine/notes.txt")
    notes.parent.mkdir()
    notes.write_text("dear to me")
    assert main(["docs", "--out", out]) == 2
    assert problem in capsys.readouterr().err
    assert notes.read_text() == "dear to me"


@pytest.mark.parametrize("document", SPEAKING, ids=lambda path: path.name)
def test_python_prints_what_is_shown(document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each block of Python goes on from the one before, and prints what stands under it."""
    write_files(document, tmp_path)
    names: dict[str, object] = {}
    try:
        for source, shown in snippets(document):
            exec(compile(source, str(document), "exec"), names)
            assert _lines(capsys.readouterr().out) == _lines(shown)
    finally:
        extensions.unload()


def _arguments(command: str) -> list[str]:
    program, *arguments = shlex.split(command)
    assert program == "./dev"
    return arguments


def _lines(text: str) -> list[str]:
    return [SHOWN_TIMES.sub("", line).rstrip() for line in text.splitlines()]
