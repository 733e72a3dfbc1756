"""Studies from the command line: the same bytes whoever runs them, interrupted or not; mistakes are one line."""

import html
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest

from sim.cli import main
from sim.study import campaign, store
from sim.study.cells import cells_of
from sim.study.model import load_study
from sim.study.outputs import outputs_of
from sim.study.runners import Cluster
from sim.study.store import FILE
from tests.unit.sim.study import STUDY, replicate_and_die_once, written

ROOT = Path(__file__).parents[2]

DYING = """
import os, signal, sys
import sim.study.store as store
from sim.cli import main

added = 0
add, line = store.Store.add, store._line

def add_and_die(self, key, record):
    global added
    added += 1
    if added == {last} and {torn}:
        self._file.write(line(key, record)[:100])
        self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    add(self, key, record)
    if added == {last}:
        os.kill(os.getpid(), signal.SIGKILL)

store.Store.add = add_and_die
main(sys.argv[1:])
"""
"""The program, which the system kills after some replications, between two or in the middle of writing one."""


def study(*arguments: object) -> int:
    return main(["study", *map(str, arguments), "--quiet"])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that one process ran from beginning to end; its files are in the folder "alone" beside it."""
    folder = tmp_path_factory.mktemp("study")
    assert study(written(folder), "--out", folder / "alone", "--jobs", 1) == 0
    return folder / "study.toml"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Dask cluster of two processes on loopback."""
    start: Any = distributed.LocalCluster
    with start(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as started:
        yield started


def test_a_study_leaves_its_tables(undisturbed: Path) -> None:
    """Three tables in two formats, a summary, the report, the replications, and nothing else."""
    files = {path.name for path in (undisturbed.parent / "alone").iterdir()}
    tables = {f"{name}.{kind}" for name in ("cells", "comparisons", "replications") for kind in ("csv", "parquet")}
    assert files == tables | {"study.json", FILE, "report.html"}


def test_two_processes_give_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    """Every file of a study is the same, whatever the number of processes."""
    assert study(undisturbed, "--out", tmp_path / "out", "--jobs", 2) == 0
    assert contents(tmp_path / "out") == contents(undisturbed.parent / "alone")


@pytest.mark.parametrize("torn", [False, True], ids=["between records", "in a record"])
def test_a_study_that_was_killed_goes_on(undisturbed: Path, tmp_path: Path, torn: bool) -> None:
    """kill -9 in the middle, run again: nothing lost, nothing twice, the same final bytes."""
    arguments = ["study", str(undisturbed), "--out", str(tmp_path / "out"), "--jobs", "1", "--quiet"]
    program = DYING.format(last=5, torn=torn)
    killed = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == [FILE]
    kept = (tmp_path / "out" / FILE).read_bytes().split(b"\n")[: 5 - torn]
    runs = load_study(undisturbed)
    with store.opened(tmp_path / "out") as replications:
        assert len(replications) == 5 - torn
        missing = sum(
            len(found) if isinstance(found := campaign.judge(runs, cell, replications, {}), list) else 0
            for cell in cells_of(runs)
        )
    assert missing == 2 * 6 - (5 - torn) + 2 * 3, (
        "the other pilots, and three replications of the two that have theirs"
    )
    assert main(arguments) == 0
    assert contents(tmp_path / "out") == contents(undisturbed.parent / "alone")
    assert set(kept) <= set((tmp_path / "out" / FILE).read_bytes().split(b"\n"))


@pytest.mark.parametrize("signals", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_study_that_is_terminated_ends_at_once(tmp_path: Path, jobs: int, signals: int) -> None:
    """Also by the impatient, and with workers in the middle of something long: what they are at is lost anyway."""
    path = written(tmp_path)
    (tmp_path / "small.toml").write_text("[workload]\noperations = 30_000_000\npreload_areas = 50\n")
    command = [sys.executable, "-m", "sim", "study", str(path), "--out", str(tmp_path / "out"), "--jobs", str(jobs)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while len(children.read_text().split()) < jobs + 1:  # the workers, and who keeps track of resources
            assert process.poll() is None, "it ended before it began"
            time.sleep(0.02)
        time.sleep(0.5)
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
        _out, error = process.communicate(timeout=30)
    assert process.returncode == 143
    assert error.decode().startswith("vmapsim: terminated; ")
    assert error.decode().count("\n") == 1


def test_a_cluster_gives_the_same_bytes(undisturbed: Path, tmp_path: Path, cluster: Any) -> None:
    """Two Dask workers, reached by address, leave what one process here leaves."""
    assert study(undisturbed, "--out", tmp_path / "out", "--scheduler", cluster.scheduler_address) == 0
    assert contents(tmp_path / "out") == contents(undisturbed.parent / "alone")


def test_a_worker_of_the_cluster_may_die(undisturbed: Path, tmp_path: Path, cluster: Any) -> None:
    """A worker's process is killed in the middle of a replication: its work is done again, to the same bytes."""
    written(tmp_path)
    asked = load_study(tmp_path / "study.toml")
    with store.opened(tmp_path) as replications:
        results = campaign.conduct(
            asked, cells_of(asked), replications, Cluster(cluster.scheduler_address, 2), work=replicate_and_die_once
        )
    assert (tmp_path / "died").exists()
    alone = contents(undisturbed.parent / "alone")
    for name, found in outputs_of(asked, results).items():
        if name.endswith(".parquet") or name.startswith(("comparisons", "replications")):
            expected = alone[name]
            text = found if isinstance(found, bytes) else found.encode()
            here, there = str(tmp_path).encode(), str(undisturbed.parent).encode()
            if name != "cells.parquet":  # whose commands name the study's folder
                assert text.replace(here, there) == expected, name


def test_a_command_of_the_table_gives_the_replication_again(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cell's command runs, and its results have the metrics of the cell's first replication, to the digit."""
    summary = json.loads((undisturbed.parent / "alone" / "study.json").read_text())
    monkeypatch.chdir(tmp_path)
    with store.opened(undisturbed.parent / "alone") as replications:
        for row, cell in zip(summary["cells"], cells_of(load_study(undisturbed)), strict=True):
            words = shlex.split(row["command"])
            assert main([*words[1:], "--out", "again", "--quiet"]) in (0, 1)
            again = json.loads(Path("again/results.json").read_text())
            warmup = words[words.index("warmup.method=fixed") + 2].partition("=")[2]
            record = replications[f"{cell.fingerprint}/{warmup}", int(words[-1])]
            assert again["latency"]["all"]["mean_ns"] == record["metrics"]["latency.all.mean_ns"]
            assert again["latency"]["find"]["p99_ns"] == record["metrics"]["latency.find.p99_ns"]
            assert again["warmup"] == record["warmup"]


def test_json_is_all_that_is_printed(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints study.json and nothing else."""
    out = undisturbed.parent / "alone"
    assert main(["study", str(undisturbed), "--out", str(out), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.out == (out / "study.json").read_text()
    assert not captured.err


def test_the_screen_has_every_cell_with_its_interval(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cells, comparisons, warm-up, accepted exceptions, and where each cell's command is."""
    assert main(["study", str(undisturbed), "--out", str(undisturbed.parent / "alone")]) == 0
    screen = capsys.readouterr().out
    assert screen.count(" ±") >= 6 + 4
    assert "again: each cell's command is in cells.csv, column command" in screen
    assert "./dev run" not in screen
    assert "operations dropped" in screen
    assert "accepted: answers_true" in screen


def test_the_report_says_how_to_make_it_again(tmp_path: Path) -> None:
    """With what was loaded and set besides, however it has to be quoted."""
    path, policy, out = written(tmp_path), tmp_path / "nearest.py", tmp_path / "out"
    policy.write_text("def nearest(home, nr_nodes):\n    return ((home,),)\n")
    command = ["study", str(path), "--extension", str(policy), "--set", "workload.pages=[1, 4]", "--seed", "7"]
    assert main([*command, "--out", str(out), "--jobs", "1", "--quiet"]) == 0
    assert f"./dev {shlex.join(command)}" in html.unescape((out / "report.html").read_text())


def test_checks_that_are_not_accepted_are_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The screen names the check, a cell and its command."""
    path = written(tmp_path, STUDY.replace('accept = ["answers_true"]', ""))
    assert main(["study", str(path), "--out", str(tmp_path / "out"), "--jobs", "2"]) == 1
    screen = capsys.readouterr().out
    assert "check failed: answers_true in 1 cell; first: policy=home, space.nodes=3" in screen
    assert screen.count("./dev run") == 1


def test_a_cell_that_fails_is_exit_code_1_and_the_rest_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scenario that only a run can find impossible costs its own cells, and is named with its seed."""
    path = written(
        tmp_path, STUDY.replace('key = "space.nodes"\nvalues = [1, 3]', 'key = "machine.cpus"\nvalues = [2, 4096]')
    )
    changes = ["--set", "workload.pages=[1048576,1048576]"]
    assert main(["study", str(path), "--out", str(tmp_path / "out"), "--jobs", "2", *changes]) == 1
    screen = capsys.readouterr().out
    assert "failed: policy=forward, machine.cpus=4096: BadInput: workload.pages" in screen
    assert screen.count("--seed") == 3, "a command for each failed cell"
    rows = json.loads((tmp_path / "out" / "study.json").read_text())["cells"]
    assert [bool(row["error"]) for row in rows] == [False, True] * 3
    assert all((row["latency.all.mean_ns"] is None) == bool(row["error"]) for row in rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scheduler", "tcp://127.0.0.1:9"], ["--scheduler tcp://127.0.0.1:9", "nobody", "tcp://HOST:PORT"]),
        (["--scheduler", "nonsense://x"], ["--scheduler nonsense://x", "nobody"]),
        (["--jobs", "0"], ["--jobs"]),
        (["--set", "space.nodes=4"], ["--set space.nodes", "a factor sets it"]),
        (["--set", "seed=4"], ["set.seed", "own seed"]),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: list[str],
) -> None:
    """Exit code 2, one line on stderr that names the argument, and no folder."""
    monkeypatch.setattr("sim.study.runners.CONNECT_S", 1)
    assert study(written(tmp_path), "--out", tmp_path / "out", *arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert all(word in message for word in words), message
    assert not (tmp_path / "out").exists()
