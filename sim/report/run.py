"""The report of a run, or of a scenario's variants beside each other."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from attrs import frozen

from sim.report.figures import shared_figures
from sim.report.page import Page, Table, render, table_of
from sim.report.portrait import Portrait
from sim.study.cells import code_digest


@frozen
class Made:
    """How a run was made: what a reader needs to make it again."""

    title: str
    command: str


def run_report(made: Made, results: Mapping[str, Mapping[str, Any]], portraits: Mapping[str, Portrait]) -> str:
    """Give the page of one run (named ""), or of variants by name."""
    first = next(iter(results.values()))
    names = ", ".join(first["checks"])
    facts = [
        ("seed", str(first["seed"])),
        ("engine", f"{first['engine']} time"),
        ("version", version("vmapsim")),
        ("code", f"sha256:{code_digest()[:16]}…"),
        *((f"digest {name}".strip(), f"{one['digest'][:23]}…") for name, one in results.items()),
        ("checks", f"all hold ({names})" if not _failed(results) else "failed, see above"),
        ("command", made.command),
    ]
    scenario = {name: one["scenario"] for name, one in results.items()} if len(results) > 1 else first["scenario"]
    return render(
        Page(
            title=made.title,
            facts=facts,
            warnings=_failed(results),
            tables=_tables(results),
            figures=list(shared_figures({"": portraits}, "")),
            scenario=scenario,
        )
    )


def _failed(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"check failed: {name} {check}, {verdict['count']:,} exceptions; first: {verdict['first']}"
        for name, one in results.items()
        for check, verdict in one["checks"].items()
        if not verdict["ok"]
    ]


def _tables(results: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    rows = [
        {
            **({"variant": name} if len(results) > 1 else {}),
            "operation": operation,
            "count": latency["count"],
            **{title: latency[key] for title, key in _FIGURES},
            "queue": latency["parts_ns"]["queue"],
            "service": latency["parts_ns"]["service"],
        }
        for name, one in results.items()
        for operation, latency in one["latency"].items()
    ]
    return [table_of("Latency (ns)", rows, folded=len(results) > 1)]


_FIGURES = (("mean", "mean_ns"), ("p50", "p50_ns"), ("p99", "p99_ns"), ("p99.9", "p999_ns"), ("max", "max_ns"))
