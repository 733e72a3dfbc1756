"""The screen of a partition report: nodes, spans, what lookups ask, and whether the file's order agrees."""

from rich.console import Console
from rich.text import Text

from sim.partition import Partition
from sim.summary import count_of
from sim.tables import show_table

MOST_ROWS = 10
"""Rows of a table; of more, the most important are shown."""

ASKED_NOTE = (
    "per area: mean of areas' means; at starts: mean at areas' first pages;\n"
    "home node: pages that map to the node their area lives in; missed: pages whose area is not found"
)


def show_partition(console: Console, name: str, report: Partition) -> None:
    """Print a partition report; `name` is the file's."""
    where = (
        f"{name}: {count_of(report.areas, 'busy area')}, {_size(report.bytes)}, {report.unpurged:,} unpurged; "
        f"{count_of(report.cpus, 'CPU')}, {count_of(report.nodes, 'node')}, {report.zone_pages}-page zones"
    )
    console.print(Text(where, style="bold"), soft_wrap=True)
    _show_order(console, report)
    if report.overlapping:
        console.print(Text(f"left out: {count_of(report.overlapping, 'area')} that overlap others"))
    _show_nodes(console, report)
    _show_spans(console, report)
    show_table(
        console,
        "Nodes asked by lookups at every page of every area",
        ("policy", "mean", "p99", "max", "per area", "at starts", "home node", "missed"),
        (
            (
                asked.policy,
                f"{asked.mean:.2f}",
                f"{asked.p99:,}",
                f"{asked.max:,}",
                f"{asked.per_area:.2f}",
                f"{asked.at_starts:.2f}",
                f"{asked.home_node:.1%}",
                f"{asked.missed:.1%}",
            )
            for asked in report.asked
        ),
    )
    console.print(Text(ASKED_NOTE))


def _show_order(console: Console, report: Partition) -> None:
    order = report.order
    nodes = count_of(order.nodes, "node")
    if order.agrees:
        console.print(Text(f"the file's order agrees with {nodes}", style="green"))
        return
    others = ", ".join(map(str, order.agreeing)) or "no number of nodes"
    text = f"the file's order does not agree with {nodes} (with {others}); first at line {order.first_line}: "
    console.print(Text(f"{text}{order.found}", style="red"), soft_wrap=True)


def _show_nodes(console: Console, report: Partition) -> None:
    """Print the nodes, by number if all fit, else the fullest."""
    nodes, title = report.per_node, "Nodes"
    if len(nodes) > MOST_ROWS:
        nodes = sorted(nodes, key=lambda node: -node.areas)[:MOST_ROWS]
        title = f"Nodes: the {MOST_ROWS} fullest, of {report.nodes}"
    show_table(
        console,
        title,
        ("node", "areas", "share", "size", "share"),
        (
            (
                str(node.id),
                f"{node.areas:,}",
                f"{node.areas / max(1, report.areas):.1%}",
                _size(node.bytes),
                f"{node.bytes / max(1, report.bytes):.1%}",
            )
            for node in nodes
        ),
    )
    balance = report.areas_balance
    console.print(
        Text(
            f"areas per node: {balance.least:,} to {balance.most:,}, mean {balance.mean:,.1f}, "
            f"deviation {balance.deviation:.1%} of it; of bytes {report.bytes_balance.deviation:.1%}"
        )
    )


def _show_spans(console: Console, report: Partition) -> None:
    """Print how many zones areas reach into: single numbers first, then powers of 2."""
    rows: dict[str, int] = {}
    for zones, areas in report.spans.items():
        low = 1 << (zones.bit_length() - 1)
        label = str(zones) if zones < 4 else f"{low}-{2 * low - 1}"
        rows[label] = rows.get(label, 0) + areas
    show_table(
        console,
        "Spans: zones that an area reaches into",
        ("zones", "areas", "share"),
        ((zones, f"{areas:,}", f"{areas / report.areas:.1%}") for zones, areas in rows.items()),
    )


def _size(size: int) -> str:
    """Give bytes in KiB or MiB."""
    return f"{size / 2**10:,.0f} KiB" if size < 2**23 else f"{size / 2**20:,.1f} MiB"
