"""Reports in a real browser: drawn without errors or a network, legible at any width, true to the results."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly.graph_objects
import pytest
from selenium import webdriver
from selenium.webdriver.support.select import Select

from sim.cli import main
from tests.live.browser import opened, seen_at, started
from tests.unit.sim.study import STUDY, written

BATCHES = """
[space]
nodes = 4
[machine]
cpus = 4
[workload]
operations = 4000
preload_areas = 300
[workload.mix]
find = 0.6
insert = 0.0
unlink = 0.38
insert_batch = 0.02
"""

VARIANTS = "".join(
    f'[[variant]]\nname = "{name}"\nset = {{ "batch.strategy" = "{name}" }}\n'
    for name in ("per-area", "coalesced", "grouped", "chunked", "parallel", "global")
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of a plain run, of variants, and of a study."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "plain.toml").write_text(BATCHES)
    (folder / "variants.toml").write_text(BATCHES + VARIANTS)
    for name in ("plain", "variants"):
        assert main(["run", str(folder / f"{name}.toml"), "--out", str(folder / name), "--quiet"]) == 0
    study = written(folder, STUDY.replace("values = [1, 3]", "values = [1, 2, 4, 8, 16]"))
    assert main(["study", str(study), "--out", str(folder / "study"), "--jobs", "2", "--quiet"]) == 0
    return {name: folder / name / "report.html" for name in ("plain", "variants", "study")}


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with started(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


FIGURES = {
    "plain": ["latency", "nodes-asked", "locks", "load"],
    "variants": ["latency", "nodes-asked", "gain-and-harm", "locks", "load"],
    "study": ["sweep", "differences", "latency", "nodes-asked", "locks", "load"],
}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_page_opens_and_is_legible(
    chrome: webdriver.Chrome, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    """No error on the console, every figure drawn, nothing wider than the screen, no text on another."""
    seen = opened(chrome, pages[name], width, dark=dark)
    assert not seen["console"]
    assert seen["drawn"] == len(seen["figures"]) == len(FIGURES[name])
    for figure in seen["figures"]:
        assert figure.find_elements("css selector", "path.js-line, path.point, .heatmaplayer image"), figure.text
    assert seen["page_width"] <= width
    assert not seen["overlapping"]
    ground = chrome.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) is dark


def test_a_page_that_is_turned_is_drawn_anew(chrome: webdriver.Chrome, pages: dict[str, Path]) -> None:
    """From narrow to wide every figure takes the new width, and nothing of the old drawing lies under it."""
    seen = opened(chrome, pages["variants"], 400)
    narrow = [figure.size["width"] for figure in seen["figures"]]
    resized = seen_at(chrome, 1400)
    assert all(figure.size["width"] > 2 * before for figure, before in zip(resized["figures"], narrow, strict=True))
    assert not resized["overlapping"]


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_every_choice_draws_without_an_error(chrome: webdriver.Chrome, pages: dict[str, Path], name: str) -> None:
    """Whatever is chosen from a figure's lists, the page draws it and the console stays empty."""
    opened(chrome, pages[name], 400)
    for select in chrome.find_elements("css selector", "select"):
        for option in range(len(Select(select).options)):
            Select(select).select_by_index(option)
    assert not [
        entry for entry in chrome.execute("getLog", {"type": "browser"})["value"] if entry["level"] == "SEVERE"
    ]


def figures_of(page: Path) -> list[dict[str, Any]]:
    text = page.read_text().partition('id="figures">')[2].partition("</script>")[0]
    figures: list[dict[str, Any]] = json.loads(text)
    return figures


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_figures_are_there_and_valid(pages: dict[str, Path], name: str) -> None:
    """Without a browser: all figures are on the page, and Plotly knows every key of their traces and layouts."""
    figures = figures_of(pages[name])
    assert [figure["name"] for figure in figures] == FIGURES[name]
    for figure in figures:
        for traces in figure["views"].values():
            own = ("series", "log")
            known = [{key: value for key, value in trace.items() if key not in own} for trace in traces]
            plotly.graph_objects.Figure(known, figure["layout"])


