"""How a machine's areas fall to vmap nodes, and what lookups inside them would ask: arithmetic, no clock.

`/proc/vmallocinfo` is imported as `vmalloc_init()` imports its `vmlist`: each area goes to the node of its
start, `addr / vmap_zone_size % nr_vmap_nodes` (v6.9 on: as many nodes as possible CPUs, at most 128, zones of
16 pages). Unpurged areas are in no busy tree and only counted.

The file itself shows the partition that its kernel made, since it is printed node by node: with the right
number of nodes the home nodes of its lines never go down. (Addresses ascend within a node, so that hardly any
other number agrees with a file of more than a few lines.)
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Any

from attrs import asdict, frozen

import protocol.policies
from protocol import policies, registry
from protocol.area import PAGE_SIZE, VmapArea, ZoneLayout
from protocol.kernel import KERNELS, NR_VMAP_NODES_MAX, nr_vmap_nodes
from protocol.policies import Policy, told_by
from sim.errors import BadInput
from sim.traces.errors import shortened
from sim.vmallocinfo import UnpurgedLine, VmallocInfoLine, write_vmallocinfo


@frozen
class NodeShare:
    """What a node's busy tree holds; `bytes` include guard pages."""

    id: int
    areas: int
    bytes: int


@frozen
class Balance:
    """How evenly the nodes are filled: of areas or of bytes."""

    least: int
    mean: float
    most: int
    deviation: float
    """Standard deviation over all nodes, in parts of the mean."""


@frozen
class Asked:
    """Nodes that a policy's lookups ask, at every page of every area, guard pages included.

    `mean`, `p99` and `max` are over all pages; `per_area` is the mean over areas of the mean over an area's own
    pages, in which a large area counts no more than a small one.
    `at_starts` is the mean at the areas' first pages. `home_node` is the share of pages whose area lives in the
    node that they themselves map to, `missed` that of pages whose area is not found; such a lookup counts with
    all nodes that it asked.
    """

    policy: str
    mean: float
    p99: int
    max: int
    per_area: float
    at_starts: float
    home_node: float
    missed: float


@frozen
class FileOrder:
    """Whether the order of a file's busy areas agrees with `nodes` nodes."""

    nodes: int
    agrees: bool
    first_line: int | None
    """The first line that does not agree, from 1."""
    found: str | None
    """That line, and why it does not."""
    agreeing: list[int]
    """All numbers of nodes, up to 128, that the order agrees with."""


@frozen
class Partition:
    """A machine's areas over nodes."""

    cpus: int
    nodes: int
    zone_pages: int
    areas: int
    bytes: int
    unpurged: int
    overlapping: int
    """Areas left out: they overlap others, since the file is no snapshot of one instant."""
    per_node: list[NodeShare]
    areas_balance: Balance
    bytes_balance: Balance
    spans: dict[int, int]
    """How many areas reach into so many zones."""
    asked: list[Asked]
    order: FileOrder

    def as_dict(self) -> dict[str, Any]:
        """Give the report as JSON has it."""
        return {**asdict(self), "spans": {str(zones): areas for zones, areas in self.spans.items()}}


def vmlist_of(records: Iterable[VmallocInfoLine]) -> list[VmapArea]:
    """Give the busy areas of a file by address, without those that overlap one before them."""
    vmlist: list[VmapArea] = []
    for area in sorted((record.area for record in _busy(records)), key=lambda area: (area.va_start, -area.va_end)):
        if not vmlist or area.va_start >= vmlist[-1].va_end:
            vmlist.append(area)
    return vmlist


def partition(records: Sequence[VmallocInfoLine], cpus: int) -> Partition:
    """Partition the areas of /proc/vmallocinfo over the nodes of a machine with `cpus` possible CPUs."""
    layout = ZoneLayout(nr_vmap_nodes(KERNELS["6.9"], cpus))
    vmlist = vmlist_of(records)
    busy = sum(1 for _ in _busy(records))
    per_node = _per_node(vmlist, layout)
    return Partition(
        cpus=cpus,
        nodes=layout.nr_nodes,
        zone_pages=layout.zone_size // PAGE_SIZE,
        areas=len(vmlist),
        bytes=sum(area.size for area in vmlist),
        unpurged=len(records) - busy,
        overlapping=busy - len(vmlist),
        per_node=per_node,
        areas_balance=_balance([node.areas for node in per_node]),
        bytes_balance=_balance([node.bytes for node in per_node]),
        spans=dict(sorted(Counter(map(layout.zones_spanned, vmlist)).items())),
        asked=[asked_by(name, policies.load(name), vmlist, layout) for name in registry.names(protocol.policies)],
        order=file_order(records, layout.nr_nodes),
    )


def file_order(records: Sequence[VmallocInfoLine], nodes: int) -> FileOrder:
    """Say whether the busy areas of `records` come node by node, if there are `nodes` nodes."""
    breach = _first_breach(records, nodes)
    found = None
    if breach is not None:
        line, before, node_id = breach
        found = f"{write_vmallocinfo([records[line - 1]]).strip()}: node {node_id} after node {before}"
    return FileOrder(
        nodes=nodes,
        agrees=breach is None,
        first_line=breach and breach[0],
        found=found,
        agreeing=agreeing_nodes(records),
    )


