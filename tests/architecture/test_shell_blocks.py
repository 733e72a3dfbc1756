"""The sh blocks of the documentation: all are read as a shell and the program would, and run where that can be."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from sim import cli
from sim.commands import Session
from sim.scenario import load_scenarios
from sim.study.model import load_study
from tests.docs import DOCUMENTS, ROOT, parsed, scripts, write_files

SHELL = "/bin/sh"

BUILT_IN = ("cd", "echo", "wait")
"""What a shell does itself."""

ELSEWHERE = ("trace-cmd", "perf", "ssh")
"""What a machine has that is recorded; the one with the documentation need not have it."""

SCRIPTS = [(document, script) for document in DOCUMENTS for script in scripts(document)]
LINES = [(document, line) for document, script in SCRIPTS for line in script.splitlines() if "./dev " in line]
SPANS = [
    (document, span)
    for document in DOCUMENTS
    for span in re.findall(r"`(\./dev [^`]+)`", document.read_text(encoding="utf-8"))
    if not re.search(r"\b[A-Z]{3,}\b", span)
]
"""Commands in running text, but for those that leave a word open (STUDY.toml)."""

INPUTS = ("members", "initial", "vmallocinfo", "extensions")
"""Options that name a file to read; a vmallocinfo is one of `replay` and no other's."""


def named(case: tuple[Path, str]) -> str:
    return f"{case[0].stem}: {case[1].splitlines()[0][:50]}"


@pytest.mark.parametrize("case", SCRIPTS, ids=named)
def test_a_shell_can_read_it_and_its_programs_are_known(case: tuple[Path, str]) -> None:
    """Sound syntax; each command is the shell's, the project's, on every machine, or one that is listed here."""
    _document, script = case
    assert subprocess.run([SHELL, "-n"], input=script, text=True, check=False).returncode == 0
    for command in parsed(script):
        program, *arguments = command.words
        if program == "python":
            assert arguments[0] == "-m"
            assert find_spec(arguments[1]) is not None, arguments[1]
        elif program != "./dev":
            assert program in BUILT_IN or program in ELSEWHERE or shutil.which(program), program


@pytest.mark.parametrize("case", [*LINES, *SPANS], ids=named)
def test_the_program_takes_the_command_and_files_are_there(
    case: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sub-command, options and values are accepted, keys exist; files are the repository's or the page's own."""
    document, line = case
    monkeypatch.chdir(tmp_path)
    for name in ("configs", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    write_files(document, tmp_path)
    made = {file for script in scripts(document) for command in parsed(script) for file in command.written}
    for command in parsed(line):
        if command.words[0] != "./dev":
            continue
        if command.words[1] == "test":
            assert all(Path(word).exists() for word in command.words if "/" in word[1:] and word != "./dev")
            continue
        context = _context(command.words[1:])
        for file in _files_read(context):
            assert Path(file).exists() or file in {"-", *made}, file
        _read(context)


def _context(words: list[str]) -> click.Context:
    """Have the program read its arguments, without doing anything. Raises `click.UsageError`."""
    session = Session(terminal=False)
    with cli.group.make_context("vmapsim", words, obj=session) as whole:
        command = cli.group.get_command(whole, words[0])
        assert command is not None, words[0]
        return command.make_context(words[0], words[1:], parent=whole)


def _files_read(context: click.Context) -> list[str]:
    read = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        reads = isinstance(parameter, click.Argument) or parameter.name in INPUTS
        if isinstance(value, Path) and reads and (parameter.name, context.info_name) != ("vmallocinfo", "run"):
            read.append(str(value))
    return read


def _read(context: click.Context) -> None:
    """Read the scenario or the study of a command, with the keys that it sets. Raises `BadInput`."""
    settings, seed = context.params.get("settings", ()), context.params.get("seed")
    if "scenario" in context.params and context.params["scenario"] is not None:
        load_scenarios(context.params["scenario"], settings, seed)
    if "study" in context.params:
        load_study(context.params["study"], settings, seed)


# -- running them -----------------------------------------------------------------------------------

COVERED = {
    "configs/review/": "tests/architecture/test_studies.py",
    "configs/studies/policies.toml": "tests/architecture/test_studies.py",
    "configs/studies/coverage.toml": "tests/live/test_queueing_theory.py",
    "configs/published/lockstat.toml": "tests/golden/test_lockstat.py",
}
"""What other tests run to its end, and which."""

RUN = [
    case
    for case in LINES
    if not any(file in case[1] for file in COVERED)
    and not any(case[1].startswith(f"./dev {word} ") for word in ("serve", "drive", "test"))
    and case[1] != "./dev test"
]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ./dev, the shipped trace as what was recorded, and a machine that ssh goes to."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    programs = {"dev": f'exec {sys.executable} -P -m sim "$@"', "bin/ssh": "gzip -dc trace.txt.gz"}
    for name, text in programs.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    recorded = ROOT / "configs/traces/deb-smp4.txt.gz"
    for copy in ("trace.txt.gz", "mine.txt.gz"):
        shutil.copy(recorded, tmp_path / copy)
    area = "0xffffe8ffffe00000-0xffffe8fffff00000 1048576 pcpu_get_vm_areas+0x0/0xee0 vmalloc\n"
    (tmp_path / "vmallocinfo-start.txt").write_text(area)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("case", RUN, ids=named)
def test_it_runs(case: tuple[Path, str]) -> None:
    """As it stands there, in a shell: exit code 0."""
    subprocess.run([SHELL, "-c", case[1]], check=True)


@pytest.mark.slow
def test_a_cluster_by_hand_runs(machine: Path) -> None:
    """The servers of the page in the background, its members' file, and its drive: all checks hold."""
    document = ROOT / "docs/how-to/run-a-cluster.md"
    (machine / "var").mkdir()
    servers, drive, _elsewhere = [_moved(script, machine) for script in scripts(document)]
    write_files(document, machine)
    members = machine / "members.toml"
    members.write_text(_moved(members.read_text(), machine))
    running = [subprocess.Popen([SHELL, "-c", f"exec {line}"]) for line in servers.splitlines()]
    try:
        subprocess.run([SHELL, "-c", drive], check=True)
    finally:
        for server in running:
            server.terminate()
    assert [server.wait() for server in running] == [0] * len(running)


def _moved(text: str, machine: Path) -> str:
    """Have sockets and state in a folder of the test's own."""
    return re.sub(r"/(var/)?tmp/", f"{machine}/\\1", text)