def test_the_data_can_be_downloaded_as_csv(chrome: webdriver.Chrome, pages: dict[str, Path]) -> None:
    """Every figure's data is a CSV whose rows all have the columns of its heading; percentiles are the results'."""
    opened(chrome, pages["variants"], 1400)
    tables = {
        name: list(
            csv.reader(
                io.StringIO(chrome.execute_script("return vmapsim.csvOf(vmapsim.figures[arguments[0]])", at))
            )
        )
        for at, name in enumerate(FIGURES["variants"])
    }
    for name, rows in tables.items():
        assert len(rows) > 1, name
        assert {len(row) for row in rows} == {len(rows[0])}, name
    heading, *rows = tables["latency"]
    assert heading == ["Operation", "Show", "series", "latency (ns)", "share of operations", "half width"]
    results = json.loads((pages["variants"].parent / "grouped" / "results.json").read_text())
    marks = {
        float(row[4]): float(row[3])
        for row in rows
        if row[:3] == ["find", "longer than (CCDF)", "grouped: percentiles"]
    }
    find = results["latency"]["find"]
    assert marks == {0.5: find["p50_ns"], 0.1: find["p90_ns"], 0.01: find["p99_ns"], 0.001: find["p999_ns"]}
    link = chrome.find_element("css selector", "#latency .download a")
    link.click()
    assert (link.get_attribute("href") or "").startswith("blob:")
    assert link.get_attribute("download") == "latency.csv"


def test_a_curve_passes_its_percentiles(pages: dict[str, Path]) -> None:
    """At each marked percentile the curve's share is that percentile's, as near as the curve is fine."""
    latency = figures_of(pages["plain"])[0]
    lines, marks = latency["views"]["0"][0::2], latency["views"]["0"][1::2]
    assert lines
    for line, mark in zip(lines, marks, strict=True):
        for ns, above in zip(mark["x"], mark["y"], strict=True):
            below = [share for x, share in zip(line["x"], line["y"], strict=True) if x < ns * 63 / 64]
            beyond = [share for x, share in zip(line["x"], line["y"], strict=True) if x >= ns * 64 / 63]
            assert min(below, default=1.0) >= above * 0.9
            assert max(beyond, default=0.0) <= max(above, 1 / 20) * 1.1


def test_the_top_says_how_the_page_was_made(pages: dict[str, Path]) -> None:
    """Command, seed, version, code and scenario stand on the page, and nothing on it points to a network."""
    for name, page in pages.items():
        text = page.read_text()
        top, body = text.partition("<main>")[::2]
        assert "0.1.0" in top
        assert f"./dev {'study' if name == 'study' else 'run'} " in top
        assert "seed" in top
        assert "sha256:" in top
        assert "&#34;preload_areas&#34;" in top
        markup = top + body.partition("<script>")[0]
        assert "http" not in markup.replace("http-equiv", "")


def test_the_same_run_makes_the_same_page(pages: dict[str, Path], tmp_path: Path) -> None:
    """A page holds nothing of the clock or the machine."""
    scenario = pages["plain"].parents[1] / "plain.toml"
    assert main(["run", str(scenario), "--out", str(tmp_path), "--quiet"]) == 0
    assert (tmp_path / "report.html").read_bytes() == pages["plain"].read_bytes()


def test_a_failed_check_stands_on_top(tmp_path: Path) -> None:
    """Nobody reads figures of a run that broke a rule without being told."""
    (tmp_path / "missing.toml").write_text(BATCHES.replace("nodes = 4", "nodes = 4\n[lookup]\npolicy = 'home'"))
    assert main(["run", str(tmp_path / "missing.toml"), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    assert 'class="warning">check failed' in (tmp_path / "out" / "report.html").read_text()
