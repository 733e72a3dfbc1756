"""The command line, as a user meets it: exit codes, one line per mistake, nothing half-written."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.cli import main

ROOT = Path(__file__).parents[2]
SMALL = """
[space]
nodes = 3
[machine]
cpus = 3
[workload]
operations = 300
preload_areas = 60
"""
TRACE = """
[space]
nodes = 2
[machine]
cpus = 4
[workload]
kind = "trace"
file = "trace.txt"
"""
LINE = (
    "  init-1  [000] .....  0.000001: alloc_vmap_area: va_start: 18446683600570023936 size=8192 align=1 "
    "vstart=0xffffc90000000000 vend=0xffffe8ffffffffff failed=0\n"
)


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def run(*arguments: object) -> int:
    return main(["run", *map(str, arguments), "--quiet"])


def test_a_run_leaves_results_and_a_log(scenario: Path, tmp_path: Path) -> None:
    """Exit 0, a results.json with the keys of the contract, a log of JSON lines, and nothing else."""
    out = tmp_path / "out"
    assert run(scenario, "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["log.jsonl", "results.json"]
    results = json.loads((out / "results.json").read_text())
    keys = "schema scenario seed engine virtual_ns wall_s operations events digest latency locks nodes checks"
    assert set(keys.split()) <= results.keys()
    assert results["schema"] == 1
    assert results["operations"] == results["latency"]["all"]["count"] == 300
    assert results["scenario"]["space"] == {
        "nodes": 3,
        "zone_pages": 16,
        "page_size": 4096,
        "kernel": "6.16",
    }
    assert {
        "count",
        "mean_ns",
        "p50_ns",
        "p90_ns",
        "p99_ns",
        "p999_ns",
        "max_ns",
        "probes",
        "parts_ns",
    } <= results["latency"]["find"].keys()
    for latency in results["latency"].values():
        assert sum(latency["parts_ns"].values()) == pytest.approx(latency["mean_ns"])
        assert sum(latency["probes"].values()) == latency["count"]
    assert [lock["name"] for lock in results["locks"]] == ["busy/0", "busy/1", "busy/2"]
    assert all(check["ok"] and check["first"] is None for check in results["checks"].values())
    assert [json.loads(line)["event"] for line in (out / "log.jsonl").read_text().splitlines()][-1] == "done"


def test_variants_run_into_folders_of_their_names(tmp_path: Path) -> None:
    """Each variant leaves its results under its name, with the same seed and its own keys."""
    path = tmp_path / "two.toml"
    path.write_text(
        SMALL
        + '[[variant]]\nname = "a"\nset = {"lookup.policy" = "forward"}\n'
        + '[[variant]]\nname = "b"\nset = {"batch.strategy" = "global", "workload.mix.insert_batch" = 0.1, '
        + '"workload.mix.find" = 0.6}\n'
    )
    assert run(path, "--out", tmp_path / "out", "--seed", 9) == 0
    a, b = (json.loads((tmp_path / "out" / name / "results.json").read_text()) for name in "ab")
    assert a["seed"] == b["seed"] == 9
    assert a["scenario"]["lookup"]["policy"] == "forward"
    assert b["batches"]["strategy"] == "global"
    assert b["batches"]["sessions"] == b["latency"]["insert_batch"]["count"]
    assert [lock["name"] for lock in b["locks"]] == ["busy/all"]


def test_a_failed_check_is_exit_code_1(scenario: Path, tmp_path: Path) -> None:
    """A policy that misses areas that are there ends the run with 1, and says which answer was wrong."""
    out = tmp_path / "out"
    assert run(scenario, "--set", "lookup.policy=home", "--set", "workload.mix.interior=1.0", "--out", out) == 1
    check = json.loads((out / "results.json").read_text())["checks"]["answers_true"]
    assert not check["ok"]
    assert check["count"] > 0
    assert "was there all the time" in check["first"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "space.nodez=3"], ["space.nodez", "unknown key", "nodes, zone_pages"]),
        (["--set", "nodes=3"], ["nodes", "unknown key", "seed, space"]),
        (["--set", "space.nodes=many"], ["space.nodes", "'many'", "an integer"]),
        (["--set", "space.nodes=1.5"], ["space.nodes", "1.5", "an integer"]),
        (["--set", "workload.guard=1"], ["workload.guard", "1", "true or false"]),
        (["--set", "space.nodes=0"], ["space.nodes", "0", "1 to 1024"]),
        (["--set", "space.zone_pages=0"], ["space.zone_pages", "0", "1 to"]),
        (["--set", "workload.mix.find=0.9"], ["find + insert + unlink + insert_batch", "1.2", "sum to 1"]),
        (["--set", "costs.model=shared-memory"], ["costs.model", "shared-memory", "message-passing"]),
        (["--set", "lookup.policy=sideways"], ["lookup.policy", "sideways", "backward"]),
        (["--set", "workload.pages=[9, 2]"], ["workload.pages", "[9, 2]", "fewest"]),
        (["--set", "workload.kind=trace"], ["workload.file", "nothing"]),
        (["--set", "workload.kind=trace", "--set", "workload.file=none.txt"], ["none.txt"]),
        (["--set", "space"], ["--set", "table.key=value"]),
        (["--seed", "-1"], ["--seed"]),
        (["--engine", "warp"], ["--engine", "virtual", "live"]),
        (["--nonsense"], ["--nonsense"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    words: list[str],
    scenario: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A mistake gives one line on stderr that names key, finding and what is allowed, and leaves no file."""
    out = tmp_path / "out"
    assert run(scenario, "--out", out, *arguments) == 2
    complaint = capfd.readouterr().err
    assert complaint.count("\n") == 1
    assert complaint.startswith("vmapsim: ")
    assert [word for word in words if word not in complaint] == []
    assert not list(out.glob("**/results.json"))


