"""Calibration from the command line: the same bytes whoever runs it, no half files, mistakes in one line."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from sim.cli import main
from sim.scenario.file import load_scenarios
from tests.unit.sim.calibration import TRUTH, measurement, synthetic, written

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Targets whose measurements are the simulator's own, and one to predict."""
    odd = measurement("five CPUs", 'predict = true\nset = { "machine.cpus" = 5 }')
    return written(tmp_path_factory.mktemp("targets"), synthetic() + odd)


def test_the_same_bytes_with_one_process_and_two(
    targets: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`--jobs` changes nothing but the time it takes; nothing is printed on stderr in a pipe."""
    for jobs in ("1", "2"):
        out = tmp_path / jobs / "costs.toml"
        assert main(["calibrate", str(targets), "--jobs", jobs, "--out", str(out)]) == 0
        assert [path.name for path in out.parent.iterdir()] == ["costs.toml"]
    assert (tmp_path / "1" / "costs.toml").read_bytes() == (tmp_path / "2" / "costs.toml").read_bytes()
    screen = capfd.readouterr()
    assert screen.err == ""
    assert "Predicted: not used in the fit" in screen.out


def test_the_costs_are_a_scenarios(targets: Path, tmp_path: Path) -> None:
    """The file says what was fitted, predicted and how; a scenario can name it."""
    out = tmp_path / "costs.toml"
    assert main(["calibrate", str(targets), "--out", str(out), "--seed", "5", "--quiet"]) == 0
    table = tomllib.loads(out.read_text())
    assert table["fit"]["command"] == f"./dev calibrate {targets} --seed 5"
    assert table["fit"]["seed"] == 5
    assert [row["key"] for row in table["fit"]["constant"]] == list(TRUTH)
    assert {row["name"] for row in table["fit"]["predicted"]} == {"five CPUs"}
    assert "five CPUs" not in {row["name"] for row in table["fit"]["fitted"]}
    assert table["costs"].keys() == {"model", *(key.partition(".")[2] for key in TRUTH)}
    scenario = tmp_path / "scenario.toml"
    scenario.write_text('[costs]\nfile = "costs.toml"\n[workload]\noperations = 100\n')
    assert load_scenarios(scenario).base.costs.link_ns == table["costs"]["link_ns"]
    assert main(["run", str(scenario), "--out", str(tmp_path / "run"), "--quiet"]) == 0


DEARER = """
from attrs import evolve
from sim.costs.message_passing import message_passing

def dearer(scenario, placement):
    \"\"\"Locks cost twice what they should.\"\"\"
    return evolve(message_passing(scenario, placement), lock_ns=2 * scenario.costs.lock_ns)
"""


def test_workers_have_the_extension(tmp_path: Path) -> None:
    """A cost model of somebody's is fitted like the others; the file names it, and its command loads it again."""
    targets = synthetic(head='set.costs.model = "dearer"')
    path, extension, out = written(tmp_path, targets), tmp_path / "dearer.py", tmp_path / "costs.toml"
    extension.write_text(DEARER)
    words = ["calibrate", str(path), "--jobs", "1", "--out", str(out), "--quiet", "--extension", str(extension)]
    assert main(words) == 0
    table = tomllib.loads(out.read_text())
    assert table["costs"]["model"] == "dearer"
    assert table["costs"]["lock_ns"] in (TRUTH["costs.lock_ns"] // 2, TRUTH["costs.lock_ns"] // 2 + 1)
    assert [one["name"] for one in table["fit"]["extensions"]] == ["dearer"]
    assert table["fit"]["command"] == f"./dev calibrate {path} --extension {extension} --seed 1"


def test_mistakes_are_one_line_and_exit_code_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A metric that no run has shows in the first one: a line on stderr, and no folder or file is left."""
    path = written(tmp_path, synthetic() + measurement("odd", metric="latency.find.mean"))
    assert main(["calibrate", str(path), "--jobs", "1", "--out", str(tmp_path / "new" / "costs.toml")]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "measurement 'odd': metric latency.find.mean" in error
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_who_is_ended_leaves_no_half_file(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C and kills in the middle of the search leave what was at the file's place before, and nothing else."""
    long = "evaluations = 100000\nstarts = 100"
    path = written(tmp_path, synthetic(head=long))
    (tmp_path / "small.toml").write_text((tmp_path / "small.toml").read_text().replace("120", "20000"))
    out = tmp_path / "out"
    out.mkdir()
    (out / "costs.toml").write_text("as it was")
    # A suite that runs in the background may have been given SIGINT as a signal to ignore: here it is none.
    heard = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"import signal, sys; {heard}; from sim.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["calibrate", str(path), "--jobs", "1", "--out", str(out / "costs.toml")]
    command = [sys.executable, "-c", program, *words]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True) as process:
        _wait_for_a_child(process.pid)
        process.send_signal(how)
        _out, error = process.communicate(timeout=60)
    if how == signal.SIGKILL:
        assert process.returncode == -how
    else:
        code, word = (130, "interrupted") if how == signal.SIGINT else (143, "terminated")
        assert process.returncode == code
        assert error.decode() == f"vmapsim: {word}; nothing was written\n"
    assert {file.name: file.read_text() for file in out.iterdir()} == {"costs.toml": "as it was"}


def _wait_for_a_child(pid: int) -> None:
    """Wait until a process of the program's has been at work for a while: it runs scenarios."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    while not any(_ticks(child) >= 20 for child in children.read_text().split()):
        assert not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), "it ended before it began"
        time.sleep(0.01)


def _ticks(pid: str) -> int:
    """Give the CPU time of a process, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
