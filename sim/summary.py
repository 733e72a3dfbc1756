"""The screen after a run: one table of operations, one of locks, or variants side by side.

Times are nanoseconds. Everything here is computed from results (`sim.results`), so that whoever has a
results.json can make the same tables. No figure is ever cut: where the console is too narrow for a table,
the columns marked to be dropped are left out, or the variants stand below instead of beside each other.
Names and titles are printed as they are, never read as markup.
"""

from collections.abc import Callable, Mapping, Sequence
from textwrap import wrap
from typing import Any, TypeAlias

from attrs import evolve, frozen
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Results: TypeAlias = Mapping[str, Any]

GAP = 2
"""Blanks between columns."""

NAME_WIDTH = 20
"""Names wider than this go on in the next line where a table would not fit otherwise."""

WITHOUT_WAITS = ("cluster",)
"""Engines that do not measure how long a request waits for a server's lock: it waits in a socket."""

BATCH_NOTE = (
    "find: at an area's start, remove: free or unlink, both of all CPUs meanwhile; "
    "handoffs: times a busy lock changed CPUs"
)


@frozen
class Column:
    """A column of figures: its heading, and its text for a row."""

    heading: str
    cell: Callable[[Any], str]
    drop: int = 0
    """Where there is no room the column with the highest number goes first; those with 0 stay."""
    folds: bool = False
    """Whether it is text, which goes on in the next line where there is no room."""


def show_run(console: Console, title: str, results: Results, where: str) -> None:
    """Print what one run found."""
    console.print(Text(title, style="bold"))
    waits = results["engine"] not in WITHOUT_WAITS
    show_table(console, "Latency (ns)", "operation", _OPERATIONS if waits else _SERVED, results["latency"])
    _show_locks(console, results["locks"], waits)
    if "batches" in results:
        batches = results["batches"]
        areas, sessions = count_of(batches["areas"], "area"), count_of(batches["sessions"], "lock session")
        console.print(Text(f"Batches: {batches['strategy']}, {areas} in {sessions}"))
    if "test_vmalloc" in results:
        _show_lines(console, results["test_vmalloc"]["summary"])
    _show_troubles(console, results)
    _ending(console, {"": results}, where)


def _show_troubles(console: Console, results: Results) -> None:
    """Print what went wrong and what failed for it, and what only processes have, where there was any."""
    if "faults" in results:
        kinds = (f"{count:,} {kind.replace('_', ' ')}" for kind, count in results["faults"].items())
        console.print(Text(f"Faults: {', '.join(kinds)}"))
    for name, failed in results.get("failures", {}).items():
        console.print(Text(f"Failed: {count_of(failed['count'], name)}; first: {failed['first']}", style="yellow"))
    if "processes" in results.get("cluster", {}):
        cluster = results["cluster"]
        text = f"Processes: {cluster['processes']}, started {cluster['lives']} times"
        requests = f"{results['events'] / max(results['wall_s'], 1e-9):,.0f} requests/s"
        commits = cluster.get("group_commit")
        size = (
            f", group commits of {commits['requests_per_commit']} at {commits['commits_per_s']}/s"
            if commits
            else ""
        )
        console.print(Text(f"{text}; {requests}{size}"))


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
        _show_lookups(console, {name: results["groups"]["lookups"] for name, results in lookups.items()})
    if batches:
        show_table(console, "Batch insertion by strategy (ns)", "variant", _BATCHES, batches)
        console.print(Text(BATCH_NOTE))
    if rest:
        show_table(console, "Variants (ns)", "variant", _VARIANTS, rest)
    _ending(console, variants, where)


