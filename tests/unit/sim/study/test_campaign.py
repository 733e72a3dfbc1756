"""Campaigns: each cell is replicated until the rule is satisfied, in whatever order results come."""

import csv
import io
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet
import pytest
from attrs import define

from sim.errors import BadInput
from sim.study import campaign, store
from sim.study.campaign import CellResult
from sim.study.cells import cells_of
from sim.study.model import Study, load_study
from sim.study.outputs import outputs_of
from sim.study.replication import Failure, Task
from sim.study.runners import Work
from sim.study.store import Record
from sim.study.tables import cell_rows, comparison_rows, replication_rows, to_csv, to_parquet
from tests.unit.sim.study import STUDY, written


@define
class Here:
    """A runner in this process that gives results in an order of its own."""

    random: Random

    def results(self, queue: deque[Task], work: Work) -> Iterator[tuple[Task, Record | Failure]]:
        while queue:
            place = self.random.randrange(len(queue))
            task = queue[place]
            del queue[place]
            yield task, work(task)


def observed(task: Task) -> dict[str, Any]:
    """Make up a replication: known means per cell, noise of its seed, more of it in later cells."""
    noise = Random(task.scenario.seed).gauss(0, 1 + 2 * task.cell)
    return {
        "operations": 10,
        "metrics": {"latency.all.mean_ns": 100.0 + task.cell + noise, "latency.find.p99_ns": 7},
        "warmup": {"dropped": 2, "of": 10, "settled": task.replication != -1},
        "checks": {"overlap": {"ok": True, "count": 0, "first": None}},
        "curves": {"find": {"ns": [100], "count": [10]}},
        "asked": {"1": [10, 100.0, 7]},
        "locks": [["busy/0", 10, 100, 10]],
        "load": {"ends_ns": [10], "held": {"busy/0": [0.5]}},
    }


def conducted(study: Study, folder: Path, work: Work = observed, order: int = 1) -> list[CellResult]:
    with store.opened(folder) as replications:
        return campaign.conduct(study, cells_of(study), replications, Here(Random(order)), work=work)


def test_cells_are_replicated_until_they_are_known(tmp_path: Path) -> None:
    """Noisy cells take more replications; a cell has reached the precision, or has had all it may."""
    study = load_study(written(tmp_path))
    results = conducted(study, tmp_path)
    counts = [len(result.records) for result in results]
    assert counts[0] == 3
    assert counts[-1] == 6
    assert [result.reached for result in results][0::5] == [True, False]
    for result, row in zip(results, cell_rows(study, results), strict=True):
        assert row["replications"] == len(result.records)
        half_width = (row["latency.all.mean_ns.ci_high"] - row["latency.all.mean_ns.ci_low"]) / 2
        assert result.reached == (half_width <= 0.03 * row["latency.all.mean_ns"])
        assert row["warmup_dropped"] == 0.2
        assert row["warmup_unsettled"] == 1


def test_the_order_of_results_does_not_matter(tmp_path: Path) -> None:
    """Whatever ends first, the study's files are the same bytes."""
    study = load_study(written(tmp_path))
    files = []
    for order in range(5):
        folder = tmp_path / str(order)
        folder.mkdir()
        files.append(outputs_of(study, conducted(study, folder, order=order)))
    assert all(other == files[0] for other in files[1:])


def test_what_is_there_is_not_run_again(tmp_path: Path) -> None:
    """A campaign that is conducted twice runs nothing the second time; tightened, it runs only what is missing."""
    study = load_study(written(tmp_path))
    first = conducted(study, tmp_path)

    def never(task: Task) -> Record | Failure:
        raise AssertionError(f"{task.cell}/{task.replication} was there")

    assert conducted(study, tmp_path, never) == first
    tight = load_study(written(tmp_path, STUDY.replace("0.03", "0.0001")))
    seen = []

    def noted(task: Task) -> Record | Failure:
        seen.append((task.cell, task.replication))
        return observed(task)

    assert all(len(result.records) == 6 for result in conducted(tight, tmp_path, noted))
    assert len(seen) == len(set(seen)) == 36 - sum(len(result.records) for result in first)


def test_a_cell_that_fails_is_named_with_its_seed_and_the_rest_goes_on(tmp_path: Path) -> None:
    """The first replication that fails decides, in the cell's order; other cells have their figures."""
    study = load_study(written(tmp_path))

    def broken(task: Task) -> Record | Failure:
        return (
            Failure(f"broke in {task.replication}") if task.cell == 2 and task.replication > 0 else observed(task)
        )

    for order in range(4):
        folder = tmp_path / str(order)
        folder.mkdir()
        results = conducted(study, folder, broken, order)
        assert results[2].failure == "broke in 1"
        assert f"--seed {results[2].seeds[1]}" in results[2].command(-1)
        rows = cell_rows(study, results)
        assert rows[2]["error"] == "broke in 1"
        assert rows[2]["latency.all.mean_ns"] is None
        assert all(row["error"] is None and row["latency.all.mean_ns"] for row in rows if row["cell"] != 2)
        compared = {(row["policy"], row["space.nodes"]) for row in comparison_rows(study, results)}
        assert compared == {("forward", 3), ("home", 3)}, "cell 2 is the baseline of one node"
        # failures are not kept: the next campaign tries again
        assert conducted(study, folder)[2].failure is None