def test_a_missing_scenario_and_a_broken_one_are_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No file, and a file that is no TOML, are named."""
    broken = tmp_path / "broken.toml"
    broken.write_text("[space\nnodes = 3")
    for path in (tmp_path / "none.toml", broken):
        assert run(path) == 2
        complaint = capfd.readouterr().err
        assert complaint.count("\n") == 1
        assert path.name in complaint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(LINE.encode() * 2000)[:-40], ["trace.txt", "gzip"]),
        (b"  init-1  [000] .....  0.000001: sched_switch: prev=1\n", ["trace.txt", "vmalloc events"]),
        (LINE.encode() + b"rubbish\n", ["trace.txt", "line 2"]),
        (LINE.replace("size=8192", "size=big").encode(), ["trace.txt", "line 1", "alloc_vmap_area"]),
        (LINE.replace("[000]", "[007]").encode(), ["machine.cpus", "4", "8"]),
    ],
)
def test_bad_traces_are_one_line(
    content: bytes, words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A trace that is cut off, has nothing to do with vmalloc, is malformed or has too many CPUs is refused."""
    path = tmp_path / "trace.toml"
    path.write_text(TRACE)
    (tmp_path / "trace.txt").write_bytes(content)
    assert run(path, "--out", tmp_path / "out") == 2
    complaint = capfd.readouterr().err
    assert complaint.count("\n") == 1
    assert [word for word in words if word not in complaint] == []


def test_an_output_folder_that_cannot_be_made_is_refused_before_the_run(
    scenario: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder below a file cannot be; the run says so at once."""
    (tmp_path / "file").write_text("")
    assert run(scenario, "--out", tmp_path / "file" / "out", "--set", "workload.operations=1000000000") == 2
    assert "file/out" in capfd.readouterr().err


def test_ctrl_c_ends_a_run_and_leaves_nothing(scenario: Path, tmp_path: Path) -> None:
    """SIGINT in the middle of a long run ends it with one line and no results."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "sim", "run", str(scenario), "--out", str(out), "--set"]
    command.append("workload.operations=10000000")
    # The child interrupts itself from the first time that the conductor pauses: no guess about time.
    code = (
        "import os, signal, sys, sim.metrics.recorder as r; fold = r.Recorder.fold_if_due\n"
        "def pause(self): fold(self); os.kill(os.getpid(), signal.SIGINT)\n"
        "r.Recorder.fold_if_due = pause\n"
        "from sim.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command[1:3] = ["-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "vmapsim: interrupted, nothing was written\n"
    assert list(out.iterdir()) == []


def test_the_same_scenario_gives_one_digest_in_20_processes(tmp_path: Path) -> None:
    """A scenario full of ties, in processes with different hash seeds: the same bytes but for wall_s."""
    path = tmp_path / "ties.toml"
    path.write_text(
        SMALL
        + "[costs]\nlock_ns = 10\nvisit_ns = 0\ninsert_ns = 10\nlink_ns = 0\n[batch]\nstrategy = 'parallel'\n"
        + "[lookup]\npolicy = 'scatter'\n[workload.mix]\nfind = 0.5\ninsert_batch = 0.2\n"
    )
    running = []
    for number in range(20):
        environment = {**os.environ, "PYTHONHASHSEED": str(number)}
        command = [
            sys.executable,
            "-m",
            "sim",
            "run",
            str(path),
            "--quiet",
            "--out",
            str(tmp_path / str(number)),
        ]
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment))
        if len(running) % 4 == 0:
            assert [process.wait() for process in running[-4:]] == [0] * 4
    texts = set()
    for number in range(20):
        results = json.loads((tmp_path / str(number) / "results.json").read_text())
        del results["wall_s"]
        texts.add(json.dumps(results) + (tmp_path / str(number) / "log.jsonl").read_text())
    assert len(texts) == 1
