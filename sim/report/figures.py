"""The figures that runs and studies share: groups of portraits, those of one group beside each other.

A run with variants is one group; a study has a group for each combination of the factors that are not compared.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

from sim.report.figure import Choice, Figure, Trace, axis, digits, figure_of
from sim.report.portrait import Curve, Portrait

Group: TypeAlias = Mapping[str, Portrait]
"""Portraits by the name of the variant or level."""

Groups: TypeAlias = Mapping[str, Group]

MARKED = (("p50", 0.5), ("p90", 0.1), ("p99", 0.01), ("p99.9", 0.001))
"""Percentiles that are marked, and the share of operations above each."""

REMOVALS = ("unlink", "free")


def shared_figures(groups: Groups, group_title: str) -> Iterator[Figure]:
    """Give all figures that there is something to draw for."""
    if _operations(groups):
        yield latency_curves(groups, group_title)
    if any(portrait["asked"] for group in groups.values() for portrait in group.values()):
        yield nodes_asked(groups, group_title)
    batched = {
        label: {name: portrait for name, portrait in group.items() if "insert_batch" in portrait["curves"]}
        for label, group in groups.items()
    }
    if any(len(group) > 1 for group in batched.values()):
        yield gain_and_harm({label: group for label, group in batched.items() if group}, group_title)
    yield lock_strips(groups, group_title)
    yield load_over_time(groups, group_title)


def latency_curves(groups: Groups, group_title: str) -> Figure:
    """Draw how many operations take longer than a time: a line per variant, or per operation of a single run."""
    single = all(len(group) == 1 for group in groups.values())
    operations = _operations(groups)
    shapes = Choice("Show", ["longer than (CCDF)", "up to (CDF)"])
    choices = [
        _of(groups, group_title),
        Choice("Operation", ["all of them"] if single else operations),
        shapes,
    ]
    draw: dict[tuple[int, ...], list[Trace]] = {}
    for (place, group), which, tail in product(
        enumerate(groups.values()), range(len(choices[1].options)), (True, False)
    ):
        lines = (
            [(name, name, portrait) for portrait in group.values() for name in portrait["curves"]]
            if single
            else [(name, operations[which], portrait) for name, portrait in group.items()]
        )
        traces: list[Trace] = []
        for series, (name, operation, portrait) in enumerate(lines):
            if operation in portrait["curves"]:
                traces += _curve_traces(name, series, operation, portrait, tail)
        draw[place, which, 0 if tail else 1] = traces
    return figure_of(
        "latency",
        "Latency",
        "The share of operations that took longer than a time (CCDF), or at most that (CDF). Where a line ends, "
        "the slowest operation is. Marks are the 50th, 90th, 99th and 99.9th percentile.",
        choices,
        draw,
        {
            "xaxis": axis("latency (ns)", log=True, dtick="D2"),
            "yaxis": axis("share of operations", log=True, tickformat="~g", dtick=1),
        },
    )


def _curve_traces(name: str, series: int, operation: str, portrait: Portrait, tail: bool) -> list[Trace]:
    points = list(_thinned(portrait["curves"][operation]))
    marks = [
        (label, portrait["metrics"].get(f"latency.{operation}.{label.replace('.', '')}_ns"), above)
        for label, above in MARKED
    ]
    known = [(label, ns, above) for label, ns, above in marks if ns is not None]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "series": series,
            "x": [max(1, ns) for ns, _above in points],
            "y": [digits(above if tail else 1 - above) for _ns, above in points],
            "line": {"shape": "hv"},
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"{name}: percentiles",
            "series": series,
            "showlegend": False,
            "x": [max(1, digits(ns) or 1) for _label, ns, _above in known],
            "y": [above if tail else 1 - above for _label, _ns, above in known],
            "text": [label for label, _ns, _above in known],
        },
    ]


def _thinned(curve: Curve) -> Iterator[tuple[int, float]]:
    """Give (ns, share above) where the share has changed enough to be seen, on either axis."""
    total = sum(curve["count"])
    above = drawn = total
    last = len(curve["ns"]) - 1
    for place, (ns, count) in enumerate(zip(curve["ns"], curve["count"], strict=True)):
        above -= count
        if place in (0, last) or drawn - above > total / 100 or above < 0.93 * drawn:
            drawn = above
            # The line ends at one operation, the slowest: a logarithmic axis has no place for 0.
            yield ns, max(above, 1) / total


def nodes_asked(groups: Groups, group_title: str) -> Figure:
    """Draw what lookups cost by the number of nodes they asked."""
    figures = Choice("Show", ["mean (ns)", "p99 (ns)", "lookups"], "yaxis")
    draw: dict[tuple[int, ...], list[Trace]] = {}
    for (place, group), which in product(enumerate(groups.values()), range(3)):
        draw[place, which] = [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "series": series,
                "x": [int(asked) for asked in portrait["asked"]],
                "y": [digits(figures_of[(1, 2, 0)[which]]) for figures_of in portrait["asked"].values()],
            }
            for series, (name, portrait) in enumerate(group.items())
        ]
    most = max(
        int(asked) for group in groups.values() for portrait in group.values() for asked in portrait["asked"]
    )
    choices = [_of(groups, group_title), figures]
    return figure_of(
        "nodes-asked",
        "Lookups by nodes asked",
        "The latency of lookups by the number of nodes they asked until one had the area (mean or p99, in ns), and "
        "how many lookups asked that many.",
        choices,
        draw,
        {"xaxis": axis("nodes asked", **_whole(most)), "yaxis": axis("", rangemode="tozero")},
    )


def gain_and_harm(groups: Groups, group_title: str) -> Figure:
    """Draw what a strategy gains for the batch against what it does to others."""
    operations = {name for group in groups.values() for portrait in group.values() for name in portrait["curves"]}
    removal = next((name for name in REMOVALS if name in operations), "find")
    gains = [("batch latency (mean, ns)", "latency.insert_batch.mean_ns"), ("lock handoffs", "locks.busy.handoffs")]
    harms = {"p99 of finds (ns)": "latency.find.p99_ns", f"p99 of {removal} (ns)": f"latency.{removal}.p99_ns"}
    choices = [
        _of(groups, group_title),
        Choice("Gain (to the left)", [title for title, _metric in gains], "xaxis"),
        Choice("Harm (upward)", list(harms), "yaxis"),
    ]
    draw: dict[tuple[int, ...], list[Trace]] = {}
    for (place, group), (left, (_gain, gain)), (up, harm) in product(
        enumerate(groups.values()), enumerate(gains), enumerate(harms.values())
    ):
        draw[place, left, up] = [
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "series": series,
                "x": [digits(portrait["metrics"].get(gain))],
                "y": [digits(portrait["metrics"].get(harm))],
                "marker": {"size": 14},
            }
            for series, (name, portrait) in enumerate(group.items())
        ]
    return figure_of(
        "gain-and-harm",
        "Batch strategies: gain and harm",
        "Each strategy's gain (further left is better: shorter batches, or fewer times that a lock changed CPUs) "
        "against its harm (lower is better: the 99th percentile of everybody's other operations meanwhile).",
        choices,
        draw,
        {
            "xaxis": axis("", rangemode="tozero"),
            "yaxis": axis("", rangemode="tozero"),
        },
    )


def lock_strips(groups: Groups, group_title: str) -> Figure:
    """Draw wait and hold of each lock as a strip per variant."""
    kinds: list[tuple[str, Callable[[Sequence[Any]], float]]] = [
        ("mean wait (ns)", lambda lock: lock[3] / max(1, lock[1])),
        ("mean hold (ns)", lambda lock: lock[2] / max(1, lock[1])),
        ("acquisitions", lambda lock: lock[1]),
    ]
    draw: dict[tuple[int, ...], list[Trace]] = {}
    for (place, group), (kind, (_title, figure)) in product(enumerate(groups.values()), enumerate(kinds)):
        names = list(dict.fromkeys(lock[0] for portrait in group.values() for lock in portrait["locks"]))
        by_name = {name: {lock[0]: figure(lock) for lock in portrait["locks"]} for name, portrait in group.items()}
        draw[place, kind] = [
            {
                "type": "heatmap",
                "name": "locks",
                "x": names,
                "y": list(by_name) if len(by_name) > 1 or "" not in by_name else ["locks"],
                "z": [[digits(own.get(name), 4) for name in names] for own in by_name.values()],
                "log": True,
                "ygap": 3,
            }
        ]
    choices = [_of(groups, group_title), Choice("Show", [title for title, _ in kinds])]
    return figure_of(
        "locks",
        "Locks, one by one",
        "Each lock's mean wait and hold per acquisition, and how often it was taken (of a study: in the first "
        "replication). An even strip means that work is dealt out evenly.",
        choices,
        draw,
        {
            "xaxis": axis("lock", type="category"),
            "yaxis": axis("", type="category", autorange="reversed"),
        },
    )


def load_over_time(groups: Groups, group_title: str) -> Figure:
    """Draw for which share of the time each lock was held, over virtual time."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    draw: dict[tuple[int, ...], list[Trace]] = {}
    for (place, group), (which, name) in product(enumerate(groups.values()), enumerate(names)):
        load = group[name]["load"] if name in group else {"ends_ns": [], "held": {}}
        ends_us = [digits(end_ns / 1000) for end_ns in load["ends_ns"]]
        draw[place, which] = [
            {
                "type": "heatmap",
                "name": name or "load",
                "x": ends_us,
                "y": list(load["held"]),
                "z": list(load["held"].values()),
                "log": False,
                "zmin": 0,
                "zmax": 1,
            }
        ]
    choices = [_of(groups, group_title), Choice("Of", names)]
    return figure_of(
        "load",
        "Load over virtual time",
        "The share of the time for which each lock was held, by intervals of virtual time (of a study: in the "
        "first replication). 1 is a lock that somebody always holds.",
        choices,
        draw,
        {
            "xaxis": axis("virtual time (µs)"),
            "yaxis": axis("", type="category"),
        },
    )


def _whole(most: int) -> dict[str, Any]:
    """Give the ticks of an axis from 1 to `most`: each number where there are few, powers of two elsewhere."""
    if most <= 12:
        return {"dtick": 1, "tickformat": "d"}
    return {"type": "log", "tickvals": [2**power for power in range(most.bit_length())], "tickformat": "d"}


def _of(groups: Groups, title: str) -> Choice:
    """Let the reader choose a group; the last one is the largest of most sweeps."""
    return Choice(title, list(groups), start=len(groups) - 1)


def _operations(groups: Groups) -> list[str]:
    """Give the operations that any portrait has, the most frequent first."""
    counts: dict[str, int] = {}
    for group in groups.values():
        for portrait in group.values():
            for name, curve in portrait["curves"].items():
                counts[name] = counts.get(name, 0) + sum(curve["count"])
    return sorted(counts, key=lambda name: (-counts[name], name))
