"""Published figures: the page is what its figures make, and the figures are what the runs give."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from sim.published import __main__ as command
from sim.published.figures import V1_DEFAULT_US, V3_DEFAULT, V3_SERIES
from sim.published.page import _us_per_loop, mean_error, page, slowpath
from sim.published.runs import ALL, Run, figures_of, kept, text_of

ROOT = Path(__file__).parents[3]
BY_NAME = {run.name: run for run in ALL}
QUICK = ("jobs/1", "jobs/2", "jobs-fifo/2")


def test_the_page_is_what_the_kept_figures_make() -> None:
    """`python -m sim.published docs/explanation` writes it anew."""
    written = (ROOT / "docs" / "explanation" / "published-figures.md").read_text(encoding="utf-8")
    assert page(kept()) == written


def test_all_runs_are_kept_and_no_others() -> None:
    """In the order in which they are listed."""
    assert [*kept()] == [run.name for run in ALL]


def test_version_1s_default_column_is_met() -> None:
    """32 rows within 15 % on average, and a rise that is four times as steep up to 4 jobs as from 16 on."""
    ours = [_us_per_loop(kept()[f"jobs/{jobs}"]) for jobs in range(1, 33)]
    assert mean_error(ours, V1_DEFAULT_US) <= 0.15
    rise, after = (ours[3] - ours[0]) / 3, (ours[31] - ours[15]) / 16
    assert rise > 2.5 * after


def test_version_3s_headline_is_predicted_as_the_page_says() -> None:
    """The published ratio and shares are those of the cover letter."""
    assert V3_DEFAULT.wall_s / V3_SERIES.wall_s == pytest.approx(12.695, abs=0.001)
    shares = [slowpath(figures) for name, figures in kept().items() if name.startswith("headline/")]
    assert all(0 < share < 1 for share in shares)


@pytest.mark.parametrize("name", QUICK)
def test_a_run_gives_the_figures_that_are_kept(name: str) -> None:
    """Byte for byte: its digest is over every event."""
    assert figures_of(BY_NAME[name]) == kept()[name]


@pytest.mark.slow
@pytest.mark.parametrize("run", ALL, ids=lambda run: run.name)
def test_all_runs_give_the_figures_that_are_kept(run: Run) -> None:
    assert figures_of(run) == kept()[run.name]


def test_the_command_runs_what_is_asked_for_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--run --only` one run is carried out anew; both files are written."""
    figures = kept()
    (tmp_path / "results.json").write_text(text_of({**figures, "jobs/1": {}}))
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(command, "kept", lambda: {**figures, "jobs/1": {}})
    monkeypatch.setattr(command, "ALL", [BY_NAME["jobs/1"]])
    result = CliRunner().invoke(command.main, [str(tmp_path), "--run", "--only", "jobs/1"], catch_exceptions=False)
    assert result.exit_code == 0
    assert (tmp_path / "results.json").read_text() == text_of(figures)
    assert (tmp_path / "published-figures.md").read_text() == page(figures)
