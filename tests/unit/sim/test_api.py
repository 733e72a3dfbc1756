"""The interface for programs: the same results as the commands, typed, also within a loop."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import sim
import sim.api
from protocol.errors import VmapsimError
from sim import Scenario, extensions, load_extension, simulate, simulate_async
from sim.cli import main
from sim.errors import BadInput
from tests.docs import ROOT
from tests.unit.sim.study import written

SMALL = {"workload": {"operations": 400, "preload_areas": 50}, "space": {"nodes": 3}}


@pytest.fixture(autouse=True)
def no_extensions_left() -> Iterator[None]:
    """Take back what a test has loaded."""
    yield
    extensions.unload()


def test_a_run_has_what_the_command_writes(tmp_path: Path) -> None:
    """The same results.json, but for the time it took, and figures by their names."""
    path = tmp_path / "small.toml"
    path.write_text("[workload]\noperations = 400\npreload_areas = 50\n[space]\nnodes = 3\n")
    assert main(["run", str(path), "--quiet", "--out", str(tmp_path / "out")]) == 0
    wanted = json.loads((tmp_path / "out" / "results.json").read_text())
    run = simulate(Scenario.load(path))
    assert {**json.loads(json.dumps(run.results)), "wall_s": 0} == {**wanted, "wall_s": 0}
    assert run.latency["find"].p99_ns == wanted["latency"]["find"]["p99_ns"]
    assert run.latency["all"].probes == {int(k): v for k, v in wanted["latency"]["all"]["probes"].items()}
    assert (run.ok, run.operations, run.digest) == (True, 400, wanted["digest"])
    assert set(run.checks.values()) == {0}


def test_scenarios_of_tables_and_of_files_are_checked_alike() -> None:
    """A wrong key is named; a kernel chooses what is left open; keys can be changed."""
    assert Scenario.of({"space": {"kernel": "6.8"}}).space.nodes == 1
    assert Scenario.of(SMALL).changed({"lookup.policy": "forward"}).lookup.policy == "forward"
    assert Scenario.of(SMALL, {"space.nodes": 5}).space.nodes == 5
    with pytest.raises(BadInput, match=r"Scenario.of: space.nods: found an unknown key"):
        Scenario.of({"space": {"nods": 3}})
    with pytest.raises(BadInput, match=r"lookup.policy: found 'sideways'"):
        Scenario.of(SMALL).changed({"lookup.policy": "sideways"})


def test_rows_and_tables_agree() -> None:
    """A row per operation, in a frame and in an Arrow table."""
    run = simulate(Scenario.of(SMALL))
    frame, table = run.to_frame(), run.to_arrow()
    assert list(frame["operation"]) == list(run.results["latency"]) == table["operation"].to_pylist()
    assert list(frame["p99_ns"]) == [latency.p99_ns for latency in run.latency.values()]
    assert {"queue_ns", "transfer_ns", "service_ns"} <= set(frame.columns)


def test_without_pandas_a_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BadInput, match="no package `pandas`"):
        simulate(Scenario.of(SMALL)).to_frame()


async def test_simulate_works_within_trio_either_way() -> None:
    """The same digest; the async one lets other tasks go on, and errors come out as they are."""
    assert trio.lowlevel.in_trio_run()
    scenario = Scenario.of(SMALL)
    assert simulate(scenario).digest == (await simulate_async(scenario)).digest
    with pytest.raises(VmapsimError, match="no readable file"):
        simulate(Scenario.of({"workload": {"kind": "trace", "file": "nowhere.txt"}}))


async def test_a_run_that_is_cancelled_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it, and its thread gives it up soon after."""
    given_up = threading.Event()
    run = sim.api._simulate

    def noted(*arguments: Any) -> sim.api.Run:
        try:
            return run(*arguments)
        finally:
            given_up.set()

    monkeypatch.setattr(sim.api, "_simulate", noted)
    with trio.move_on_after(0.05) as scope:
        await simulate_async(Scenario.of(SMALL, {"workload.operations": 10**8, "workload.pages": [1, 1]}))
    assert scope.cancelled_caught
    assert await trio.to_thread.run_sync(given_up.wait, 60)


