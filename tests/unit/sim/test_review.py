"""The page that answers the review: it is what the studies' tables give, and its pictures are of these figures."""

from pathlib import Path

import pytest

from sim.review.answers import STUDIES, Claims, Unsupported
from sim.review.page import DATA, page, pictures
from sim.review.pictures import draw, drawn_from
from sim.review.tables import Change, Figure, StudyTables, markdown, read

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "explanation"


@pytest.fixture(scope="module")
def tables() -> dict[str, StudyTables]:
    return {name: read(FOLDER / DATA, name) for name in STUDIES}


def test_the_page_is_what_the_tables_give(tables: dict[str, StudyTables]) -> None:
    """`python -m sim.review out docs/explanation` writes it anew, from studies that have been run."""
    assert (FOLDER / f"{DATA}.md").read_text(encoding="utf-8") == page(tables)


def test_the_pictures_are_of_the_tables(tables: dict[str, StudyTables]) -> None:
    """Each says which figures it was drawn from, whichever matplotlib drew it."""
    for name, picture in pictures(tables).items():
        assert drawn_from(picture) in (FOLDER / DATA / name).read_text(encoding="utf-8"), name


def test_a_picture_is_drawn_the_same_twice(tables: dict[str, StudyTables]) -> None:
    """No date and no random names in it; what is written in it is text."""
    for picture in pictures(tables).values():
        drawn = draw(picture)
        assert drawn == draw(picture)
        assert "<text" in drawn


def test_no_study_failed(tables: dict[str, StudyTables]) -> None:
    """Every cell of every table has all its figures."""
    for study in tables.values():
        assert all(not row["error"] for row in study.cells), study.name


def test_a_claim_that_does_not_hold_stops_the_page() -> None:
    """A sentence must not outlive what it rests on."""
    claim = Claims([])
    claim("this holds", True)
    with pytest.raises(Unsupported, match="this does not"):
        claim("this does not", False)
    assert claim.made == ["this holds"]


def test_figures_are_written_with_half_their_interval() -> None:
    """Nanoseconds are whole, shares have a digit, differences say whether they may be none."""
    assert Figure(1147.4, 1060.0, 1234.0).ns() == "1,147 ± 87"
    assert Figure(0.1234, 0.1184, 0.1284).share() == "12.3 % ± 0.5"
    assert Figure(0.25, 0.25, 0.25).share() == "25 %"
    assert str(Change(-0.1, 0.01, True)) == "-10.0 ± 1.0 %"
    assert str(Change(0.1, 0.2, False)) == "~+10.0 ± 20.0 %"
    assert str(Change(0.0, 0.0, False)) == "same"
    assert markdown(["a", "b"], [["x", "1"]]).splitlines() == ["| a | b |", "| --- | --: |", "| x | 1 |"]
