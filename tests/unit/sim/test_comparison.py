"""Comparisons of folders: what was asked differently, every figure with its difference, mistakes in a line."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sim.cli import main
from sim.comparison import Comparison, compared, show_comparison
from sim.errors import BadInput
from tests.unit.sim.study import SCENARIO, written


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two runs that differ in a key, a run with variants, and two studies."""
    root = tmp_path_factory.mktemp("compared")
    study = written(root)
    (root / "variants.toml").write_text(SCENARIO + '[[variant]]\nname = "x"\n')
    for name, file, changes in (
        ("a", "small.toml", []),
        ("b", "small.toml", ["--set", "costs.link_ns=120"]),
        ("variants", "variants.toml", []),
    ):
        assert main(["run", str(root / file), "--out", str(root / name), "--quiet", *changes]) == 0
    for name, changes in (("s", []), ("t", ["--set", "costs.link_ns=120"])):
        command = ["study", str(study), "--out", str(root / name), "--jobs", "2", "--quiet", *changes]
        assert main(command) == 0
    return {path.name: path for path in root.iterdir() if path.is_dir()}


def test_runs_side_by_side(folders: dict[str, Path]) -> None:
    """The one key that differs, and figures that are those of the two files."""
    found = compared(folders["a"], folders["b"])
    assert found.asked == {"costs.link_ns": (60, 120)}
    means = {one.metric: one for one in found.figures}["latency.all.mean_ns"]
    results = [json.loads((folders[name] / "results.json").read_text()) for name in "ab"]
    assert (means.a, means.b) == tuple(result["latency"]["all"]["mean_ns"] for result in results)
    assert means.relative == pytest.approx(means.b / means.a - 1)
    assert means.apart is None


def test_a_folder_is_like_itself(folders: dict[str, Path]) -> None:
    """Nothing asked differently, no difference anywhere; of a study no interval is apart."""
    for name in ("a", "variants", "s"):
        found = compared(folders[name], folders[name])
        assert not found.asked
        assert found.only == ([], [])
        assert found.figures
        assert {one.relative for one in found.figures} == {0.0}
        assert not any(one.apart for one in found.figures)


def test_studies_are_compared_cell_by_cell(folders: dict[str, Path]) -> None:
    """Each cell's metrics stand beside each other, and intervals that do not overlap are marked."""
    found = compared(folders["s"], folders["t"])
    assert found.asked["set.costs.link_ns"] == (None, 120)
    means = [one for one in found.figures if one.metric == "latency.all.mean_ns"]
    assert len(means) == 6
    assert all(one.apart and one.b > one.a for one in means if "nodes=3" in one.of)


def test_the_screen_and_json_say_the_same(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """`compare A B` prints tables, with --json all of it."""
    assert main(["compare", str(folders["a"]), str(folders["b"])]) == 0
    screen = capsys.readouterr().out
    assert "costs.link_ns" in screen
    assert "all p99 (ns)" in screen
    assert main(["compare", str(folders["a"]), str(folders["b"]), "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    mean = next(one for one in whole["figures"] if one["metric"] == "latency.all.mean_ns")
    assert f"{mean['relative']:+.1%}" in screen


def test_long_values_leave_the_keys_and_each_other_whole() -> None:
    """What was asked differently stands under its key, however long it is; it goes on in the next line."""
    long = ["locks.busy.handoffs", "latency.find_interior.p999_ns", "latency.insert_batch.p999_ns"]
    asked: dict[str, tuple[Any, Any]] = {
        "metrics": (long, long[:2]),
        "set.workload.trace.times": ("1" * 70, "2" * 70),
        "costs.link_ns": (60, None),
    }
    console = Console(file=(file := StringIO()), width=120)
    show_comparison(console, Comparison((Path("a"), Path("b")), asked, [], ([], [])))
    text = "".join(file.getvalue().split())
    for word in ("set.workload.trace.times", "costs.link_ns", "metrics", *long, "None"):
        assert word in text, word
    assert (text.count("1"), text.count("2")) == (70, 70)


@pytest.mark.parametrize(("a", "b", "words"), [("a", "s", "same kind"), ("a", "none", "no results")])
def test_what_cannot_be_compared(folders: dict[str, Path], a: str, b: str, words: str) -> None:
    """Folders of different kinds, and folders without results, are refused in one line."""
    with pytest.raises(BadInput, match=words):
        compared(folders[a], folders["a"].parent / b)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("results.json", '{"schema": 1}', "no whole results .KeyError: 'engine'."),
        ("results.json", '{"schema": 1, "engine": "virtual", "scenario": []}', "no whole results .TypeError"),
        ("study.json", '{"schema": 1, "study": {"factors": []}}', "no whole results .KeyError: 'cells'."),
        (
            "study.json",
            '{"schema": 1, "code": "", "study": {"factors": []}, "cells": [{"latency.all.mean_ns": "x"}]}',
            "no whole results .TypeError: latency.all.mean_ns is 'x'.",
        ),
    ],
)
def test_results_that_are_not_whole_are_one_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    """Somebody has cut or changed them."""
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=f"{name}: found {words}.*; allowed: a file as run or study wrote it"):
        compared(tmp_path, tmp_path)


def test_a_run_prints_its_results_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`run --json` prints results.json and nothing else; of variants an object of them by name."""
    (tmp_path / "one.toml").write_text(SCENARIO)
    (tmp_path / "two.toml").write_text(SCENARIO + '[[variant]]\nname = "x"\n[[variant]]\nname = "y"\n')
    assert main(["run", str(tmp_path / "one.toml"), "--out", str(tmp_path / "out"), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.out == (tmp_path / "out" / "results.json").read_text()
    assert not captured.err
    assert main(["run", str(tmp_path / "two.toml"), "--out", str(tmp_path / "both"), "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert both == {name: json.loads((tmp_path / "both" / name / "results.json").read_text()) for name in "xy"}
