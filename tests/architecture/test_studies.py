"""The studies of configs/ can be run: all of them are read, and the slow test runs them to the end."""

from pathlib import Path

import pytest

from sim.cli import main
from sim.study.cells import cells_of
from sim.study.model import load_study

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "configs" / "studies").glob("*.toml"))
REVIEW = sorted((ROOT / "configs" / "review").glob("*.toml"))
CELLS = {
    "policies": 5 * 8 * 3,
    "batching": 6 * 5 * 3,
    "coverage": 2 * 200,
    "machine": 3 * 4,
    "lookups-of-a-boot": 2 * 2 * 4,
    "lookups-by-size": 2 * 3 * 3 * 4,
    "percpu": 2 * 2 * 3 * 3,
    "batches-of-a-boot": 2 * 4,
    "large-batches": 2 * 2 * 2 * 4,
    "node-0-only": 2 * 5,
    "dump-obj": 2 * 3 * 3,
    "span-directory": 6,
    "adaptive": 8,
}


@pytest.mark.parametrize("path", [*STUDIES, *REVIEW], ids=lambda path: path.stem)
def test_studies_span_their_cells(path: Path) -> None:
    """Each study of configs/ has the cells its heading promises, and all their scenarios are possible."""
    assert len(cells_of(load_study(path))) == CELLS[path.stem]


@pytest.mark.slow
@pytest.mark.parametrize("path", REVIEW, ids=lambda path: path.stem)
def test_the_studies_of_the_review_leave_what_its_page_is_made_from(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`./dev study configs/review/NAME.toml` gives the very bytes beside docs/explanation's page."""
    monkeypatch.chdir(ROOT)
    assert main(["study", str(path.relative_to(ROOT)), "--out", str(tmp_path), "--quiet"]) == 0
    kept = ROOT / "docs" / "explanation" / "the-review-answered" / path.stem
    for file in kept.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes(), file.name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["policies", "batching"])
def test_studies_are_the_same_bytes_on_one_process_two_and_a_cluster(name: str, tmp_path: Path) -> None:
    """`--jobs 1`, `--jobs 2` and Dask leave the same tables, and no cell fails."""
    path = next(path for path in STUDIES if path.stem == name)
    tables = []
    for where in (["--jobs", "1"], ["--jobs", "2"], ["--scheduler", "local", "--jobs", "2"]):
        out = tmp_path / "-".join(where)
        assert main(["study", str(path), "--out", str(out), "--quiet", *where]) == 0
        tables.append({file.name: file.read_bytes() for file in out.iterdir()})
    assert tables[0] == tables[1] == tables[2]
