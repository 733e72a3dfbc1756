"""Extensions from the command line: named in scenarios and studies, listed, checked, said of in results."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from protocol import policies, registry
from sim import extensions
from sim.cli import main
from tests.unit.sim.study import written

OUTWARD = '''
def outward(home, nr_nodes):
    """Ask the home node, then the one before and the one after it, and so on outwards."""
    steps = sorted(range(nr_nodes), key=lambda step: min(step, nr_nodes - step))
    return tuple(((home - step) % nr_nodes,) for step in steps)
'''
COUNTING = '''
from sim.checks import Verdict

def counting(evidence):
    """No node has more areas than all of them."""
    return Verdict()
'''
LAZY = '''
from functools import partial
from protocol.area import VMALLOC_START
from sim.workloads import Plan

async def look(client, times):
    for _ in range(times):
        await client.find(VMALLOC_START)

def lazy(scenario, beside) -> Plan:
    """CPUs that look for what is not there."""
    cpus = list(range(scenario.machine.cpus))
    script = partial(look, times=scenario.workload.operations // len(cpus))
    return Plan(cpus, [], scenario.workload.operations, False, lambda world: dict.fromkeys(cpus, script))
'''


JITTER = '''
from sim.chance import stream
from sim.faults import Fault

class Late(Fault):
    def __init__(self, seed):
        super().__init__()
        self.random = stream(seed, "jitter").random

    def fates(self, fates, source, target, now_ns):
        self.counts["jittered"] += 1
        return [fate + int(100 * self.random()) for fate in fates]

def jitter(scenario, servers):
    """Make every message a little late."""
    return Late(scenario.seed)
'''
FAR = '''
from attrs import evolve
from sim.topologies import Topology
from sim.topologies.flat import flat

def far(scenario, beside) -> Topology:
    """Everybody is twice as far."""
    return evolve(flat(scenario, beside), uniform_ns=2 * scenario.costs.link_ns)
'''
FREE_OF_CHARGE = '''
from attrs import evolve
from sim.costs.message_passing import message_passing

def free_of_charge(scenario, placement):
    """Locks cost nothing."""
    return evolve(message_passing(scenario, placement), lock_ns=0)
'''
V9_9 = '''
from attrs import evolve
from protocol.kernel import KERNELS

def v9_9():
    """Give a kernel to come."""
    return evolve(KERNELS["7.1"], name="9.9", since=(9, 9), policy="forward")
'''


@pytest.fixture
def outward(tmp_path: Path) -> Path:
    """Write a policy of somebody's."""
    path = tmp_path / "outward.py"
    path.write_text(OUTWARD)
    return path


def run(tmp_path: Path, *arguments: object) -> dict[str, object]:
    """Run a small scenario; give its results."""
    scenario = tmp_path / "small.toml"
    scenario.write_text("[workload]\noperations = 300\npreload_areas = 50\n")
    out = tmp_path / "out"
    assert main(["run", str(scenario), "--quiet", "--out", str(out), *map(str, arguments)]) == 0
    results: dict[str, object] = json.loads((out / "results.json").read_text())
    return results


def test_a_scenario_names_an_extension_and_results_say_so(tmp_path: Path, outward: Path) -> None:
    """By kind, name and digest of the file; and when the command is over it is gone."""
    results = run(tmp_path, "--extension", outward, "--set", "lookup.policy=outward")
    assert results["extensions"] == [
        {"kind": "policies", "name": "outward", "sha256": sha256(OUTWARD.encode()).hexdigest()}
    ]
    assert "outward" not in registry.names(policies)
    assert extensions.loaded() == ()


def test_several_extensions_of_several_kinds_take_part(tmp_path: Path, outward: Path) -> None:
    """A policy, a check, whose verdict stands beside the others, and a workload."""
    counting, lazy = tmp_path / "counting.py", tmp_path / "lazy.py"
    counting.write_text(COUNTING)
    lazy.write_text(LAZY)
    words = [word for path in (outward, counting, lazy) for word in ("--extension", path)]
    results = run(tmp_path, *words, "--set", "lookup.policy=outward", "--set", "workload.kind=lazy")
    assert "counting" in results["checks"]  # type: ignore[operator]
    assert results["operations"] == 288


