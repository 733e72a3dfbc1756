"""The tables and pictures of the page, a question after the other, and what its sentences rely on.

A sentence of the page that says "more", "never" or "a third" has its claim here: `Unsupported` is raised when a
study no longer bears it out, and then it is the sentence that has to be written anew.
"""

from collections.abc import Mapping
from itertools import product

from attrs import frozen

from sim.review.pictures import Bars, Curves, Line, Lines, Shares
from sim.review.tables import StudyTables, markdown

STUDIES = (
    "lookups-of-a-boot",
    "lookups-by-size",
    "percpu",
    "batches-of-a-boot",
    "large-batches",
    "node-0-only",
    "dump-obj",
)
"""The studies that the page is made from, files of configs/review/."""

COSTS = ("messages", "3970X")
SIZES = ("4-16", "1-64", "64-512")
DUMPS = ("answered", "busy", "other_node", "rounded_up")
MISSED = "groups.lookups.missed"
ASKED = "latency.find_interior.nodes_asked"
LOOKUP_NS = "latency.find_interior.mean_ns"
FIND_P99 = "latency.find.p99_ns"
TOGETHER = "batches.session_areas"

Tables = Mapping[str, StudyTables]


class Unsupported(Exception):
    """A sentence of the page that the studies do not bear out."""


@frozen
class Claims:
    """What sentences rely on."""

    made: list[str]

    def __call__(self, words: str, holds: bool) -> None:
        """Note a claim; raises `Unsupported` if it does not hold."""
        if not holds:
            raise Unsupported(words)
        self.made.append(words)


@frozen
class Sizes:
    """Areas whose insides were looked up: of a boot, or of drawn sizes, on some numbers of nodes."""

    words: str
    study: StudyTables
    levels: Mapping[str, object]
    nodes: tuple[int, ...]


def sizes_of(tables: Tables) -> list[Sizes]:
    """Give all kinds of areas whose insides were looked up."""
    drawn = [Sizes(f"{pages} pages", tables["lookups-by-size"], {"pages": pages}, (4, 16, 64)) for pages in SIZES]
    return [Sizes("of a boot", tables["lookups-of-a-boot"], {}, (4, 64)), *drawn]


def missed(tables: Tables, claim: Claims) -> str:
    """Give the table of question 1: what those miss who stop early."""
    rows = []
    for sizes in sizes_of(tables):
        for nodes in sizes.nodes:
            levels = {**sizes.levels, "nodes": nodes, "costs": "messages"}
            found = sizes.study.figure
            backward = found(ASKED, **levels, policy="backward")
            claim("who asks all nodes finds all", not found(MISSED, **levels, policy="backward").mean)
            rows.append(
                (
                    sizes.words,
                    str(nodes),
                    backward.count(),
                    found(MISSED, **levels, policy="stop after 1").share(),
                    found(MISSED, **levels, policy="stop after 4").share(),
                )
            )
    heads = ("areas", "nodes", "nodes asked backward", "missed with 1 extra node", "with 4")
    return markdown(heads, rows)


def scan_order(tables: Tables, claim: Claims) -> str:
    """Give the table of question 2: forward and backward, in nodes asked and in time."""
    rows = []
    for sizes in sizes_of(tables):
        for nodes in sizes.nodes:
            levels = {**sizes.levels, "nodes": nodes}
            asked = [
                sizes.study.figure(ASKED, **levels, costs="messages", policy=policy)
                for policy in ("forward", "backward")
            ]
            changes = [sizes.study.change(LOOKUP_NS, **levels, costs=costs, policy="backward") for costs in COSTS]
            claim(
                "backward is never known to be slower",
                not any(change.decided and change.relative > 0 for change in changes),
            )
            rows.append((sizes.words, str(nodes), *(one.count() for one in asked), *map(str, changes)))
    heads = ("areas", "nodes", "forward asks", "backward asks", "time, messages", "time, 3970X")
    return markdown(heads, rows)


def scan_order_picture(tables: Tables) -> Curves:
    """Draw question 2: the mean time of a lookup over the number of nodes."""
    study = tables["lookups-by-size"]
    nodes = (4, 16, 64)
    panels = []
    for costs in COSTS:
        lines = []
        for (colour, pages), policy in product(enumerate(SIZES), ("forward", "backward")):
            found = [study.figure(LOOKUP_NS, pages=pages, nodes=n, costs=costs, policy=policy) for n in nodes]
            means, lows, highs = zip(*((one.mean, one.low, one.high) for one in found), strict=True)
            lines.append(Line(f"{pages} pages, {policy}", nodes, means, lows, highs, colour, policy == "forward"))
        panels.append(Lines(costs, "nodes", lines))
    return Curves("mean of a lookup (ns)", panels)


