"""What a replay leaves for other programs (results.json) and for people (the screen)."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from sim.replay import Outcome
from sim.replay.engine import Difference
from sim.summary import count_of
from sim.tables import show_table

SCHEMA = 1

FIRST = 20
"""Differences and inferred events that results.json names."""

SHOWN = 5
"""Those that the screen shows."""

WAYS = {
    "as_printed": "in the order of the lines",
    "reordered": "in another order, within the tasks' windows",
    "purge_phase": "by what a purge had done by then",
    "inferred": "by something no line tells of",
    "unexplained": "not explained",
}


def results_of(outcome: Outcome, trace: str) -> dict[str, Any]:
    """Give the contents of results.json for a replay; addresses are hexadecimal strings, sizes bytes."""
    replayed, final = outcome.replayed, outcome.final
    conserved = final.conserved()
    return {
        "schema": SCHEMA,
        "engine": "replay",
        "trace": trace,
        "cpus": outcome.cpus,
        "vmalloc_range": {
            "start": f"{outcome.vmalloc.start:#x}",
            "end": f"{outcome.vmalloc.end:#x}",
            "requests": outcome.vmalloc.own,
        },
        "operations": replayed.allocations,
        "replay": {
            "kernel": replayed.kernel,
            "allocations": replayed.allocations,
            **replayed.counts,
            "share": replayed.share,
            "failed": replayed.failed,
            "pool_hits": replayed.pool_hits,
            "first_unexplained": [_difference(one) for one in replayed.differences[:FIRST]],
            "inferred_events": len(replayed.inferred),
            "first_inferred": [{"line": one.line, "what": one.what} for one in replayed.inferred[:FIRST]],
            "trials": [
                {"kernels": list(trial.kernels), "as_printed": trial.as_printed, "share": trial.share}
                for trial in outcome.trials
            ],
        },
        "nodes": [
            {
                "id": node.node,
                "areas": len(node.busy),
                "bytes": sum(area.size for area in node.busy),
                "lazy": len(node.lazy),
                "pools": {str(pages): len(pool) for pages, pool in node.pools.items()},
            }
            for node in final.nodes
        ],
        "checks": {
            "nothing_lost": {"ok": conserved.ok, "count": conserved.count, "first": conserved.first},
        },
    }


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "line": one.line,
        "cpu": one.cpu,
        "pid": one.pid,
        "size": one.size,
        "align": one.align,
        "source": one.source,
        "expected": None if one.expected is None else f"{one.expected:#x}",
        "actual": f"{one.actual:#x}",
        "owner": one.owner,
    }


def show_replay(console: Console, name: str, outcome: Outcome, where: str) -> None:
    """Print what came of a replay."""
    replayed = outcome.replayed
    title = (
        f"{name}: {count_of(replayed.allocations, 'allocation')} on kernel {replayed.kernel}, "
        f"{count_of(outcome.cpus, 'CPU')}, {count_of(len(outcome.final.nodes), 'node')}"
    )
    console.print(Text(title, style="bold"), soft_wrap=True)
    vmalloc = outcome.vmalloc
    asked = f"vmalloc's range {vmalloc}: {vmalloc.own:,} of {count_of(vmalloc.requests, 'request')}"
    console.print(Text(asked, style="" if 2 * vmalloc.own >= vmalloc.requests else "yellow"), soft_wrap=True)
    if outcome.trials:
        show_table(
            console,
            "Kernels (those in one row are alike here) on the first addresses",
            ("kernels", "in line order", "explained"),
            (
                (", ".join(trial.kernels), f"{trial.as_printed:.2%}", f"{trial.share:.2%}")
                for trial in outcome.trials
            ),
        )
    show_table(
        console,
        "The kernel's addresses, explained",
        ("how", "allocations", "share"),
        (
            (WAYS[how], f"{count:,}", f"{count / max(1, replayed.allocations):.2%}")
            for how, count in replayed.counts.items()
        ),
    )
    explained = f"explained: {replayed.share:.2%}; from pools: {replayed.pool_hits:,}; failed: {replayed.failed:,}"
    console.print(Text(explained, style="green" if replayed.share >= 0.97 else "yellow"))
    _show_lines(console, "Not explained", [_in_words(one) for one in replayed.differences])
    _show_lines(console, "No line tells of", [f"line {one.line}: {one.what}" for one in replayed.inferred])
    show_table(
        console,
        "At the end",
        ("node", "busy", "lazy", "pooled"),
        (
            (str(node.node), f"{len(node.busy):,}", f"{len(node.lazy):,}", f"{_pooled(node.pools.values()):,}")
            for node in outcome.final.nodes
        ),
    )
    conserved = outcome.final.conserved()
    verdict = "all addresses have one owner" if conserved.ok else f"check nothing_lost fails: {conserved.first}"
    console.print(Text(f"{verdict}; {where}", style="green" if conserved.ok else "red"), soft_wrap=True)


def _pooled(pools: Iterable[Sequence[object]]) -> int:
    return sum(map(len, pools))


def _in_words(one: Difference) -> str:
    expected = "no room" if one.expected is None else f"{one.expected:#x} ({one.source})"
    return (
        f"line {one.line}, CPU {one.cpu}, pid {one.pid}, {one.size // 4096} pages: "
        f"expected {expected}, the kernel took {one.actual:#x} (here: {one.owner})"
    )


def _show_lines(console: Console, title: str, lines: Sequence[str]) -> None:
    if lines:
        console.print(Text(f"{title}: {len(lines):,}, the first", style="italic"))
        for line in lines[:SHOWN]:
            console.print(Text(f"  {line}"), soft_wrap=True)