@pytest.mark.parametrize(
    ("name", "source", "setting"),
    [
        ("jitter", JITTER, 'faults.also=["jitter"]'),
        ("far", FAR, "machine.topology=far"),
        ("free_of_charge", FREE_OF_CHARGE, "costs.model=free-of-charge"),
        ("v9_9", V9_9, "space.kernel=9.9"),
    ],
)
def test_every_kind_can_be_an_extension(name: str, source: str, setting: str, tmp_path: Path) -> None:
    """It is checked, named in a scenario, and makes a difference to the run."""
    path = tmp_path / f"{name}.py"
    path.write_text(source)
    assert main(["check-extension", str(path)]) == 0
    without = run(tmp_path)
    assert run(tmp_path, "--extension", path, "--set", setting)["digest"] != without["digest"]


def test_a_run_without_extensions_says_nothing_of_them(tmp_path: Path) -> None:
    """The key is there only where there is something to say."""
    assert "extensions" not in run(tmp_path)


def test_list_shows_extensions(outward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the first line of their docstrings."""
    assert main(["list", "policies", "--extension", str(outward)]) == 0
    shown = capsys.readouterr().out
    assert "outward         Ask the home node, then the one before and the one after it" in shown


@pytest.mark.parametrize("where", [["--jobs", "2"], ["--scheduler", "local", "--jobs", "1"]], ids=["pool", "dask"])
def test_workers_of_a_study_have_the_extension(where: list[str], tmp_path: Path, outward: Path) -> None:
    """Processes of this machine and Dask's workers; its cells' commands and its summary name it."""
    study = written(tmp_path)
    study.write_text(study.read_text().replace('"home"]', '"outward"]'))
    out = tmp_path / "out"
    words = ["study", str(study), "--quiet", "--out", str(out), "--extension", str(outward), *where]
    assert main(words) == 0
    summary = json.loads((out / "study.json").read_text())
    assert [one["name"] for one in summary["extensions"]] == ["outward"]
    assert f"--extension {outward}" in (out / "cells.csv").read_text()


REACHING = '''
from attrs import frozen

@frozen
class Reaching:
    """Ask the home node, then `reach` nodes at once behind it, and so on."""

    reach: int = 1

    def __call__(self, home, nr_nodes):
        behind = [(home - step) % nr_nodes for step in range(1, nr_nodes)]
        return ((home,), *(tuple(behind[at : at + self.reach]) for at in range(0, len(behind), self.reach)))
'''


def test_a_studys_factor_varies_a_parameter(tmp_path: Path) -> None:
    """Workers have it, each cell asks as many nodes at once as its level says, and its command sets it."""
    study, policy = written(tmp_path), tmp_path / "reaching.py"
    text = study.read_text().replace('key = "lookup.policy"', 'key = "parameters.reaching.reach"')
    text = text.replace('["forward", "backward", "home"]', "[1, 2, 5]").replace('"backward"', "1")
    study.write_text(
        text + '[set]\nlookup.policy = "reaching"\nworkload.mix.interior = 0.5\nspace.zone_pages = 1\n'
    )
    policy.write_text(REACHING)
    out = tmp_path / "out"
    words = [
        "--quiet",
        "--out",
        str(out),
        "--extension",
        str(policy),
        "--jobs",
        "2",
        "--set",
        "workload.think_ns=9",
    ]
    assert main(["study", str(study.rename(tmp_path / "s.toml")), *words]) == 0
    cells = json.loads((out / "study.json").read_text())["cells"]
    assert all(f"--set parameters.reaching.reach={row['policy']}" in row["command"] for row in cells)
    by_level = [row["latency.all.mean_ns"] for row in cells if row["space.nodes"] == 3]
    assert len(set(by_level)) == 2, "with three nodes two at once are all there are"


def test_a_cluster_takes_parameters(tmp_path: Path) -> None:
    """Its clients' policy has them."""
    path, scenario, out = tmp_path / "reaching.py", tmp_path / "small.toml", tmp_path / "out"
    path.write_text(REACHING)
    scenario.write_text("[workload]\noperations = 60\npreload_areas = 20\n[machine]\ncpus = 2\n")
    words = ["cluster", str(scenario), "--processes", "1", "--quiet", "--out", str(out), "--extension", str(path)]
    words += ["--set", "lookup.policy=reaching", "--set", "parameters.reaching.reach=15"]
    words += ["--set", "workload.mix={find=1.0, insert=0.0, unlink=0.0, interior=0.0, miss=1.0}"]
    assert main(words) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["scenario"]["parameters"] == {"reaching": {"reach": 15}}
    assert results["latency"]["find_miss"]["probes"] == {"2": 60}, "the home node, and all others at once"


def test_a_changed_extension_does_not_count_as_the_same(tmp_path: Path, outward: Path) -> None:
    """A study that goes on with another file under the same name runs its cells anew."""
    study = written(tmp_path)
    study.write_text(study.read_text().replace('"home"]', '"outward"]'))
    words = ["study", str(study), "--quiet", "--out", str(tmp_path / "out"), "--jobs", "1"]
    words += ["--extension", str(outward)]
    assert main(words) == 0
    before = (tmp_path / "out" / "replications.jsonl").read_text()
    outward.write_text(OUTWARD.replace("home - step", "home + step"))
    assert main(words) == 0
    after = (tmp_path / "out" / "replications.jsonl").read_text()
    assert {line.split('"seed"')[0] for line in before.splitlines()}.isdisjoint(
        line.split('"seed"')[0] for line in after.splitlines()
    )


MISTAKES = {
    "no file": ("nowhere.py", None, "found no such file or directory; allowed: a readable Python file"),
    "no module's name": ("my-policy.py", OUTWARD, "found 'my-policy.py'; allowed: the name of a Python module"),
    "no Python": ("outward.py", "def outward(:\n", "found SyntaxError on import: invalid syntax"),
    "another name": ("mine.py", OUTWARD, "found nothing that can be called by the name mine; allowed: a function"),
    "a wrong signature": (
        "outward.py",
        "def outward(home, count):\n    return ((home,),)\n",
        "found a function `outward` with the parameters (home, count); allowed: the parameters (home, nr_nodes) of",
    ),
    "a name that is taken": (
        "backward.py",
        OUTWARD.replace("outward", "backward"),
        "found the name backward, which one of the policies has; allowed: a name of its own",
    ),
    "a class without attrs": (
        "outward.py",
        "class Outward:\n    def __call__(self, home, nr_nodes): return ((home,),)\n",
        "found a class `Outward` without attrs or `__call__`; expected: a function `outward` or an attrs class",
    ),
}


@pytest.mark.parametrize("command", ["run", "check-extension"])
@pytest.mark.parametrize("what", MISTAKES)
def test_a_file_that_is_no_extension_is_one_line(
    what: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and nothing stays loaded."""
    name, source, said = MISTAKES[what]
    path = tmp_path / name
    if source is not None:
        path.write_text(source)
    words = [str(path)] if command == "check-extension" else ["--extension", str(path)]
    assert main([command, *words]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert str(path) in shown
    assert shown.count("\n") == 1
    assert extensions.loaded() == ()


BOOM = "    raise ValueError('boom')\n"
RAISING: dict[str, tuple[str, int, str]] = {
    "policy": (f"def raising(home, nr_nodes):\n{BOOM}", 2, "lookup.policy=raising"),
    "strategy": (f"def raising(areas, layout):\n{BOOM}", 2, "batch.strategy=raising"),
    "workload": (
        f"from sim.workloads import Plan\ndef raising(scenario, beside) -> Plan:\n{BOOM}",
        3,
        "workload.kind=raising",
    ),
    "script": (
        LAZY.replace("def lazy", "def raising").replace("client.find(", "client.find(*"),
        8,
        "workload.kind=raising",
    ),
    "topology": (
        f"from sim.topologies import Topology\ndef raising(scenario, beside) -> Topology:\n{BOOM}",
        3,
        "machine.topology=raising",
    ),
    "cost model": (f"def raising(scenario, placement):\n{BOOM}", 2, "costs.model=raising"),
    "kernel": (f"def raising():\n{BOOM}", 2, "space.kernel=raising"),
    "fault": (
        JITTER.replace("def jitter", "def raising").replace("+ int(", "+ [].index("),
        12,
        'faults.also=["raising"]',
    ),
    "check": (f"def raising(evidence):\n{BOOM}", 2, "seed=1"),
}
"""For each kind: a file that raises, in which line, and what has it used."""

BATCHES = "workload.mix={find=0.5, insert=0.1, unlink=0.1, insert_batch=0.3}"


def complaint(source: str, path: Path, setting: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a small scenario that uses the extension of this source; give the line that it ends with, and no more."""
    scenario, out = path.with_name("small.toml"), path.with_name("out")
    path.write_text(source)
    scenario.write_text("[workload]\noperations = 300\npreload_areas = 50\n")
    words = ["--out", str(out), "--set", setting, "--set", BATCHES]
    assert main(["run", str(scenario), "--extension", str(path), *words]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert not out.exists()
    return shown


@pytest.mark.parametrize("kind", RAISING)
def test_an_extension_that_raises_in_a_run_is_one_line(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad input, with the file and the line in it; and no warning of what was left undone."""
    source, line, setting = RAISING[kind]
    path = tmp_path / "raising.py"
    shown = complaint(source, path, setting, capsys)
    assert shown.startswith(f"vmapsim: {path}: line {line}: found ")
    assert shown.endswith("; allowed: an extension that raises nothing\n")


WRONG = {
    "policy": (
        "def wrong(home, nr_nodes):\n    return [home]\n",
        "lookup.policy=wrong",
        "the policy wrong gives no tuple of rounds, each a tuple of node ids, from home node ",
    ),
    "strategy": (
        "def wrong(areas, layout):\n    return None\n",
        "batch.strategy=wrong",
        "the strategy wrong gives no tuple of rounds, each a tuple of lock sessions",
    ),
    "session": (
        "def wrong(areas, layout):\n    return ((7,),)\n",
        "batch.strategy=wrong",
        "the strategy wrong gives 7 for a lock session",
    ),
    "node": (
        "from protocol.strategies import LockSession\n"
        "def wrong(areas, layout):\n    return ((LockSession(99, tuple(areas)),),)\n",
        "batch.strategy=wrong",
        "the strategy wrong gives a session for node 99, of ",
    ),
    "name of a node": (
        "from protocol.strategies import LockSession\n"
        "def wrong(areas, layout):\n    return ((LockSession('3', tuple(areas)),),)\n",
        "batch.strategy=wrong",
        "the strategy wrong gives LockSession(node_id='3', ",
    ),
    "node below 0": (
        "from protocol.strategies import LockSession\n"
        "def wrong(areas, layout):\n    return ((LockSession(-1, tuple(areas)),),)\n",
        "batch.strategy=wrong",
        "the strategy wrong gives a session for node -1, of ",
    ),
    "conversation": (
        "from attrs import frozen\n@frozen\nclass Wrong:\n"
        "    def __call__(self, areas, layout):\n        return ()\n"
        "    def adapt(self, areas, layout):\n        return None\n",
        "batch.strategy=wrong",
        "the strategy Wrong() gives None for a conversation",
    ),
    "fault without counts": (
        "from sim.faults import Fault\nclass Fake(Fault):\n    def __init__(self):\n        pass\n"
        "def wrong(scenario, servers):\n    return Fake()\n",
        'faults.also=["wrong"]',
        "found a Fake from wrong of the faults, without counts; allowed: a Fault",
    ),
    "workload": (
        "from sim.workloads import Plan\ndef wrong(scenario, beside) -> Plan:\n    return None\n",
        "workload.kind=wrong",
        "found None from wrong of the workloads, without cpus; allowed: a Plan",
    ),
    "topology": (
        "from sim.topologies import Topology\ndef wrong(scenario, beside) -> Topology:\n    return 5\n",
        "machine.topology=wrong",
        "found 5 from wrong of the topologies, without fixed; allowed: a Topology",
    ),
    "cost model": (
        "def wrong(scenario, placement):\n    return {}\n",
        "costs.model=wrong",
        "found {} from wrong of the costs, without fixed; allowed: a CostModel",
    ),
    "kernel": (
        "def wrong():\n    return 'v7'\n",
        "space.kernel=wrong",
        "found 'v7' from wrong of the kernels, without busy_locks; allowed: a Kernel",
    ),
    "fault": (
        "def wrong(scenario, servers):\n    return None\n",
        'faults.also=["wrong"]',
        "found None from wrong of the faults, without counts; allowed: a Fault",
    ),
    "check": (
        "def wrong(evidence):\n    return True\n",
        "seed=1",
        "found True from wrong of the checks, without count; allowed: a Verdict",
    ),
}
"""For each kind: a file that gives what it must not, what has it used, and how the complaint begins."""


@pytest.mark.parametrize("kind", WRONG)
def test_an_extension_that_gives_something_else_is_one_line(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad input, with what was found and what is allowed; nothing is left."""
    source, setting, said = WRONG[kind]
    assert complaint(source, tmp_path / "wrong.py", setting, capsys).startswith(f"vmapsim: {said}")


def test_an_extension_that_exits_raises_like_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On import, when it is checked, in a run and in a study: one line, and nobody exits."""
    study, policy, scenario = written(tmp_path), tmp_path / "raising.py", tmp_path / "plain.toml"
    scenario.write_text("[workload]\npreload_areas = 50\n")
    policy.write_text("import sys\nsys.exit(3)\n")
    assert main(["check-extension", str(policy)]) == 2
    assert "found SystemExit on import: 3; allowed: a Python module" in capsys.readouterr().err
    policy.write_text("import sys\ndef raising(home, nr_nodes):\n    sys.exit(3)\n")
    assert main(["check-extension", str(policy)]) == 1
    assert "raising raises SystemExit: 3, from home node 0 of 1" in capsys.readouterr().err
    said = f"{policy}: line 3: found SystemExit: 3; allowed: an extension that raises nothing"
    words = ["--out", str(tmp_path / "out"), "--extension", str(policy)]
    small = ["--set", "workload.operations=100", "--set", "lookup.policy=raising"]
    assert main(["run", str(scenario), *words, *small]) == 2
    assert capsys.readouterr().err == f"vmapsim: {said}\n"
    study.write_text(study.read_text().replace('"home"]', '"raising"]'))
    for jobs in ("1", "2"):
        assert main(["study", str(study), *words, "--jobs", jobs]) == 1
        assert said in capsys.readouterr().out


def test_a_study_says_where_an_extension_raised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its cells fail, with the file and the line, on the screen and in the tables; the others do not."""
    study, policy = written(tmp_path), tmp_path / "raising.py"
    study.write_text(study.read_text().replace('"home"]', '"raising"]'))
    policy.write_text(RAISING["policy"][0])
    words = ["study", str(study), "--out", str(tmp_path / "out"), "--extension", str(policy), "--jobs", "1"]
    assert main(words) == 1
    said = f"{policy}: line 2: found ValueError: boom; allowed: an extension that raises nothing"
    assert f"failed: policy=raising, space.nodes=1: {said}; ./dev run" in capsys.readouterr().out
    cells = json.loads((tmp_path / "out" / "study.json").read_text())["cells"]
    assert [cell["error"] for cell in cells] == [None] * 4 + [said] * 2


def test_a_mistake_of_the_programs_own_keeps_its_traceback(
    tmp_path: Path, outward: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether an extension takes part or calls it: it is not the user's."""

    def broken(*_arguments: object) -> None:
        raise KeyError("ours")

    scenario, lazy = tmp_path / "small.toml", tmp_path / "lazy.py"
    scenario.write_text("[workload]\noperations = 300\npreload_areas = 50\n")
    lazy.write_text(LAZY)
    words = ["run", str(scenario), "--quiet", "--out", str(tmp_path / "out")]
    words += ["--extension", str(outward), "--extension", str(lazy), "--set", "lookup.policy=outward"]
    monkeypatch.setattr("actors.router.Router.search", broken)
    for more in ([], ["--set", "workload.kind=lazy"]):
        with pytest.raises(ExceptionGroup) as caught:
            main([*words, *more])
        assert caught.value.subgroup(KeyError) is not None


def test_two_extensions_of_one_name_are_one_too_many(
    tmp_path: Path, outward: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever is meant, a scenario could not say."""
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "outward.py"
    other.write_text(OUTWARD)
    assert main(["list", "policies", "--extension", str(outward), "--extension", str(other)]) == 2
    assert f"found the name outward, which {outward} has" in capsys.readouterr().err


def test_check_extension_says_what_holds(outward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clause by clause, and exits with 0."""
    assert main(["check-extension", str(outward)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{outward}: outward of the policies",
        "  stops and raises nothing",
        "  asks the home node first and none twice",
        "  answers the same question the same way",
    ]


def test_clauses_are_whole_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are made of names that have no apostrophes, and so of words that need none."""
    path = tmp_path / "mine.py"
    path.write_text("from protocol.strategies.grouped import grouped as mine\n")
    assert main(["check-extension", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[4:6] == [
        "  holds the lock of the node where its areas live",
        "  keeps the order of the areas of a node",
    ]


def test_check_extension_names_the_breach(outward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr, and exit code 1; what holds until there stands on the screen."""
    outward.write_text("def outward(home, nr_nodes):\n    return ((home,), (home,))\n")
    assert main(["check-extension", str(outward)]) == 1
    shown = capsys.readouterr()
    assert "  stops and raises nothing" in shown.out
    said = "outward asks node 0 twice, from home node 0 of 1: ((0,), (0,))"
    assert shown.err == f"vmapsim: {outward}: {said}\n"


def test_files_of_the_folders_themselves_can_be_checked() -> None:
    """A file that was dropped into its folder is judged where it is."""
    root = Path(policies.__file__).parent
    assert main(["check-extension", str(root / "bounded.py")]) == 0


def test_without_hypothesis_a_line_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is an extra, which `./dev` installs."""
    path = tmp_path / "mine.py"
    path.write_text("from protocol.strategies.grouped import grouped as mine\n")
    monkeypatch.setitem(__import__("sys").modules, "hypothesis", None)
    monkeypatch.delitem(__import__("sys").modules, "sim.contracts.strategies", raising=False)
    assert main(["check-extension", str(path)]) == 2
    assert (
        "no package `hypothesis`; allowed: it installed (pip install 'vmapsim[extend]')" in capsys.readouterr().err
    )
