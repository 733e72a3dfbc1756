"""Kernels: named sets of choices, by the version that made them; and the arithmetic that goes with them.

A `Kernel` is data. Every choice is a field, with its values and their sources in `CHOICES`; whoever serves a
request or runs a flow asks the field and not the version. `KERNELS` are the sets that were real, and those that
extensions add; each is a file in `protocol/kernels/`.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Literal, TypeAlias

from attrs import frozen

from protocol import registry
from protocol.area import PAGE_SIZE
from protocol.pools import Decay

NR_VMAP_NODES_MAX = 128
"""`clamp(num_possible_cpus(), 1, 128)` in vmap_init_nodes(), v6.9 to v7.1."""

LAZY_BYTES = 32 * 2**20
"""What lazily freed areas may hold per doubling of the online CPUs: lazy_max_pages(), since v2.6.28."""

Nodes: TypeAlias = Literal["one", "per-cpu"]
Policy: TypeAlias = Literal["forward", "backward"]
Lazy: TypeAlias = Literal["global", "per-node"]
LazyCounter: TypeAlias = Literal["per-area", "per-node"]
Vread: TypeAlias = Literal["node-0", "one-pass", "two-pass"]
Drain: TypeAlias = Literal["loop", "once"]
Helpers: TypeAlias = Literal["none", "on-cpu", "unbound"]
Shrinker: TypeAlias = Literal["none", "unlocked", "purge-lock"]


@frozen
class Kernel:
    """What a kernel decides where a scenario does not."""

    name: str
    summary: str
    since: tuple[int, ...]
    """The version that it is of, or that a patch is on top of: kernels are listed in this order."""
    nodes: Nodes
    zone_pages: int
    policy: Policy
    busy_locks: int
    vread: Vread
    pools: bool
    pool_limit: int
    decay: Decay
    shrinker: Shrinker
    lazy: Lazy
    lazy_merges: bool
    lazy_counter: LazyCounter
    drain: Drain
    helpers: Helpers
    nonblocking: bool


@frozen
class Choice:
    """A field of `Kernel` in words: what it decides, what its values mean and where that is from."""

    decides: str
    values: dict[object, str]


CHOICES: dict[str, Choice] = {
    "nodes": Choice(
        "`nr_vmap_nodes`, where `space.nodes` is left out",
        {
            "one": "v6.8; v3 04/11 of the series, where all areas are bound to node 0",
            "per-cpu": "possible CPUs, at least 1 and at most 128: vmap_init_nodes(), v6.9 (v3 10/11)",
        },
    ),
    "zone_pages": Choice(
        "`vmap_zone_size` in pages, where `space.zone_pages` is left out; 0 stands for one byte",
        {
            0: "v3 04/11, and the initial value until vmap_init_nodes() finds several CPUs",
            16: "`(1 << 4) * PAGE_SIZE`, v6.9; without effect on one node",
        },
    ),
    "policy": Choice(
        "how find_vmap_area() goes on, where `lookup.policy` is left out",
        {
            "forward": "`(i + 1) % nr_vmap_nodes`, v6.9 to v6.15",
            "backward": "`(i + nr_vmap_nodes - 1) % nr_vmap_nodes`, v6.16 by its date (Baoquan He, April 2025)",
        },
    ),
    "busy_locks": Choice(
        "how often alloc_vmap_area() and __get_vm_area_node() take the busy lock",
        {
            2: "once to insert, once in setup_vmalloc_vm(): up to v6.9",
            1: "once, for both: v6.10 by its date (v8, March 2024)",
        },
    ),
    "vread": Choice(
        "how vread_iter() finds the next area, and whether /proc/vmallocinfo goes beyond node 0",
        {
            "node-0": "holds the lock of node 0 and walks its list: v6.8, where it has all areas, and v3 04/11",
            "one-pass": "asks all nodes and keeps the lock of the best one so far: v6.9-rc1; lockdep objected",
            "two-pass": "asks all nodes in turn, then locks the best one and looks again: v6.9-rc3 (fc2c22693c60)",
        },
    ),
    "pools": Choice(
        "whether freed areas are kept for the CPU's next allocation of their size",
        {False: "v6.8", True: "v6.9 (72210662c5a2)"},
    ),
    "pool_limit": Choice("pages of the largest area that a pool keeps", {256: "MAX_VA_SIZE_PAGES, v6.9 to v7.1"}),
    "decay": Choice(
        "what a purge takes from each class of a pool",
        {
            "none": "there are no pools",
            "underflow": "a quarter, and all of one to three: v6.9 to v6.15",
            "mended": "a quarter, rounded down: v6.16 by its date (Baoquan He, April 2025)",
        },
    ),
    "shrinker": Choice(
        "whether memory pressure empties the pools, and under which lock",
        {
            "none": "v6.8",
            "unlocked": "none, racing with purges: v6.9 (7679ba6b36db)",
            "purge-lock": "vmap_purge_lock: v7.1 by its date (April 2026)",
        },
    ),
    "lazy": Choice(
        "where freed areas wait to be purged",
        {
            "global": "in one tree, here node 0's: v6.8",
            "per-node": "in the tree of the area's node: v6.9 (282631cb2447)",
        },
    ),
    "lazy_merges": Choice(
        "whether freed areas that touch are merged while they wait", {True: "v6.8", False: "v6.9 (v3 07/11)"}
    ),
    "lazy_counter": Choice(
        "how a purge subtracts from `vmap_lazy_nr`",
        {
            "per-area": "for each area: v6.8 to v6.10",
            "per-node": "once per node: v6.11 by its date (409faf8c97d5, September 2024); v6.12 has it",
        },
    ),
    "drain": Choice(
        "what drain_vmap_area_work() does",
        {
            "loop": "purges until the lazy pages are within their bound: v6.8",
            "once": "purges once: v6.9 (v3 06/11)",
        },
    ),
    "helpers": Choice(
        "who purges nodes beside the one who purges",
        {
            "none": "nobody: v6.8",
            "on-cpu": "schedule_work_on() the node's CPU: v6.9",
            "unbound": "an unbound workqueue of its own: v3 of March 2026",
        },
    ),
    "nonblocking": Choice(
        "whether callers that must not sleep can allocate; they are never helped by a purge",
        {False: "v6.8 to v6.16: might_sleep()", True: "after July 2025; -EBUSY at once"},
    ),
}
"""What there is to choose, in the order of the reference."""


class _Kernels(Mapping[str, Kernel]):
    """The kernels of the folder `protocol.kernels`, each made when it is asked for."""

    def __getitem__(self, name: str) -> Kernel:
        try:
            make: Callable[[], Kernel] = registry.load(self._folder, name, {})
        except registry.UnknownName:
            raise KeyError(name) from None
        made = make()
        registry.insist(self._folder, name, made, Kernel)
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(registry.names(self._folder), key=lambda name: (self[name].since, name)))

    def __len__(self) -> int:
        return len(registry.names(self._folder))

    @property
    def _folder(self) -> ModuleType:
        return importlib.import_module("protocol.kernels")


KERNELS: Mapping[str, Kernel] = _Kernels()
"""All kernels, oldest first."""


def nr_vmap_nodes(kernel: Kernel, possible_cpus: int) -> int:
    """Count the nodes of a machine with `possible_cpus` (kernel: `vmap_init_nodes`, v6.9)."""
    return 1 if kernel.nodes == "one" else max(1, min(possible_cpus, NR_VMAP_NODES_MAX))


def lazy_max_pages(online_cpus: int, page_size: int = PAGE_SIZE) -> int:
    """Give the lazily freed pages above which a purge is due: `fls(online_cpus) * 32 MiB` (v6.9)."""
    return online_cpus.bit_length() * (LAZY_BYTES // page_size)


def nr_purge_helpers(nr_lazy: int, nr_lazy_max: int, nodes_with_work: int) -> int:
    """Count the nodes that others purge: `clamp(nr_lazy / lazy_max_pages(), 1, nodes_with_work) - 1` (v6.9)."""
    return max(1, min(nr_lazy // nr_lazy_max, nodes_with_work)) - 1
