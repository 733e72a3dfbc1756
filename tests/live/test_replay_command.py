"""`replay` on the command line: what it prints, what it leaves, and what it refuses."""

import gzip
import io
import json
from pathlib import Path

import pytest

from sim.cli import main

DATA = Path(__file__).parents[1] / "data"
MIXED = DATA / "vn-smp2-mixed.txt.gz"


def test_a_trace_is_replayed_and_results_are_left(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The screen says what was explained and how; results.json has the contract's keys and the same numbers."""
    assert main(["replay", str(MIXED), "--kernel", "6.10", "--out", str(tmp_path)]) == 0
    printed = capfd.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    replayed = results["replay"]
    assert replayed["kernel"] == "6.10"
    assert replayed["allocations"] == 3868
    explained = replayed["as_printed"] + replayed["reordered"] + replayed["purge_phase"]
    assert replayed["share"] == explained / replayed["allocations"]
    assert f"explained: {replayed['share']:.2%}" in printed
    assert replayed["first_unexplained"][0]["actual"] in printed
    assert results["vmalloc_range"] == {
        "start": "0xffffc90000000000",
        "end": "0xffffe8ffffffffff",
        "requests": 3804,
    }
    assert "vmalloc's range 0xffffc90000000000:0xffffe8ffffffffff: 3,804 of 3,868 requests" in printed
    assert results["nodes"][0]["id"] == 0
    assert results["checks"]["nothing_lost"]["ok"]


def test_a_trace_can_come_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`-` reads what is piped in, packed or not."""
    text = b"".join(gzip.decompress(MIXED.read_bytes()).splitlines(keepends=True)[:300])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text))))
    assert main(["replay", "-", "--kernel", "6.10", "--out", str(tmp_path)]) == 0
    assert "standard input" in capfd.readouterr().out


def test_vmallocs_range_can_be_given(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Results and screen say that it is another, and no request is for it; so no pool serves one."""
    words = ["--kernel", "6.10", "--vmalloc-range", "ffffc47300000000:0xffffe472ffffffff"]
    assert main(["replay", str(DATA / "deb-smp4-boot-perf.txt.gz"), *words, "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["vmalloc_range"] == {"start": "0xffffc47300000000", "end": "0xffffe472ffffffff", "requests": 0}
    assert results["replay"]["pool_hits"] == 0
    assert "vmalloc's range 0xffffc47300000000:0xffffe472ffffffff: 0 of 194 requests" in capfd.readouterr().out


def test_results_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    """Two replays of one trace differ in nothing."""
    for name in ("first", "second"):
        assert main(["replay", str(MIXED), "--kernel", "6.9", "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "first/results.json").read_bytes() == (tmp_path / "second/results.json").read_bytes()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "neither of TRACE and --vmallocinfo"),
        ([str(MIXED), "--vmallocinfo", "x"], "both of TRACE and --vmallocinfo"),
        (["--vmallocinfo", "x", "--vmalloc-range", "0:1"], "--vmalloc-range: found 0:1, with --vmallocinfo"),
        (["--vmallocinfo", "x", "--initial", "y"], "--initial: found y, with --vmallocinfo"),
        (["--vmallocinfo", "x", "--kernel", "6.9"], "--kernel: found '6.9', with --vmallocinfo"),
        ([str(MIXED), "--kernel", "5.4"], "--kernel: found '5.4'"),
        ([str(MIXED), "--cpus", "0"], "--cpus"),
        (
            [str(MIXED), "--vmalloc-range", "0xffffc90000000000"],
            "--vmalloc-range: found '0xffffc90000000000'; allowed",
        ),
        (
            [str(MIXED), "--vmalloc-range", "ffffc9:vend"],
            "--vmalloc-range: found 'ffffc9:vend'; allowed: START:END",
        ),
        ([str(MIXED), "--vmalloc-range", "2:1"], "--vmalloc-range: found 0x2:0x1; allowed: START below END"),
        (["no-such-trace"], "no-such-trace"),
        ([str(MIXED), "--initial", "no-such-file"], "no-such-file"),
        ([str(DATA / "deb-smp4-scan.txt.gz")], "line 2"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line that says what was found where, and nothing written."""
    monkeypatch.chdir(tmp_path)
    assert main(["replay", *words]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert named in error
    assert list(tmp_path.iterdir()) == []
