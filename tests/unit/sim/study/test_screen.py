"""The screen after a study: what is shown agrees with itself, and a word is said of what went wrong."""

import re
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from sim.study.campaign import CellResult
from sim.study.cells import cells_of
from sim.study.model import Study, load_study
from sim.study.screen import show_study
from sim.study.store import Record
from sim.study.tables import comparison_rows
from tests.unit.sim.study import written

BASE = (10.0, 12.0, 9.0, 11.0)
NEARLY = (11.0, 12.35, 9.85, 11.4)
"""More than `BASE` as the only comparison, at 95 %, and undecided as one of four."""
MORE = (11.0, 13.1, 10.0, 12.1)

SHOWN = re.compile(r"(~?)([+-][\d.,]+) ±([\d.]+)%")


def record(mean_ns: float, answers_true: bool = True) -> Record:
    """Give what a replication leaves, as far as the screen knows it."""
    check = {"ok": answers_true, "count": int(not answers_true), "first": "a lookup missed"}
    return {
        "metrics": {"latency.all.mean_ns": mean_ns, "latency.find.p99_ns": mean_ns},
        "checks": {"answers_true": check},
        "warmup": {"dropped": 0, "of": 300, "settled": True},
    }


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return load_study(written(tmp_path))


def results_of(study: Study, values: Callable[[str], Sequence[float]]) -> list[CellResult]:
    """Give results of all cells: the values of the replications of each policy."""
    found = [(cell, values(str(cell.levels["policy"]))) for cell in cells_of(study)]
    return [CellResult(cell, list(range(4)), list(map(record, own)), reached=True) for cell, own in found]


def screen_of(study: Study, results: Sequence[CellResult]) -> str:
    console = Console(file=(file := StringIO()), width=120)
    show_study(console, study, results, "tables in here/")
    return file.getvalue()


def test_a_difference_is_undecided_where_the_interval_beside_it_holds_0(study: Study) -> None:
    """The interval that is shown is the one that decides: that of four comparisons at once."""
    results = results_of(study, lambda policy: {"backward": BASE, "home": MORE}.get(policy, NEARLY))
    shown = [(mark, float(mean), float(half)) for mark, mean, half in SHOWN.findall(screen_of(study, results))]
    assert len(shown) == 2 * 4
    assert [mark for mark, _mean, _half in shown] == ["~", ""] * 4
    assert all((abs(mean) <= half) == bool(mark) for mark, mean, half in shown)


def test_the_table_has_both_intervals(study: Study) -> None:
    """The one of a single comparison, and the wider one that the verdict goes by."""
    rows = comparison_rows(study, results_of(study, lambda policy: BASE if policy == "backward" else NEARLY))
    assert {row["verdict"] for row in rows} == {"undecided"}
    for row in rows:
        assert row["verdict_low"] < 0 < row["ci_low"] < row["difference"] < row["ci_high"] < row["verdict_high"]
