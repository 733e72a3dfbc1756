"""The screen after a run: one table of operations, one of locks, or variants side by side.

Times are nanoseconds. Everything here is computed from results (`sim.results`), so that whoever has a
results.json can make the same tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

Results: TypeAlias = Mapping[str, Any]


def show_run(console: Console, title: str, results: Results, where: str) -> None:
    """Print what one run found."""
    console.print(Text(title, style="bold"))
    console.print(_operations(results))
    console.print(_locks(results))
    if "batches" in results:
        batches = results["batches"]
        console.print(
            f"Batches: {batches['strategy']}, {batches['areas']:,} areas in {batches['sessions']:,} lock sessions"
        )
    _ending(console, {"": results}, where)


def show_variants(
    console: Console,
    title: str,
    variants: Mapping[str, Results],
    varied: Mapping[str, Sequence[str]],
    where: str,
) -> None:
    """Print variants side by side: those that vary lookups, those that vary batches, and the others."""
    console.print(Text(title, style="bold"))
    lookups = _select(variants, varied, "lookup.")
    batches = _select(variants, varied, "batch.")
    rest = {name: variants[name] for name in variants if name not in lookups and name not in batches}
    if lookups:
        console.print(_lookups_by_nodes_asked(lookups))
    if batches:
        console.print(_batches(batches))
    if rest:
        console.print(_side_by_side(rest))
    _ending(console, variants, where)


def _select(variants: Mapping[str, Results], varied: Mapping[str, Sequence[str]], table: str) -> dict[str, Results]:
    return {
        name: results for name, results in variants.items() if any(key.startswith(table) for key in varied[name])
    }


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _operations(results: Results) -> Table:
    table = _table(
        "Latency (ns)",
        *("operation", "count", "mean", "p50", "p99", "p99.9", "max"),
        *("mean\nqueue", "mean\nservice", "nodes\nasked"),
    )
    for name, latency in results["latency"].items():
        parts = latency["parts_ns"]
        asked = sum(int(probes) * count for probes, count in latency["probes"].items())
        table.add_row(
            name,
            f"{latency['count']:,}",
            _mean(latency["mean_ns"]),
            *(f"{latency[key]:,}" for key in ("p50_ns", "p99_ns", "p999_ns", "max_ns")),
            *(_mean(parts[key]) for key in ("queue", "service")),
            f"{asked / max(1, latency['count']):.2f}",
        )
    return table


def _mean(ns: float) -> str:
    return f"{ns:,.1f}" if ns < 10_000 else f"{ns:,.0f}"


def _locks(results: Results, most: int = 10) -> Table:
    locks = sorted(results["locks"], key=lambda lock: -int(lock["wait_ns"]))
    title = "Locks" if len(locks) <= most else f"Locks: the {most} most waited for, of {len(locks)}"
    table = _table(title, "lock", "acquisitions", "contended", "handoffs", "mean hold", "mean wait", "max wait")
    for lock in locks[:most]:
        count = max(1, lock["acquisitions"])
        table.add_row(
            lock["name"],
            f"{lock['acquisitions']:,}",
            f"{lock['contended'] / count:.1%}",
            f"{lock['handoffs']:,}",
            _mean(lock["hold_ns"] / count),
            _mean(lock["wait_ns"] / count),
            f"{lock['wait_max_ns']:,}",
        )
    return table


def _lookups_by_nodes_asked(variants: Mapping[str, Results]) -> Table:
    columns = [f"{name}\n{what}" for name in variants for what in ("lookups", "mean", "p99")]
    table = _table("Lookup latency by number of nodes asked (ns)", "nodes\nasked", *columns)
    lookups = [results["groups"]["lookups"] for results in variants.values()]
    for asked in sorted({int(asked) for group in lookups for asked in group["by_probes"]}):
        figures = [group["by_probes"].get(str(asked)) for group in lookups]
        table.add_row(str(asked), *(cell for figure in figures for cell in _figures(figure)))
    table.add_row("all", *(cell for group in lookups for cell in _figures(group)), style="bold")
    return table


def _figures(figures: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if figures is None:
        return "-", "-", "-"
    return f"{figures['count']:,}", _mean(figures["mean_ns"]), f"{figures['p99_ns']:,}"


def _batches(variants: Mapping[str, Results]) -> Table:
    """Show what the strategies gain for batches, and what others feel: finds of one node, and removals."""
    table = _table(
        "Batch insertion by strategy (ns)",
        *("variant", "batches", "areas", "lock\nsessions", "handoffs", "batch\nmean", "batch\np99"),
        *("find\np99", "find\np99.9", "remove\np99", "remove\np99.9"),
    )
    for name, results in variants.items():
        latency = results["latency"]
        batch = latency.get("insert_batch")
        remove = latency.get("free") or latency.get("unlink")
        handoffs = sum(lock["handoffs"] for lock in results["locks"] if lock["name"].startswith("busy/"))
        table.add_row(
            name,
            _number(batch, "count"),
            f"{results['batches']['areas']:,}" if batch else "-",
            f"{results['batches']['sessions']:,}" if batch else "-",
            f"{handoffs:,}",
            _number(batch, "mean_ns"),
            _number(batch, "p99_ns"),
            _number(latency.get("find"), "p99_ns"),
            _number(latency.get("find"), "p999_ns"),
            _number(remove, "p99_ns"),
            _number(remove, "p999_ns"),
        )
    return table


def _number(figures: Mapping[str, Any] | None, key: str) -> str:
    if figures is None:
        return "-"
    return _mean(figures[key]) if key == "mean_ns" else f"{figures[key]:,}"


def _side_by_side(variants: Mapping[str, Results]) -> Table:
    table = _table("Variants (ns)", "variant", "operations", "virtual time", "mean", "p50", "p99", "p99.9", "max")
    for name, results in variants.items():
        latency = results["latency"]["all"]
        table.add_row(
            name,
            f"{results['operations']:,}",
            f"{results['virtual_ns']:,}",
            _mean(latency["mean_ns"]),
            *(f"{latency[key]:,}" for key in ("p50_ns", "p99_ns", "p999_ns", "max_ns")),
        )
    return table


def _ending(console: Console, variants: Mapping[str, Results], where: str) -> None:
    """Print the checks, the cost of the run, and where the rest is."""
    failed = [
        (name, check, verdict)
        for name, results in variants.items()
        for check, verdict in results["checks"].items()
        if not verdict["ok"]
    ]
    names = ", ".join(next(iter(variants.values()))["checks"])
    if not failed:
        console.print(Text(f"checks: all hold ({names})", style="green"))
    for name, check, verdict in failed:
        variant = f"{name}: " if name else ""
        text = f"check failed: {variant}{check}, {verdict['count']:,} exceptions; first: {verdict['first']}"
        console.print(Text(text, style="red"))
    operations = sum(results["operations"] for results in variants.values())
    wall_s = sum(results["wall_s"] for results in variants.values())
    console.print(f"{operations:,} operations in {wall_s:.2f} s ({operations / wall_s:,.0f}/s); {where}")
