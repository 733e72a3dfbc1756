"""The how-to pages are true: what they write holds to the folder's contract, and what they run runs."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

import protocol.policies
import protocol.strategies
from protocol import policies, registry, strategies
from protocol.area import VmapArea, ZoneLayout
from sim import contracts
from sim.contracts.strategies import sessions_of
from sim.scenario import load_scenarios
from sim.simulation import simulate

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to"

POLICY = (protocol.policies, "outward", "write-a-policy.md")
STRATEGY = (protocol.strategies, "largest_first", "write-a-strategy.md")
"""Folder, stem of the file and page."""


def block(page: str, language: str) -> str:
    """Give the one block of `language` on a page, without the indentation of the list that it is part of."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    (found,) = re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return dedent(found)


@pytest.fixture(params=[POLICY, STRATEGY], ids=["policy", "strategy"])
def written(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ModuleType, str, Path]]:
    """Follow a page: its file as if it stood in the folder, its scenario; give folder, name and scenario."""
    folder, stem, page = request.param
    (tmp_path / f"{stem}.py").write_text(block(page, "python"))
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(block(page, "toml"))
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield folder, stem.replace("_", "-"), scenario
    sys.modules.pop(f"{folder.__name__}.{stem}", None)
    vars(folder).pop(stem, None)


def test_the_example_holds_to_the_contract_of_its_folder(written: tuple[ModuleType, str, Path]) -> None:
    """The same clauses that hold the folder's own files; and its line in lists is a sentence."""
    folder, name, _ = written
    kind = folder.__name__.rpartition(".")[2]
    assert len(list(contracts.check(kind, name))) == len(contracts.contract_of(kind).CLAUSES)
    assert registry.summary(folder, name).endswith(".")


def test_the_scenario_runs_the_example_beside_another(written: tuple[ModuleType, str, Path]) -> None:
    """Every variant is accepted and passes all checks, a shorter run than the page's."""
    _, name, path = written
    variants = load_scenarios(path, ["workload.operations=500", "workload.preload_areas=100"]).variants
    assert len(variants) == 2
    assert variants[1].name == name
    for variant in variants:
        assert simulate(variant.scenario, path.parent).ok


@pytest.mark.parametrize("written", [POLICY], indirect=True, ids=["policy"])
def test_outward_asks_by_turns_behind_and_ahead(written: tuple[ModuleType, str, Path]) -> None:
    assert policies.load(written[1])(2, 5) == ((2,), (1,), (3,), (0,), (4,))


@pytest.mark.parametrize("written", [STRATEGY], indirect=True, ids=["strategy"])
def test_largest_first_takes_the_node_with_the_most_areas_first(written: tuple[ModuleType, str, Path]) -> None:
    areas = [VmapArea(start, start + 1) for start in (0, 1, 2, 5, 8, 4)]
    sessions = sessions_of(strategies.load(written[1])(areas, ZoneLayout(3, 1)))
    assert [(session.node_id, len(session.areas)) for session in sessions] == [(2, 3), (1, 2), (0, 1)]