def test_a_file_can_be_run_by_its_name(tmp_path: Path) -> None:
    """What it names is beside it; of several variants one has to be chosen."""
    shutil.copy(ROOT / "tests" / "data" / "deb-smp4-boot-ftrace.txt.gz", tmp_path / "boot.txt.gz")
    path = tmp_path / "boot.toml"
    plain = '[workload]\nkind = "trace"\nfile = "boot.txt.gz"\n'
    path.write_text(plain)
    assert simulate(path).digest == simulate(str(path), seed=1).digest != simulate(path, seed=2).digest
    variants = [
        f'[[variant]]\nname = "{name}"\nset = {{ "lookup.policy" = "{name}" }}\n' for name in ("forward", "home")
    ]
    path.write_text("".join([plain, *variants]))
    forward = Scenario.load(path, {"space.nodes": 3}, variant="forward")
    assert (forward.lookup.policy, forward.space.nodes) == ("forward", 3)
    assert simulate(forward, beside=tmp_path).ok
    with pytest.raises(BadInput, match=r"found the variants forward, home; allowed: a scenario: Scenario.load"):
        simulate(path)
    with pytest.raises(BadInput, match=r"variant: found 'backward'; allowed: forward, home"):
        Scenario.load(path, variant="backward")


@pytest.mark.parametrize(
    ("trace", "asked", "named"),
    [
        ("broken.txt", {}, "broken.txt: line 1: found 'no trace'; allowed: "),
        ("missing.txt", {}, "missing.txt: found no readable file"),
        ("boot.txt.gz", {"initial": "broken.txt"}, "broken.txt: line 1: found 'no trace'; allowed: "),
        ("boot.txt.gz", {"kernel": "5.4"}, "kernel: found '5.4'; allowed: auto, "),
        ("boot.txt.gz", {"vmalloc_range": (2, 1)}, "vmalloc_range: found 0x2:0x1; allowed: START below END"),
        ("boot.txt.gz", {"cpus": 0}, "cpus: found 0; allowed: an integer of at least 1"),
    ],
)
def test_a_replay_of_wrong_input_is_refused_as_such(
    trace: str, asked: dict[str, Any], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that are none and values that cannot be are `BadInput`, with the command's words."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.txt").write_text("no trace\n")
    shutil.copy(ROOT / "tests" / "data" / "deb-smp4-boot-ftrace.txt.gz", "boot.txt.gz")
    with pytest.raises(BadInput, match=re.escape(named)):
        sim.replay(trace, **asked)


def test_a_program_that_starts_itself_again_is_told_so(tmp_path: Path) -> None:
    """Processes import the main program; what calls `study` there without a guard fails once, in one line."""
    written(tmp_path)
    program = tmp_path / "program.py"
    program.write_text(f"from sim import study\nstudy({str(written(tmp_path))!r}, jobs=2)\n")
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith('allowed: a call below `if __name__ == "__main__":`')


def test_simulate_works_within_asyncio() -> None:
    """As in a notebook, whose cells run in asyncio's loop."""

    async def cell() -> str:
        return simulate(Scenario.of(SMALL)).digest

    assert asyncio.run(cell()) == simulate(Scenario.of(SMALL)).digest


def test_a_study_here_and_in_processes_is_the_same(tmp_path: Path) -> None:
    """With an extension, too; and its rows are the cells."""
    path = tmp_path / "outward.py"
    path.write_text(
        "def outward(home, nr_nodes):\n    return tuple(((home + step) % nr_nodes,) for step in range(nr_nodes))\n"
    )
    study_file = written(tmp_path)
    study_file.write_text(study_file.read_text().replace('"home"]', '"outward"]'))
    load_extension(path)
    here = sim.study(study_file)
    elsewhere = sim.study(study_file, jobs=2)
    assert here.results == elsewhere.results
    assert {row["policy"] for row in here.rows()} == {"forward", "backward", "outward"}
    assert here.comparisons
    assert sim.study(study_file, settings={"workload.operations": 100}).results != here.results


def test_an_extension_that_changed_is_loaded_anew(tmp_path: Path) -> None:
    """As when a cell of a notebook writes the file again."""
    path = tmp_path / "mine.py"
    path.write_text("def mine(home, nr_nodes):\n    return ((home,),)\n")
    first = load_extension(path)
    path.write_text(
        "def mine(home, nr_nodes):\n    return (tuple((home + step) % nr_nodes for step in range(nr_nodes)),)\n"
    )
    again = load_extension(path)
    assert (first.name, first.kind) == (again.name, again.kind) == ("mine", "policies")
    assert first.sha256 != again.sha256
    assert simulate(Scenario.of(SMALL, {"lookup.policy": "mine"})).ok


def test_the_package_can_be_imported_without_its_parts() -> None:
    """`import sim` loads nothing heavy; and whatever was imported first, `replay` and `study` can be called."""
    code = (
        "import sys, sim; assert not {'trio', 'numpy', 'attrs'} & set(sys.modules), sys.modules.keys();"
        "import sim.replay.engine, sim.study.model; from sim import replay, study;"
        "assert callable(replay) and callable(study)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_not_there_is_said_as_python_does() -> None:
    """An attribute that the package does not have."""
    with pytest.raises(AttributeError, match="module 'sim' has no attribute 'nothing'"):
        sim.nothing  # noqa: B018