def count_of(number: int, thing: str) -> str:
    """Give a number of things in words: "1 node", "2 nodes"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _select(variants: Mapping[str, Results], varied: Mapping[str, Sequence[str]], table: str) -> dict[str, Results]:
    return {
        name: results for name, results in variants.items() if any(key.startswith(table) for key in varied[name])
    }


# -- tables that fit ------------------------------------------------------------------------------


def show_table(
    console: Console, title: str, names: str, columns: Sequence[Column], rows: Mapping[str, Any]
) -> None:
    """Print a table of as many columns as there is room for."""
    columns = list(columns)
    while _width(names, columns, rows) > console.width and any(column.drop for column in columns):
        columns.remove(max(columns, key=lambda column: column.drop))
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column(Text(names), overflow="fold")
    for column in columns:
        if column.folds:
            table.add_column(Text(column.heading), overflow="fold")
        else:
            table.add_column(Text(column.heading), justify="right", no_wrap=True)
    for name, row in rows.items():
        style = "bold" if name == "all" else ""
        table.add_row(Text(name), *(Text(column.cell(row)) for column in columns), style=style)
    console.print(Text(title, style="italic"))
    console.print(table)


def _width(names: str, columns: Sequence[Column], rows: Mapping[str, Any]) -> int:
    """Give the columns of the screen that a table needs."""
    name_width = min(NAME_WIDTH, max(map(cell_len, rows)))
    texts = ([*column.heading.split("\n"), *map(column.cell, rows.values())] for column in columns)
    return max(name_width, *map(cell_len, names.split("\n"))) + sum(
        GAP + max(map(cell_len, text)) for text in texts
    )


def _number(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda figures: f"{figures[key]:,}"


def _mean(ns: float) -> str:
    return f"{ns:,.1f}" if ns < 10_000 else f"{ns:,.0f}"


# -- one run --------------------------------------------------------------------------------------


def _mean_asked(latency: Mapping[str, Any]) -> str:
    asked = sum(int(probes) * count for probes, count in latency["probes"].items())
    return f"{asked / max(1, latency['count']):.2f}"


_OPERATIONS = (
    Column("count", _number("count")),
    Column("mean", lambda latency: _mean(latency["mean_ns"])),
    Column("p50", _number("p50_ns"), drop=6),
    Column("p99", _number("p99_ns"), drop=1),
    Column("p99.9", _number("p999_ns"), drop=5),
    Column("max", _number("max_ns"), drop=2),
    Column("mean\nqueue", lambda latency: _mean(latency["parts_ns"]["queue"]), drop=3),
    Column("mean\nservice", lambda latency: _mean(latency["parts_ns"]["service"]), drop=4),
    Column("nodes\nasked", _mean_asked),
)

_LOCKS = (
    Column("acquisitions", _number("acquisitions")),
    Column("contended", lambda lock: f"{lock['contended'] / max(1, lock['acquisitions']):.1%}"),
    Column("handoffs", _number("handoffs"), drop=3),
    Column("mean hold", lambda lock: _mean(lock["hold_ns"] / max(1, lock["acquisitions"])), drop=2),
    Column("mean wait", lambda lock: _mean(lock["wait_ns"] / max(1, lock["acquisitions"]))),
    Column("max wait", _number("wait_max_ns"), drop=1),
)


def _where_known(column: Column) -> Column:
    """Give a column of waits that has "-" for a lock of which nobody measured them."""
    return evolve(column, cell=lambda lock: column.cell(lock) if lock["contended"] else "-")


_SERVED = [evolve(column, cell=lambda _row: "-") if "queue" in column.heading else column for column in _OPERATIONS]
_HELD = [_where_known(one) if one.heading == "contended" or "wait" in one.heading else one for one in _LOCKS]


def _show_locks(console: Console, locks: Sequence[Mapping[str, Any]], waits: bool, most: int = 10) -> None:
    """Print the locks most waited for, or, without `waits`, those held longest."""
    order = "wait_ns" if waits else "hold_ns"
    first = sorted(locks, key=lambda lock: -int(lock[order]))[:most]
    words = "most waited for" if waits else "held longest"
    title = "Locks" if len(locks) <= most else f"Locks: the {most} {words}, of {len(locks)}"
    show_table(console, title, "lock", _LOCKS if waits else _HELD, {lock["name"]: lock for lock in first})


MOST_LINES = 40
"""Lines of a kernel's own output; of more, the first are shown."""