def percpu(tables: Tables, claim: Claims) -> str:
    """Give the first table of question 3: per-CPU chunks."""
    study, metric = tables["percpu"], "latency.pcpu_get_vm_areas.mean_ns"
    rows = []
    for nodes, groups in product((32, 48), (1, 2, 8)):
        levels = {"nodes": nodes, "groups": groups}
        together = [
            study.figure(TOGETHER, **levels, costs="3970X", strategy=strategy).mean
            for strategy in ("coalesced", "grouped")
        ]
        if nodes == 32:
            claim("with 32 nodes all areas of a chunk are in one", together == [groups, groups])
        if nodes == 48 and groups > 1:
            claim("with 48 nodes neighbours never are", together[0] == 1)
        others = [
            study.change(FIND_P99, **levels, costs="3970X", strategy=strategy)
            for strategy in ("coalesced", "grouped")
        ]
        if groups <= 2:
            calls = [
                study.change(metric, **levels, costs="3970X", strategy=name) for name in ("coalesced", "grouped")
            ]
            claim("with one or two groups nothing can be told", not any(change.decided for change in calls))
        claim("others never wait longer", not any(change.decided and change.relative > 0 for change in others))
        rows.append(
            (
                str(nodes),
                str(groups),
                *(f"{one:.2f}" for one in together),
                study.figure(metric, **levels, costs="3970X", strategy="per-area").ns(),
                str(study.change(metric, **levels, costs="3970X", strategy="coalesced")),
                str(study.change(metric, **levels, costs="3970X", strategy="grouped")),
                study.figure(FIND_P99, **levels, costs="3970X", strategy="per-area").ns(),
                str(others[1]),
            )
        )
    heads = (
        "nodes",
        "groups",
        "areas a session, coalesced",
        "grouped",
        "the call, a lock per area (ns)",
        "coalesced",
        "grouped",
        "others' finds, p99 (ns)",
        "grouped",
    )
    return markdown(heads, rows)


def batches(tables: Tables, claim: Claims) -> str:
    """Give the second table of question 3: larger batches."""
    rows = []
    kinds: list[tuple[str, StudyTables, Mapping[str, object]]] = [
        ("16 of a boot", tables["batches-of-a-boot"], {}),
        *(
            (f"{areas} of {pages} pages", tables["large-batches"], {"areas": areas, "pages": pages})
            for pages, areas in product(("1", "1-64"), (8, 64))
        ),
    ]
    for (words, study, levels), strategy in product(kinds, ("coalesced", "grouped", "chunked")):
        if strategy == "chunked" and levels.get("areas") != 64:
            continue  # no node has more than a chunk of them
        at = {**levels, "strategy": strategy}
        batch = [study.change("latency.insert_batch.mean_ns", **at, costs=costs) for costs in COSTS]
        finds = [study.change(FIND_P99, **at, costs=costs) for costs in COSTS]
        if strategy == "grouped":
            claim("grouping never slows a batch down", not any(c.decided and c.relative > 0 for c in batch))
            if levels.get("areas") == 64:
                claim("as messages finds wait behind longer holds", finds[0].decided and finds[0].relative > 0)
                claim("on the 3970X they wait no longer", not (finds[1].decided and finds[1].relative > 0))
                if levels["pages"] == "1":
                    claim("beside areas of one page they wait less", finds[1].decided and finds[1].relative < 0)
        rows.append(
            (
                words,
                strategy,
                study.figure(TOGETHER, **at, costs="3970X").count(),
                *(str(change) for pair in zip(batch, finds, strict=True) for change in pair),
            )
        )
    heads = (
        "batch",
        "strategy",
        "areas a session",
        "batch, messages",
        "finds' p99",
        "batch, 3970X",
        "finds' p99",
    )
    return markdown(heads, rows)


def node_0(tables: Tables, claim: Claims) -> str:
    """Give the table of question 4: what is not seen from node 0."""
    study = tables["node-0-only"]
    metrics = ("vread", "vmallocinfo", "find_vmap_area_exceed_addr")
    rows = []
    for nodes in (1, 2, 4, 16, 64):
        old, new = (
            [study.figure(f"looks.{metric}.missed", kernel=kernel, nodes=nodes) for metric in metrics]
            for kernel in ("v3-04", "6.16")
        )
        claim("asking all nodes misses nothing", not any(figure.mean for figure in new))
        claim(
            "from node 0 a share of 1/n is seen", all(abs(figure.mean - (1 - 1 / nodes)) < 0.05 for figure in old)
        )
        rows.append((str(nodes), *(figure.share() for figure in old), new[0].bare_share()))
    heads = ("nodes", "vread: bytes read as zeros", "vmallocinfo: areas left out", "searches wrong", "any, v6.16")
    return markdown(heads, rows)


def dumps(tables: Tables, claim: Claims) -> str:
    """Give the table of question 5: what becomes of dumps."""
    study = tables["dump-obj"]
    rows = []
    for kernel, cpus, think_ns in product(("6.8", "6.16"), (4, 16, 64), (10_000, 100_000)):
        levels = {"kernel": kernel, "cpus": cpus, "think_ns": think_ns}
        found = {name: study.figure(f"looks.vmalloc_dump_obj.{name}", **levels) for name in DUMPS}
        blind = found["other_node"].mean + found["rounded_up"].mean
        if kernel == "6.8":
            claim("with one node only the lock is in the way", blind == 0)
        else:
            claim("zones hide about a third, whatever the load", 0.28 < blind < 0.36)
        rows.append((f"v{kernel}", str(cpus), f"{think_ns:,}", *(figure.share() for figure in found.values())))
    heads = ("kernel", "CPUs", "think (ns)", "answered", "lock busy", "other node's zone", "rounded up into it")
    return markdown(heads, rows)


def dumps_picture(tables: Tables) -> Shares:
    """Draw question 5: what becomes of dumps, as parts of a bar."""
    study = tables["dump-obj"]
    panels = []
    for kernel in ("6.8", "6.16"):
        bars = []
        for cpus, think_ns in product((4, 16, 64), (0, 10_000, 100_000)):
            levels = {"kernel": kernel, "cpus": cpus, "think_ns": think_ns}
            parts = [study.figure(f"looks.vmalloc_dump_obj.{name}", **levels).mean for name in DUMPS]
            bars.append((f"{cpus} CPUs, {think_ns // 1000} µs", parts))
        panels.append(Bars(f"v{kernel}", bars))
    return Shares(("answered", "lock busy", "other node's zone", "rounded up into it"), panels)