def agreeing_nodes(records: Sequence[VmallocInfoLine]) -> list[int]:
    """Give all numbers of nodes, up to 128, that the order of the busy areas agrees with."""
    return [nodes for nodes in range(1, NR_VMAP_NODES_MAX + 1) if _first_breach(records, nodes) is None]


def nodes_shown_by(records: Sequence[VmallocInfoLine]) -> int:
    """Give the one number of nodes that the order of a file shows; raises `BadInput` if it is not one."""
    agreeing = agreeing_nodes(records)
    if len(agreeing) != 1:
        found = f"none, and the file's order agrees with {', '.join(map(str, agreeing)) or 'no'} nodes"
        raise BadInput("--cpus", shortened(found), "the machine's possible CPUs")
    return agreeing[0]


def asked_by(name: str, policy: Policy, vmlist: Sequence[VmapArea], layout: ZoneLayout) -> Asked:
    """Count the nodes that lookups ask by `policy`, over all pages of `vmlist`; nodes know what they are told of.

    Takes time for min(zones, nodes) of each area, not for its pages.
    """

    @cache
    def asks(home: int, knowing: tuple[int, ...]) -> tuple[int, bool]:
        asked = 0
        for nodes in policy(home, layout.nr_nodes):
            asked += len(nodes)
            if any(node_id in knowing for node_id in nodes):
                return asked, True
        return asked, False

    told = told_by(policy)

    pages_by_asked: Counter[int] = Counter()
    home_node = missed = at_starts = 0
    means = []
    for area in vmlist:
        owner = layout.addr_to_node_id(area.va_start)
        knowing = (owner, *(told(area, layout) if told is not None else ()))
        at_starts += asks(owner, knowing)[0]
        asked_inside = 0
        for home, pages in pages_by_node(area, layout).items():
            asked, there = asks(home, knowing)
            pages_by_asked[asked] += pages
            asked_inside += asked * pages
            missed += 0 if there else pages
            home_node += pages if home == owner else 0
        means.append(asked_inside * PAGE_SIZE / area.size)
    pages = max(1, pages_by_asked.total())
    return Asked(
        policy=name,
        mean=sum(asked * count for asked, count in pages_by_asked.items()) / pages,
        p99=percentile(pages_by_asked, 990),
        max=max(pages_by_asked, default=0),
        per_area=fmean(means or [0.0]),
        at_starts=at_starts / max(1, len(vmlist)),
        home_node=home_node / pages,
        missed=missed / pages,
    )


def pages_by_node(area: VmapArea, layout: ZoneLayout) -> dict[int, int]:
    """Count an area's pages by the node that an address in them belongs to."""
    zone_size, nr_nodes = layout.zone_size, layout.nr_nodes
    first, last = area.va_start // zone_size, (area.va_end - 1) // zone_size
    counts = {
        zone % nr_nodes: ((last - zone) // nr_nodes + 1) * zone_size
        for zone in range(first, min(last, first + nr_nodes - 1) + 1)
    }
    counts[first % nr_nodes] -= area.va_start - first * zone_size
    counts[last % nr_nodes] -= (last + 1) * zone_size - area.va_end
    return {node_id: size // PAGE_SIZE for node_id, size in counts.items() if size}


def percentile(weights: Mapping[int, int], per_mille: int) -> int:
    """Give the least value that is not exceeded by `per_mille` thousandths of the weight; 0 without any."""
    total = sum(weights.values())
    reached = 0
    for value, weight in sorted(weights.items()):
        reached += weight
        if reached * 1000 >= total * per_mille:
            return value
    return 0


def _busy(records: Iterable[VmallocInfoLine]) -> Iterable[VmallocInfoLine]:
    return (record for record in records if not isinstance(record, UnpurgedLine))


def _first_breach(records: Sequence[VmallocInfoLine], nodes: int) -> tuple[int, int, int] | None:
    """Find the first line that cannot come after the one before: its number, that one's node, its own."""
    layout = ZoneLayout(nodes)
    lines = (
        (layout.addr_to_node_id(record.area.va_start), record.area.va_start, number)
        for number, record in enumerate(records, start=1)
        if not isinstance(record, UnpurgedLine)
    )
    for (before, low, _), (node_id, high, number) in pairwise(lines):
        if (before, low) > (node_id, high):
            return number, before, node_id
    return None


def _per_node(vmlist: Sequence[VmapArea], layout: ZoneLayout) -> list[NodeShare]:
    areas: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    for area in vmlist:
        node_id = layout.addr_to_node_id(area.va_start)
        areas[node_id] += 1
        sizes[node_id] += area.size
    return [NodeShare(node_id, areas[node_id], sizes[node_id]) for node_id in range(layout.nr_nodes)]


def _balance(counts: Sequence[int]) -> Balance:
    mean = fmean(counts)
    return Balance(min(counts), mean, max(counts), pstdev(counts) / mean if mean else 0.0)