def _show_lines(console: Console, lines: Sequence[str]) -> None:
    """Print lines as the kernel does; the rest of many is in results.json."""
    for line in lines[:MOST_LINES]:
        console.print(Text(line), soft_wrap=True)
    if len(lines) > MOST_LINES:
        console.print(Text(f"(and {count_of(len(lines) - MOST_LINES, 'line')} more in results.json)"))


# -- variants -------------------------------------------------------------------------------------


def _show_lookups(console: Console, groups: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what lookups cost by nodes asked: variants beside each other, as many as there is room for."""
    counts = sorted({int(asked) for group in groups.values() for asked in group["by_probes"]})
    rows = {
        **{
            str(asked): {name: group["by_probes"].get(str(asked)) for name, group in groups.items()}
            for asked in counts
        },
        "all": groups,
    }
    names, heading = list(groups), "nodes\nasked"
    while names:
        beside = len(names)
        while beside > 1 and _width(heading, _lookup_columns(names[:beside]), rows) > console.width:
            beside -= 1
        columns = _lookup_columns(names[:beside])
        show_table(console, "Lookup latency by number of nodes asked (ns)", heading, columns, rows)
        names = names[beside:]


def _lookup_columns(names: Sequence[str]) -> list[Column]:
    return [
        Column("\n".join([*wrap(name, 10), what]), _figure_of(key, name))
        for name in names
        for what, key in (("lookups", "count"), ("mean", "mean_ns"), ("p99", "p99_ns"))
    ]


def _figure_of(key: str, name: str) -> Callable[[Mapping[str, Any]], str]:
    """Give the text of a figure in a row's entry `name`; "-" where there is none."""

    def text(row: Mapping[str, Any]) -> str:
        figures = row.get(name)
        if figures is None:
            return "-"
        return _mean(figures[key]) if key == "mean_ns" else f"{figures[key]:,}"

    return text


def _latency_of(key: str, *operations: str) -> Callable[[Results], str]:
    """Give the text of a figure of the first of `operations` that a run has."""

    def text(results: Results) -> str:
        latency = results["latency"]
        operation = next((name for name in operations if name in latency), "")
        return _figure_of(key, operation)(latency)

    return text


def _handoffs(results: Results) -> str:
    return f"{sum(lock['handoffs'] for lock in results['locks'] if lock['name'].startswith('busy/')):,}"


_BATCHES = (
    Column("batches", _latency_of("count", "insert_batch"), drop=2),
    Column("areas", _figure_of("areas", "batches"), drop=6),
    Column("lock\nsessions", _figure_of("sessions", "batches"), drop=1),
    Column("handoffs", _handoffs, drop=3),
    Column("batch\nmean", _latency_of("mean_ns", "insert_batch")),
    Column("batch\np99", _latency_of("p99_ns", "insert_batch")),
    Column("find\np99", _latency_of("p99_ns", "find")),
    Column("find\np99.9", _latency_of("p999_ns", "find"), drop=5),
    Column("remove\np99", _latency_of("p99_ns", "free", "unlink")),
    Column("remove\np99.9", _latency_of("p999_ns", "free", "unlink"), drop=4),
)
"""What the strategies gain for batches, and what others feel: finds of one node, and removals."""

_VARIANTS = (
    Column("operations", _number("operations"), drop=2),
    Column("virtual time", _number("virtual_ns"), drop=1),
    Column("mean", _latency_of("mean_ns", "all")),
    Column("p50", _latency_of("p50_ns", "all"), drop=5),
    Column("p99", _latency_of("p99_ns", "all")),
    Column("p99.9", _latency_of("p999_ns", "all"), drop=4),
    Column("max", _latency_of("max_ns", "all"), drop=3),
)


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
        exceptions = count_of(verdict["count"], "exception")
        text = f"check failed: {variant}{check}, {exceptions}; first: {verdict['first']}"
        console.print(Text(text, style="red"))
    operations = sum(results["operations"] for results in variants.values())
    wall_s = sum(results["wall_s"] for results in variants.values())
    rate = f"{operations / max(wall_s, 1e-6):,.0f}/s"
    console.print(Text(f"{count_of(operations, 'operation')} in {wall_s:.2f} s ({rate}); {where}"), soft_wrap=True)