def test_a_metric_that_a_replication_does_not_have_is_a_failed_cell(tmp_path: Path) -> None:
    """The cell says which metric was missing and what there is; chance may have left it out."""
    study = load_study(written(tmp_path, STUDY.replace('metric = "latency.all.mean_ns"', f'metric = "{ALLOC}"')))

    def rarely(task: Task) -> Record | Failure:
        metrics = observed(task)["metrics"]
        return observed(task) | {"metrics": metrics if task.replication == 1 else {**metrics, ALLOC: 5.0}}

    result = conducted(study, tmp_path, rarely)[0]
    assert result.failure == f"no {ALLOC} in every replication; under latency there are: all, alloc, find"


ALLOC = "latency.alloc.mean_ns"


@pytest.mark.parametrize(
    ("key", "changed", "cells", "words"),
    [
        ("precision.metric", ('metric = "latency.all.mean_ns"', f'metric = "{ALLOC}"'), 1, "the first run of "),
        ("metrics", ('"latency.find.p99_ns"]', f'"latency.find.p99_ns", "{ALLOC}"]'), 6, "any cell's first run"),
        ("metrics", ('baseline = "backward"', f'baseline = "backward"\nmetrics = ["{ALLOC}"]'), 6, "any cell's"),
    ],
)
def test_a_metric_of_an_operation_that_never_occurs_is_said_at_once(
    tmp_path: Path, key: str, changed: tuple[str, str], cells: int, words: str
) -> None:
    """By the first run where it decides, and when all cells have begun elsewhere; the line says what there is.

    A campaign that goes on says it before it runs anything.
    """
    study = load_study(written(tmp_path, STUDY.replace(*changed)))
    seen = []

    def noted(task: Task) -> Record | Failure:
        seen.append((task.cell, task.replication))
        return observed(task)

    for stored in (False, True):
        seen.clear()
        with pytest.raises(BadInput, match=f"{key}: found {ALLOC}, which is not in {words}") as caught:
            conducted(study, tmp_path, noted)
        assert str(caught.value).endswith("; allowed: what there is under latency: all, find")
        begun = [cell for cell, _replication in seen]
        assert begun.count(begun[-1]) == 1 if begun else stored
        assert len(set(begun)) in (cells, 0)


def test_comparisons_are_of_pairs_with_common_seeds(tmp_path: Path) -> None:
    """Cells whose noise is common differ by exactly their means: the interval of the difference is 0 wide."""
    study = load_study(written(tmp_path))

    def common(task: Task) -> Record | Failure:
        noise = Random(task.scenario.seed).gauss(0, 5)
        return observed(task) | {
            "metrics": {"latency.all.mean_ns": 100.0 + task.cell + noise, "latency.find.p99_ns": 7}
        }

    found = comparison_rows(study, conducted(study, tmp_path, common))
    rows = [row for row in found if row["metric"] == "latency.all.mean_ns"]
    assert [(row["policy"], row["space.nodes"]) for row in rows] == [
        ("forward", 1),
        ("forward", 3),
        ("home", 1),
        ("home", 3),
    ]
    for row in rows:
        expected = -2 if row["policy"] == "forward" else 2
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((expected, expected))
        assert row["verdict"] == ("less" if expected < 0 else "more")
        assert row["variance_ratio"] == pytest.approx(0, abs=1e-20)


def test_tables_say_the_same_in_both_formats(tmp_path: Path) -> None:
    """Parquet and CSV have the same columns and figures."""
    study = load_study(written(tmp_path))
    results = conducted(study, tmp_path)
    for rows in (cell_rows(study, results), comparison_rows(study, results), replication_rows(results)):
        table = pyarrow.parquet.read_table(io.BytesIO(to_parquet(rows)))
        read = list(csv.DictReader(io.StringIO(to_csv(rows))))
        assert table.column_names == list(rows[0]) == list(read[0])
        assert table.to_pylist() == rows
        assert [list(line.values()) for line in read] == [
            ["" if value is None else str(value) for value in row.values()] for row in rows
        ]


def test_replications_have_a_row_each(tmp_path: Path) -> None:
    """Anything else can be computed from the table of replications: seeds and all metrics are there."""
    results = conducted(load_study(written(tmp_path)), tmp_path)
    rows = replication_rows(results)
    assert len(rows) == sum(len(result.records) for result in results)
    assert rows[0]["seed"] == str(results[0].seeds[0])
    assert rows[0]["latency.all.mean_ns"] == pytest.approx(results[0].records[0]["metrics"]["latency.all.mean_ns"])


def test_the_summary_has_what_was_asked_and_found(tmp_path: Path) -> None:
    """study.json holds the plan, the levels, and the rows of the tables."""
    study = load_study(written(tmp_path))
    summary = json.loads(outputs_of(study, conducted(study, tmp_path))["study.json"])
    assert summary["schema"] == 1
    assert summary["study"]["factors"] == {"policy": ["forward", "backward", "home"], "space.nodes": [1, 3]}
    assert summary["study"]["compare"]["baseline"] == "backward"
    assert len(summary["cells"]) == 6
    assert summary["code"].startswith("sha256:")
