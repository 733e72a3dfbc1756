"""The screen: every figure whole at every width, names as they are."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from sim.summary import count_of, show_run, show_variants

FIGURE = re.compile(r"[\d,.]+%?")

FIGURES = {
    "count": 12_345_678,
    "mean_ns": 9_876.5,
    "p50_ns": 2_109_876,
    "p99_ns": 3_210_987,
    "p999_ns": 4_321_098,
    "max_ns": 987_654_321,
    "probes": {"1": 12_345_678},
    "parts_ns": {"queue": 8_765.4, "service": 7_654.3, "transfer": 0.0},
}
OPERATIONS = ("find", "find_interior", "insert_batch", "unlink", "all")


def results(check: bool = True, engine: str = "virtual") -> dict[str, Any]:
    """Give results with figures as long as they get in practice."""
    return {
        "engine": engine,
        "operations": 12_345_678,
        "virtual_ns": 123_456_789_012,
        "wall_s": 0.0,
        "latency": dict.fromkeys(OPERATIONS, FIGURES),
        "groups": {"lookups": {**FIGURES, "by_probes": {"1": FIGURES, "2": FIGURES}}},
        "locks": [
            {
                "name": f"busy/{number}",
                "acquisitions": 12_345_678,
                "contended": 12_345_678,
                "handoffs": 11_234_567,
                "hold_ns": 98_765_432_109,
                "wait_ns": 198_765_432_109,
                "wait_max_ns": 54_321_098,
            }
            for number in range(12)
        ],
        "batches": {"strategy": "grouped", "areas": 23_456_789, "sessions": 1},
        "checks": {"overlap": {"ok": check, "count": 0 if check else 1, "first": "it"}},
    }


def screen(width: int, show: Callable[..., None], *arguments: object) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    show(console, *arguments)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


KNOWN = {
    *("12,345,678", "9,876.5", "2,109,876", "3,210,987", "4,321,098", "987,654,321", "8,765.4", "7,654.3", "1.00"),
    *("100.0%", "11,234,567", "8,000.0", "16,100", "54,321,098"),
    *("1", "2", "23,456,789", f"{12 * 11_234_567:,}", "123,456,789,012"),
}
"""All that a figure in a table can be."""

VARIED = {
    "forward": ["lookup.policy"],
    "backward": ["lookup.policy"],
    "a name of more than thirty letters": ["lookup.policy"],
    "coalesced": ["batch.strategy"],
    "plain": ["seed"],
}


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_figure_is_cut_at_any_width(width: int) -> None:
    """Lines fit the console, and every figure in a table is one of the results', whole."""
    one = screen(width, show_run, "title", results(), "there")
    several = screen(width, show_variants, "title", {name: results() for name in VARIED}, VARIED, "there")
    for text in (one, several):
        assert max(map(len, text.splitlines())) <= width
        rows = [line for line in text.splitlines() if "  12,345,678  " in line]
        assert len(rows) >= 5
        for row in rows:
            assert {word for word in row.split() if FIGURE.fullmatch(word)} <= KNOWN, row


@pytest.mark.parametrize("width", [80, 100, 120])
def test_means_and_tails_stay_where_columns_go(width: int) -> None:
    """At every width the mean of each operation and of each variant's lookups is there."""
    one = screen(width, show_run, "title", results(), "there")
    for operation in OPERATIONS:
        assert re.search(rf"^{operation} +12,345,678 +9,876\.5 .* 1\.00 *$", one, re.MULTILINE)
    several = screen(width, show_variants, "title", {name: results() for name in VARIED}, VARIED, "there")
    assert len(re.findall(r"12,345,678 +9,876\.5 +3,210,987", several)) == 3 * 3
    assert re.search(r"^coalesced .* 9,876\.5 +3,210,987 +3,210,987", several, re.MULTILINE)
    assert re.search(r"^plain .* 9,876\.5 .*3,210,987", several, re.MULTILINE)


def test_wide_consoles_show_all_columns() -> None:
    """Nothing is left out, and variants stand beside each other, where there is room."""
    one = screen(200, show_run, "title", results(), "there")
    assert [word for word in ("p50", "p99.9", "max", "queue", "service") if word not in one] == []
    several = screen(200, show_variants, "title", {name: results() for name in VARIED}, VARIED, "there")
    assert several.count("Lookup latency") == 1
    assert "handoffs: times a busy lock changed CPUs" in several


def test_names_are_printed_as_they_are() -> None:
    """Titles, variants and places with brackets or colons are no markup and no emoji."""
    varied = {"[red]": ["lookup.policy"], "[/b] :boom:": ["batch.strategy"], "[bold]": []}
    variants = {name: results() for name in varied}
    text = screen(120, show_variants, "[/nothing] :boom:", variants, varied, "[/out] :boom:")
    for name in ("[/nothing] :boom:", "[/out] :boom:", *varied):
        assert name in text


def test_a_failed_check_names_the_variant() -> None:
    """It says which run, which check, how often, and the first case."""
    text = screen(120, show_variants, "title", {"a": results(), "b": results(check=False)}, {"a": [], "b": []}, "x")
    assert "check failed: b: overlap, 1 exception; first: it" in text
    assert "all hold" not in text


def test_one_thing_is_singular() -> None:
    """1 node, 2 nodes, 1,000 nodes."""
    assert [count_of(number, "node") for number in (0, 1, 1000)] == ["0 nodes", "1 node", "1,000 nodes"]


def test_a_cluster_shows_no_waits_that_nobody_measured() -> None:
    """They are "-", and the locks are those held longest; a mutex of the clients has its waits."""
    found = results(engine="cluster")
    for number, lock in enumerate(found["locks"]):
        lock.update(contended=0, wait_ns=0, wait_max_ns=0, hold_ns=1_000 * number)
    found["locks"][11] |= {"name": "purge", "contended": 6_172_839, "wait_ns": 198_765_432_109, "wait_max_ns": 77}
    shown = screen(120, show_run, "title", found, "there")
    lines = {line.split()[0]: line.split()[1:] for line in shown.splitlines()}
    assert "Locks: the 10 held longest, of 12" in shown
    assert lines["busy/10"] == ["12,345,678", "-", "11,234,567", "0.0", "-", "-"]
    assert lines["purge"] == ["12,345,678", "50.0%", "11,234,567", "0.0", "16,100", "77"]
    assert "busy/0" not in lines
    assert lines["all"][-3] == "-"
