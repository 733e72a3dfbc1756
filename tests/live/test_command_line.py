"""The command line, as a user meets it: exit codes, one line per mistake, nothing half-written."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.cli import main
from sim.files import write_files
from sim.vmallocinfo import UnpurgedLine, read_vmallocinfo

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
    """Exit 0, a results.json with the keys of the contract, a log of JSON lines, a report, and nothing else."""
    out = tmp_path / "out"
    assert run(scenario, "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["log.jsonl", "report.html", "results.json"]
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
        (["--set", "costs.model=abacus"], ["costs.model", "abacus", "message-passing"]),
        (["--set", "lookup.policy=sideways"], ["lookup.policy", "sideways", "backward"]),
        (["--set", "workload.pages=[9, 2]"], ["workload.pages", "[9, 2]", "fewest"]),
        (["--set", "workload.kind=trace"], ["workload.file", "nothing"]),
        (["--set", "workload.kind=trace", "--set", "workload.file=none.txt"], ["none.txt"]),
        (["--set", "space"], ["--set", "table.key=value"]),
        (["--set", "seed=" + "9" * 5000], ["--set seed", "5000 digits"]),
        (["--set", "space." + "x" * 5000 + "=1"], ["--set space.xxx", "…", "unknown key"]),
        (["--set", "lookup.policy=\x1b[31m"], ["\\x1b[31m", "backward"]),
        (["--seed", "9" * 5000], ["--seed", "…"]),
        (["--seed", str(2**64)], ["--seed", str(2**64), "; allowed: an integer from 0 to 2**64 - 1"]),
        (["--seed", "-1"], ["--seed", "-1"]),
        (["--seed", "x"], ["--seed", "found 'x'; allowed: an integer from 0 to 2**64 - 1"]),
        (["--timeline-holds", "0"], ["--timeline-holds", "found '0'; allowed: an integer of at least 1"]),
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
    assert len(complaint) < 1000
    assert [word for word in words if word not in complaint] == []
    assert not out.exists()


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


@pytest.mark.parametrize("name", ["results.json", "log.jsonl"])
def test_a_folder_in_the_place_of_a_result_is_refused_before_the_run(
    name: str, scenario: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither file is written when one of them cannot be."""
    (tmp_path / "out" / name).mkdir(parents=True)
    assert run(scenario, "--out", tmp_path / "out", "--set", "workload.operations=1000000000") == 2
    assert f"out/{name}: found a directory" in capfd.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_no_file_takes_its_name_before_all_are_written(tmp_path: Path) -> None:
    """When the second cannot be written, the first is not there either, nor anything half-made."""
    with pytest.raises(UnicodeEncodeError):
        write_files(tmp_path, {"log.jsonl": "whole", "results.json": "\ud800"})
    assert list(tmp_path.iterdir()) == []
    write_files(tmp_path, {"log.jsonl": "whole", "results.json": "too"})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "log.jsonl": "whole",
        "results.json": "too",
    }


def test_folders_of_a_run_that_fails_are_removed_if_it_made_them(tmp_path: Path) -> None:
    """A missing trace leaves no new folder; one that was there before stays, as does one with results."""
    path = tmp_path / "trace.toml"
    path.write_text(SMALL + '[[variant]]\nname = "a"\n[[variant]]\nname = "b"\nset = {"workload.kind" = "trace", ')
    with path.open("a") as file:
        file.write('"workload.file" = "none.txt"}\n')
    (tmp_path / "old").mkdir()
    assert run(path, "--out", tmp_path / "old" / "new") == 2
    assert [str(path.relative_to(tmp_path)) for path in sorted((tmp_path / "old").glob("**"))] == [
        "old",
        "old/new",
        "old/new/a",
    ]
    path.write_text(TRACE)
    assert run(path, "--out", tmp_path / "old" / "newer" / "newest") == 2
    assert not (tmp_path / "old" / "newer").exists()


