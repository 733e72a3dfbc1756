"""What the how-to pages' own examples do beyond their contracts, which the pages' commands check."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol import policies, registry, strategies
from protocol.area import VmapArea, ZoneLayout
from sim import extensions
from sim.contracts.strategies import sessions_of
from tests.docs import ROOT, write_files

HOW_TO = ROOT / "docs" / "how-to"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Write the files of all pages; take back what a test has loaded."""
    for page in ("extend.md", "write-a-policy.md", "write-a-strategy.md"):
        write_files(HOW_TO / page, tmp_path)
    yield tmp_path
    extensions.unload()


def test_outward_asks_by_turns_behind_and_ahead(folder: Path) -> None:
    """The nearest nodes of the ring first."""
    extensions.load(folder / "outward.py")
    assert policies.load("outward")(2, 5) == ((2,), (1,), (3,), (0,), (4,))


def test_both_pages_have_the_same_policy(tmp_path: Path) -> None:
    """What one page says of it holds for the other."""
    write_files(HOW_TO / "extend.md", tmp_path)
    text = (tmp_path / "outward.py").read_text()
    write_files(HOW_TO / "write-a-policy.md", tmp_path)
    assert (tmp_path / "outward.py").read_text() == text
    assert len(text.splitlines()) <= 15


def test_largest_first_takes_the_node_with_the_most_areas_first(folder: Path) -> None:
    """And each node once."""
    extensions.load(folder / "largest_first.py")
    areas = [VmapArea(start, start + 1) for start in (0, 1, 2, 5, 8, 4)]
    sessions = sessions_of(strategies.load("largest-first")(areas, ZoneLayout(3, 1)))
    assert [(session.node_id, len(session.areas)) for session in sessions] == [(2, 3), (1, 2), (0, 1)]


def test_their_lines_in_lists_are_sentences(folder: Path) -> None:
    """The first lines of their docstrings."""
    for file, kind in (("outward.py", policies), ("largest_first.py", strategies)):
        assert registry.summary(kind, extensions.load(folder / file).name).endswith(".")