@pytest.mark.parametrize("name", ["..toml", "...", ". .toml"])
def test_no_folder_is_guessed_from_a_name_of_dots(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The default folder is named after the scenario; one that cannot be wants `--out`."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(SMALL)
    assert run(name) == 2
    complaint = capfd.readouterr().err
    assert complaint.startswith("vmapsim: --out: found none")
    assert complaint.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_policies_that_give_up_can_be_tried_on_the_peer_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As configs/lookup-latency.toml says: exit code 1, and the check says how often areas were missed."""
    arguments = ["run", str(ROOT / "configs" / "peer-model.toml"), "--set", "lookup.policy=bounded"]
    assert main([*arguments, "--set", "workload.operations=5000", "--out", str(tmp_path / "out")]) == 1
    assert "check failed: answers_true, " in capfd.readouterr().out


# -- the state at the end -------------------------------------------------------------------------


def vmalloc_scenario(tmp_path: Path, variants: str = "") -> Path:
    path = tmp_path / "vmalloc.toml"
    path.write_text(f"{SMALL}kind = 'vmalloc'\n{variants}")
    return path


def test_the_state_at_the_end_is_written_like_vmallocinfo(tmp_path: Path) -> None:
    """The file is read like a real machine's, and has as many areas and bytes as results.json says."""
    info = tmp_path / "new" / "info"
    assert run(vmalloc_scenario(tmp_path), "--out", tmp_path / "out", "--vmallocinfo", info) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    records = read_vmallocinfo(info)
    unpurged = [record.area for record in records if isinstance(record, UnpurgedLine)]
    busy = [record.area for record in records[: len(records) - len(unpurged)]]

    assert len(busy) == sum(node["areas"] for node in results["nodes"]) > 0
    assert sum(area.size for area in busy) == sum(node["bytes"] for node in results["nodes"])
    assert len(unpurged) == sum(node["lazy_areas"] for node in results["vmap"]["nodes"]) > 0
    assert [path.name for path in info.parent.iterdir()] == ["info"]


def test_each_variant_has_a_file_of_its_state(tmp_path: Path) -> None:
    """FILE.VARIANT, beside each other; by address if so wished, and live, too."""
    path = vmalloc_scenario(
        tmp_path, "[[variant]]\nname = 'a'\n[[variant]]\nname = 'v6.8'\nset = {space.kernel = '6.8'}\n"
    )
    info = tmp_path / "info"
    options = ["--vmallocinfo", info, "--vmallocinfo-order", "address", "--engine", "live"]
    assert run(path, "--out", tmp_path / "out", *options) == 0
    assert sorted(path.name for path in tmp_path.glob("info*")) == ["info.a", "info.v6.8"]
    for file in tmp_path.glob("info*"):
        keys = [(isinstance(record, UnpurgedLine), record.area.va_start) for record in read_vmallocinfo(file)]
        assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--vmallocinfo", "out/results.json"], "--vmallocinfo: found 'out/results.json'"),
        (["--vmallocinfo", "folder"], "folder: found a directory"),
        (["--vmallocinfo", "queue"], "queue: found no regular file"),
        (["--vmallocinfo", "small.toml/info"], "small.toml: found "),
        (["--vmallocinfo", "-"], "--vmallocinfo: found '-'; allowed: a file's name"),
        (["--vmallocinfo", "."], "--vmallocinfo: found '.'; allowed: a file's name"),
        (["--vmallocinfo-order", "node"], "--vmallocinfo-order: found 'node'; allowed: only together with"),
        (["--vmallocinfo", "info", "--vmallocinfo-order", "size"], "'--vmallocinfo-order'"),
    ],
)
def test_a_place_where_the_state_cannot_be_written_is_refused_before_the_run(
    arguments: list[str],
    complaint: str,
    scenario: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One line that names it, and nothing is written, the results neither."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("queue")
    before = sorted(tmp_path.glob("**"))
    assert run(scenario, "--out", "out", *arguments, "--set", "workload.operations=1000000000") == 2
    told = capfd.readouterr().err
    assert complaint in told
    assert told.count("\n") == 1
    assert sorted(tmp_path.glob("**")) == before


# -- the screen -----------------------------------------------------------------------------------


def test_without_arguments_there_is_help(capfd: pytest.CaptureFixture[str]) -> None:
    """The same as with --help, and exit code 0; the help of `run` has exit codes and where the keys are."""
    assert main([]) == main(["--help"]) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    assert shown.out.count("Usage:") == 2
    assert main(["run", "--help"]) == 0
    shown_of_run = capfd.readouterr().out
    assert [word for word in ("130", "docs/reference/scenario.md", "list") if word not in shown_of_run] == []


def test_the_title_says_what_holds_for_all_variants(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nodes that variants disagree on are left out; one thing is singular."""
    path = tmp_path / "several.toml"
    path.write_text(SMALL + '[[variant]]\nname = "a"\n[[variant]]\nname = "b"\nset = {space.nodes = 1}\n')
    main(["run", str(path), "--out", str(tmp_path / "out"), "--set", "machine.cpus=1"])
    title = capfd.readouterr().out.splitlines()[0]
    assert title == "several.toml: mix, 300 operations, 1 CPU, 16-page zones, virtual engine, seed 1"
    path.write_text(SMALL)
    main(["run", str(path), "--out", str(tmp_path / "out"), "--set", "space.nodes=1"])
    assert ", 1 node, " in capfd.readouterr().out.splitlines()[0]


def test_names_with_brackets_are_shown_as_they_are(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """They are no markup, in the file's name, a variant's or the folder's; a line's end in one is escaped."""
    path = tmp_path / "[red] \n.toml"
    path.write_text(SMALL + '[[variant]]\nname = "[bold]"\n')
    assert main(["run", str(path), "--out", str(tmp_path / "[x]")]) == 0
    shown = capfd.readouterr().out
    assert [name for name in ("[red] \\n.toml", "[bold]", "/[x]/") if name not in shown] == []


def screened(scenario: Path, tmp_path: Path, redirections: str) -> tuple[int, str]:
    """Run a small scenario in a shell with its screen redirected; give exit code and stderr."""
    command = f"exec {sys.executable} -m sim run {scenario} --out {tmp_path}/out {redirections}"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("redirections", "told"),
    [
        (">&-", ""),
        (">/dev/full", "vmapsim: the screen cannot be written ([Errno 28] No space left on device)\n"),
        (">/dev/full 2>&1", ""),
        (">&- 2>&-", ""),
    ],
)
def test_a_screen_that_cannot_be_written_costs_no_results(
    redirections: str, told: str, scenario: Path, tmp_path: Path
) -> None:
    """Closed or full: the files are there, the exit code is the run's, and one line says so where it can."""
    assert screened(scenario, tmp_path, redirections) == (0, told)
    assert (tmp_path / "out" / "results.json").exists()
    assert screened(scenario, tmp_path, f"--set lookup.policy=home {redirections}")[0] == 1
    assert screened(scenario, tmp_path, f"--set space.nodes=0 {redirections}")[0] == 2


def test_a_reader_that_went_away_is_no_matter(scenario: Path, tmp_path: Path) -> None:
    """A broken pipe is silent, and the exit code the run's."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "sim", "run", str(scenario), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_letters_that_the_screen_lacks_are_escaped(tmp_path: Path) -> None:
    """An ASCII screen shows the title and the complaint, and raises nothing."""
    path = tmp_path / "größe.toml"
    path.write_text(SMALL)
    command = [sys.executable, "-m", "sim", "run", str(path), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("gr\\xf6\\xdfe.toml: mix")
    command += ["--set", "workload.kind=größe"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "gr\\xf6\\xdfe" in done.stderr


# -- interrupts -----------------------------------------------------------------------------------

INTERRUPT = "os.kill(os.getpid(), signal.SIGINT)"
PAUSES = f"""
import sim.metrics.recorder as r
fold = r.Recorder.fold_if_due
def pause(self): fold(self); {INTERRUPT}
r.Recorder.fold_if_due = pause
"""
LOADS = f"""
import sim.scenario
sim.scenario.load_scenarios = lambda *_: {INTERRUPT}
"""
SECOND_RUN = f"""
import sim.simulation as s
simulate, calls = s.simulate, []
def again(*arguments, **options):
    calls.append(1)
    if len(calls) == 2: {INTERRUPT}
    return simulate(*arguments, **options)
s.simulate = again
"""
SHOWS = f"""
import sim.summary as s
s.show_run = lambda *_: {INTERRUPT}
"""
WRITES = f"""
import sim.files as r
r.to_json = lambda *_: {INTERRUPT}
"""


def interrupted(patch: str, *arguments: object) -> str:
    """Run in a process that interrupts itself where it is patched, at no guessed time; give its stderr.

    A suite that runs in the background may have been given SIGINT as a signal to ignore: here it is none.
    """
    heard = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"import os, signal, sys\n{heard}\n{patch}\nfrom sim.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "run", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("patch", [PAUSES, LOADS, WRITES], ids=["pauses", "loads", "writes"])
def test_ctrl_c_ends_a_run_and_leaves_nothing(patch: str, scenario: Path, tmp_path: Path) -> None:
    """SIGINT, also again and again in a long run, ends it with one line, no results and no folder."""
    operations = "workload.operations=10000000" if patch == PAUSES else "workload.operations=100"
    told = interrupted(patch, scenario, "--out", tmp_path / "out", "--set", operations)
    assert told == "vmapsim: interrupted; nothing was written\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("ignored", [False, True], ids=["in front", "in the background"])
def test_sigterm_ends_a_run_in_order(ignored: bool, scenario: Path, tmp_path: Path) -> None:
    """As an interrupt does, with its own exit code; also where interrupts are ignored, as a shell has it."""
    hears = "SIG_IGN" if ignored else "default_int_handler"
    patch = PAUSES.replace("SIGINT", "SIGTERM")
    code = f"import os, signal, sys\nsignal.signal(signal.SIGINT, signal.{hears})\n{patch}"
    command = [sys.executable, "-c", f"{code}\nfrom sim.cli import main; sys.exit(main(sys.argv[1:]))"]
    words = ["run", str(scenario), "--out", str(tmp_path / "out"), "--set", "workload.operations=1000000"]
    done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (143, "vmapsim: terminated; nothing was written\n")
    assert not (tmp_path / "out").exists()


def test_ctrl_c_after_a_variant_says_what_there_is(tmp_path: Path) -> None:
    """The results of variants that were over stay, and the line names them."""
    path, out = tmp_path / "three.toml", tmp_path / "out"
    path.write_text(SMALL + "".join(f"[[variant]]\nname = '{name}'\n" for name in ("one", "two", "three")))
    assert interrupted(SECOND_RUN, path, "--out", out) == f"vmapsim: interrupted; results of one are in {out}\n"
    assert sorted(str(path.relative_to(out)) for path in out.glob("**/*")) == [
        "one",
        "one/log.jsonl",
        "one/results.json",
    ]


def test_ctrl_c_on_the_screen_says_that_results_are_written(scenario: Path, tmp_path: Path) -> None:
    """What is on the disk is complete then."""
    out = tmp_path / "out"
    assert interrupted(SHOWS, scenario, "--out", out) == f"vmapsim: interrupted; results of small are in {out}\n"
    assert (out / "results.json").exists()


@pytest.mark.parametrize("processes", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_the_same_scenario_gives_one_digest_in_many_processes(processes: int, tmp_path: Path) -> None:
    """A scenario full of ties, in processes with different hash seeds: the same bytes but for wall_s."""
    path = tmp_path / "ties.toml"
    path.write_text(
        SMALL
        + "[costs]\nlock_ns = 10\nvisit_ns = 0\ninsert_ns = 10\nlink_ns = 0\n[batch]\nstrategy = 'parallel'\n"
        + "[lookup]\npolicy = 'scatter'\n[workload.mix]\nfind = 0.5\ninsert_batch = 0.2\n"
    )
    running = []
    for number in range(processes):
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
    assert [process.wait() for process in running] == [0] * processes
    texts = set()
    for number in range(processes):
        results = json.loads((tmp_path / str(number) / "results.json").read_text())
        del results["wall_s"]
        texts.add(json.dumps(results) + (tmp_path / str(number) / "log.jsonl").read_text())
    assert len(texts) == 1


def test_an_error_of_the_users_among_the_actors_is_one_line(
    scenario: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A policy that asks a node twice fails in a client's task, and is told in one line like any other mistake."""
    monkeypatch.setattr("protocol.policies.load", lambda _name, **_options: lambda home, _nodes: ((home,), (home,)))
    assert run(scenario) == 2
    complaint = capfd.readouterr().err
    assert complaint.count("\n") == 1
    assert "twice" in complaint


VMALLOCINFO = ROOT / "tests" / "data" / "deb-smp4-scan-vmallocinfo-mid.txt.gz"


def test_replay_of_vmallocinfo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables on the screen, a partition.json in the folder; without --cpus those of the file's order."""
    out = tmp_path / "out"
    assert main(["replay", "--vmallocinfo", str(VMALLOCINFO), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "172 busy areas" in printed
    assert "the file's order agrees with 4 nodes" in printed
    assert [path.name for path in out.iterdir()] == ["partition.json"]
    assert json.loads((out / "partition.json").read_text())["nodes"] == 4

    assert main(["replay", "--vmallocinfo", str(VMALLOCINFO), "--cpus", "3"]) == 0
    assert "does not agree with 3 nodes (with 4); first at line 14: 0xffff" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# tracer: nop\n", "line 1: found '# tracer: nop'; allowed: 0xSTART-0xEND BYTES"),
        ("0x0000000000000000-0x0000000000000000    8192 vmalloc\n", "line 1: found addresses that are hidden"),
        ("", "found no areas; allowed: the text of /proc/vmallocinfo"),
    ],
)
def test_replay_of_a_bad_vmallocinfo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    """Exit 2, one line that names file and line, nothing written."""
    path, out = tmp_path / "vmallocinfo", tmp_path / "out"
    path.write_text(text)
    assert main(["replay", "--vmallocinfo", str(path), "--cpus", "4", "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("vmapsim: ")
    assert complaint in printed.err
    assert printed.err.count("\n") == 1
    assert not out.exists()
