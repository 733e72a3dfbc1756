"""The scenario as a value: one frozen class per table of the file, its defaults and what is allowed.

Units are in the names: `_ns` nanoseconds, `_pages` pages; `page_size` is bytes. The reference of all keys
(`docs/reference/scenario.md`) is generated from this file.
"""

import importlib
from collections.abc import Mapping
from copy import deepcopy
from math import isfinite
from pathlib import Path
from typing import Any

from attrs import evolve, field, fields, frozen

import protocol.policies
import protocol.strategies
from protocol import registry
from protocol.kernel import CHOICES, KERNELS, Kernel
from protocol.pools import MAX_VA_SIZE_PAGES
from sim.scenario.costs import Costs
from sim.scenario.faults import Faults
from sim.scenario.machine import Machine
from sim.scenario.values import FILE, SHARE, Impossible, allowed, between, one_of, power_of_two

DEFAULT_KERNEL = "6.16"


_PAGE_SIZE = allowed(
    lambda value: 4096 <= value <= 65536 and value & (value - 1) == 0, "4096, 8192, 16384, 32768 or 65536"
)
_PAGES = allowed(
    lambda value: len(value) == 2 and 1 <= value[0] <= value[1] <= 2**20,
    "[fewest, most] with 1 <= fewest <= most <= 1048576",
)
_NAME = allowed(lambda value: value.strip(), "a name")
_GROUPS = allowed(
    lambda value: len(value) == 2 and 1 <= value[0] <= value[1] <= 64,
    "[fewest, most] with 1 <= fewest <= most <= 64",
)


@frozen
class Space:
    """`[space]`: how addresses are dealt out to nodes.

    Left out, `nodes` and `zone_pages` are the kernel's: one node, or one for each CPU up to 128, and zones of 16
    pages. A zone of 0 pages is one of one byte, as in kernel `v3-04`, and only there.
    """

    nodes: int = field(default=16, validator=between(1, 1024))
    zone_pages: int = field(default=16, validator=between(0, 2**20))
    page_size: int = field(default=4096, validator=_PAGE_SIZE)
    kernel: str = field(default=DEFAULT_KERNEL, validator=one_of(lambda: list(KERNELS)))

    def __attrs_post_init__(self) -> None:
        if not self.zone_pages and KERNELS[self.kernel].zone_pages:
            allowed = f"an integer from 1 to {2**20} (only kernel v3-04 has zones of one byte, 0)"
            raise Impossible("zone_pages", self.zone_pages, allowed)

    @property
    def zone_size(self) -> int:
        """Bytes in a zone."""
        return self.zone_pages * self.page_size or 1


def _choice(name: str) -> Any:
    """Make a key of `[kernel]`: one of the described values, by default the default kernel's."""
    default = getattr(KERNELS[DEFAULT_KERNEL], name)
    values = list(CHOICES[name].values)
    words = ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in values)
    return field(default=default, validator=allowed(lambda value: value in values, words))


@frozen
class KernelChoices:
    """`[kernel]`: what `space.kernel` decides, each choice also by itself; docs/reference/kernels.md explains them.

    The defaults here are those of kernel 6.16.
    """

    busy_locks: int = _choice("busy_locks")
    vread: str = _choice("vread")
    pools: bool = _choice("pools")
    pool_limit: int = field(default=MAX_VA_SIZE_PAGES, validator=between(1, 2**20))
    decay: str = _choice("decay")
    shrinker: str = _choice("shrinker")
    lazy: str = _choice("lazy")
    lazy_merges: bool = _choice("lazy_merges")
    lazy_counter: str = _choice("lazy_counter")
    drain: str = _choice("drain")
    helpers: str = _choice("helpers")
    nonblocking: bool = _choice("nonblocking")

    @classmethod
    def of(cls, kernel: Kernel) -> "KernelChoices":
        """Give the choices of a kernel."""
        return cls(**{attribute.name: getattr(kernel, attribute.name) for attribute in fields(cls)})


@frozen
class Lookup:
    """`[lookup]`: which nodes a lookup asks; `extra` is for `bounded`."""

    policy: str = field(default="backward", validator=one_of(lambda: registry.names(protocol.policies)))
    extra: int = field(default=1, validator=between(0, 1024))


@frozen
class Batch:
    """`[batch]`: how many areas a batch has and how it is inserted; `chunk` is for `chunked` and `adaptive`."""

    strategy: str = field(default="grouped", validator=one_of(lambda: registry.names(protocol.strategies)))
    areas: int = field(default=16, validator=between(1, 10**6))
    chunk: int = field(default=8, validator=between(1, 10**6))


@frozen
class Mix:
    """`[workload.mix]`: shares of operations (they sum to 1), and what kinds of finds there are.

    `interior` is the share of finds at a page other than the first of an area that spans several zones,
    `miss` the share at an address where nothing is.
    """

    find: float = field(default=0.70, validator=SHARE)
    insert: float = field(default=0.15, validator=SHARE)
    unlink: float = field(default=0.15, validator=SHARE)
    insert_batch: float = field(default=0.0, validator=SHARE)
    interior: float = field(default=0.10, validator=SHARE)
    miss: float = field(default=0.0, validator=SHARE)

    def __attrs_post_init__(self) -> None:
        total = self.find + self.insert + self.unlink + self.insert_batch
        if abs(total - 1.0) > 1e-9:
            raise Impossible(
                "find + insert + unlink + insert_batch", float(f"{total:.12g}"), "shares that sum to 1"
            )
        if self.interior + self.miss > 1.0 + 1e-9:
            raise Impossible("interior + miss", self.interior + self.miss, "shares of finds, at most 1")


@frozen
class Migration:
    """`[workload.migrate]`: the `share` of operations before which a CPU moves one of its areas to another node."""

    share: float = field(default=0.05, validator=SHARE)


@frozen
class TraceUse:
    """`[workload.trace]`: what is made of a trace besides its allocations and frees.

    `lookups` is how many finds follow each allocation on average, of areas that are live then, and
    `interior` the share of them at a page other than the first of an area that spans several zones. With
    `batched` each CPU's batch inserter collects its allocations. `times` is "closed" (each CPU goes on as
    soon as it can) or "recorded" (no operation begins before its time in the trace).
    """

    lookups: float = field(
        default=1.0, validator=allowed(lambda value: 0.0 <= value <= 1000.0, "a number from 0 to 1000")
    )
    interior: float = field(default=0.25, validator=SHARE)
    batched: bool = False
    times: str = field(default="closed", validator=one_of(lambda: ["closed", "recorded"]))


@frozen
class OpenLoad:
    """`[workload.open]`: operations that come whether or not earlier ones are over.

    `rate_per_s` is how many come in a second, to all CPUs together, who take turns.
    `arrivals` is "poisson" (at times independent of each other) or "even" (at equal distances).
    """

    rate_per_s: float = field(
        default=1e6, validator=allowed(lambda value: 1e-3 <= value <= 1e12, "a number from 0.001 to 1e12")
    )
    arrivals: str = field(default="poisson", validator=one_of(lambda: ["poisson", "even"]))


@frozen
class VmallocTest:
    """`[workload.test_vmalloc]`: the parameters of lib/test_vmalloc.c, with its defaults, and what a machine adds.

    Worker i is a thread on CPU i modulo `machine.cpus`; workers of one CPU take turns of `slice_ns` (0.75 ms times
    1 + log2 of 8 CPUs, the base slice of kernel/sched/fair.c). `run_test_mask` is the sum of tests' ids, as listed
    in docs/how-to/run-test-vmalloc.md; `nr_threads` 0 is 1 and `nr_pages` 0 is 1. `grace_period_ns` is how long
    `kvfree_rcu` holds an area: the median of a recorded test of one thread, in which single ones took 26 ms to 5 s;
    take it for a guess. `cycles_per_us` turns the run's time into the cycles that the summary has. With `scale` s
    the tests hold 1/s of the areas that they hold in the kernel, and with `lazy_scale` s a purge is due at 1/s of
    the kernel's lazy pages; see also `costs.tree_scale`. With
    `global_lock` all allocations, their pages included, are made one at a time.
    """

    nr_threads: int = field(default=0, validator=between(0, 65_535))
    sequential_test_order: bool = False
    test_repeat_count: int = field(default=1, validator=between(1, 10**6))
    test_loop_count: int = field(default=1_000_000, validator=between(1, 2**31 - 1))
    nr_pages: int = field(default=0, validator=between(0, 2**20))
    use_huge: bool = False
    run_test_mask: int = field(default=7, validator=between(1, 2**13 - 1))
    nr_pcpu_objects: int = field(default=35_000, validator=between(1, 10**7))
    grace_period_ns: int = field(default=54_500_000, validator=between(0, 10**12))
    slice_ns: int = field(default=3_000_000, validator=between(1, 10**12))
    cycles_per_us: int = field(default=1000, validator=between(1, 10**6))
    scale: int = field(default=1, validator=between(1, 10**6))
    lazy_scale: int = field(default=1, validator=between(1, 10**6))
    global_lock: bool = False

    @property
    def workers(self) -> int:
        """How many threads there are: `clamp(nr_threads, 1, USHRT_MAX)`."""
        return max(1, self.nr_threads)

    @property
    def pages(self) -> int:
        """Pages of the tests that have a number of pages: `nr_pages > 0 ? nr_pages : 1`."""
        return max(1, self.nr_pages)


@frozen
class ModuleLoad:
    """`[[workload.modprobe.load]]`: one modprobe of the test module, under a `name` in the results.

    The module is loaded `times` times: a modprobe that tries finit_module() and then init_module(), as busybox's,
    does that twice, since the module always answers -EAGAIN. `page_ns` is how long each page of an allocation takes
    besides its area; the other keys are the module's parameters.
    """

    name: str = field(default="", validator=_NAME)
    times: int = field(default=1, validator=between(1, 1000))
    nr_threads: int = field(default=1, validator=between(1, 65_535))
    run_test_mask: int = field(default=7, validator=between(1, 2**13 - 1))
    test_loop_count: int = field(default=1_000_000, validator=between(1, 2**31 - 1))
    nr_pages: int = field(default=0, validator=between(0, 2**20))
    page_ns: int = field(default=0, validator=between(0, 10**9))


@frozen
class Modprobe:
    """`[workload.modprobe]`: loads of the test module, one after the other in one boot.

    Parameters that a load does not name are those of `[workload.test_vmalloc]`. Ticks come every `tick_ns`
    (CONFIG_HZ=250). Between two loads `pause_ns` pass, as a shell script takes them, and before each part of
    the module is freed `unload_ns`, for the RCU grace periods that the kernel waits for. What the pages of an
    allocation take is drawn evenly, up to `jitter` of itself more or less: without that the workers of a
    machine fall into step. And one worker is slower than another, for all of a run, by up to `pace`. Once a second
    a kworker of each CPU that is not idle needs `vmstat_ns` to update the CPU's statistics. A CPU of an emulated
    machine stands still for `stop_ns` on average (0: never), `stop_gap_ns` after it last did, both exponentially
    distributed.
    """

    tick_ns: int = field(default=4_000_000, validator=between(1000, 10**9))
    pause_ns: int = field(default=0, validator=between(0, 10**12))
    unload_ns: int = field(default=0, validator=between(0, 10**12))
    jitter: float = field(default=0.0, validator=SHARE)
    pace: float = field(default=0.0, validator=SHARE)
    vmstat_ns: int = field(default=0, validator=between(0, 10**9))
    stop_ns: int = field(default=0, validator=between(0, 10**9))
    stop_gap_ns: int = field(default=250_000_000, validator=between(1, 10**12))

    load: list[ModuleLoad] = field(factory=list)


@frozen
class VmallocUse:
    """`[workload.vmalloc]`: shares of operations of kernel code that uses vmalloc (they sum to 1).

    `alloc` and `free` are vmalloc() and vfree(), `map` and `unmap` vm_map_ram() and vm_unmap_ram(), `percpu` gets a
    per-CPU chunk's areas or frees them, `find` is find_vmap_area(), `exceed` find_vmap_area_exceed_addr(), and so
    on. Of the allocations `ioremap` are I/O mappings and `module` go to the module range, `nonblocking` must not
    sleep (for kernels that can). `interior` is the share of addresses that are no area's start; of `dump_obj` it is
    any object in an area. `held_areas` is how many areas each CPU keeps: with more it frees instead of allocating.
    `window_pages` is the size of the vmalloc space, 0 for x86_64's 32 TiB. `cached_areas` is how many areas a CPU
    leaves mapped after their last use, as graphics drivers do, until it has more of them or, by vmap_notify_list,
    somebody who finds no room asks for all of them.

    A per-CPU chunk has an area for each of its groups (of CPUs near each other: NUMA nodes), `percpu_groups` of
    them, `percpu_pages` long and aligned, from one to the next `percpu_distance_pages`, a multiple of that (0:
    twice as much). On x86_64 that is 512 pages, a huge page, and as far as their first chunk's memory is by chance.
    """

    alloc: float = field(default=0.34, validator=SHARE)
    free: float = field(default=0.33, validator=SHARE)
    find: float = field(default=0.16, validator=SHARE)
    exceed: float = field(default=0.02, validator=SHARE)
    vread: float = field(default=0.02, validator=SHARE)
    map: float = field(default=0.05, validator=SHARE)
    unmap: float = field(default=0.05, validator=SHARE)
    percpu: float = field(default=0.01, validator=SHARE)
    dump_obj: float = field(default=0.015, validator=SHARE)
    unmap_aliases: float = field(default=0.002, validator=SHARE)
    shrink: float = field(default=0.001, validator=SHARE)
    vmallocinfo: float = field(default=0.002, validator=SHARE)
    ioremap: float = field(default=0.02, validator=SHARE)
    module: float = field(default=0.05, validator=SHARE)
    nonblocking: float = field(default=0.0, validator=SHARE)
    interior: float = field(default=0.10, validator=SHARE)
    held_areas: int = field(default=2_000, validator=between(1, 10**7))
    cached_areas: int = field(default=0, validator=between(0, 10**7))
    window_pages: int = field(default=0, validator=between(0, 2**33))
    percpu_groups: list[int] = field(factory=lambda: [1, 4], validator=_GROUPS)
    percpu_pages: int = field(default=64, validator=power_of_two(2**18))
    percpu_distance_pages: int = field(default=0, validator=between(0, 2**32))

    def __attrs_post_init__(self) -> None:
        total = sum(self.shares.values())
        if abs(total - 1.0) > 1e-9:
            raise Impossible(" + ".join(self.shares), float(f"{total:.12g}"), "shares that sum to 1")
        if self.percpu_distance_pages % self.percpu_pages:
            raise Impossible(
                "percpu_distance_pages",
                self.percpu_distance_pages,
                f"0, or a multiple of percpu_pages, {self.percpu_pages}",
            )
        if self.ioremap + self.module > 1.0:
            raise Impossible("ioremap + module", self.ioremap + self.module, "shares of allocations, at most 1")

    @property
    def shares(self) -> dict[str, float]:
        """The shares of operations, by name, in the order of the keys."""
        return {attribute.name: getattr(self, attribute.name) for attribute in fields(VmallocUse)[:12]}


def _workloads() -> list[str]:
    """List the workloads; they know scenarios, and so cannot be imported by what scenarios are made of."""
    return registry.names(importlib.import_module("sim.workloads"))


@frozen
class Workload:
    """`[workload]`: what the CPUs do. `file` is for `trace`; `pages` and `guard` are for `mix` and `open`.

    `operations` and `preload_areas` are for `mix`, `open` and `vmalloc`, `think_ns` for `mix` and `vmalloc`. With
    `vmalloc`, `preload_areas` are a vmlist: areas of early boot that vmalloc_init() imports.
    """

    kind: str = field(default="mix", validator=one_of(_workloads))
    operations: int = field(default=200_000, validator=between(1, 10**12))
    preload_areas: int = field(default=10_000, validator=between(0, 10**7))
    pages: list[int] = field(factory=lambda: [1, 64], validator=_PAGES)
    guard: bool = True
    think_ns: int = field(default=0, validator=between(0, 10**12))
    file: str = field(default="", validator=FILE)
    mix: Mix = field(factory=Mix)
    migrate: Migration = field(factory=Migration)
    open: OpenLoad = field(factory=OpenLoad)
    trace: TraceUse = field(factory=TraceUse)
    vmalloc: VmallocUse = field(factory=VmallocUse)
    test_vmalloc: VmallocTest = field(factory=VmallocTest)
    modprobe: Modprobe = field(factory=Modprobe)


@frozen
class Warmup:
    """`[warmup]`: which operations at a run's beginning are left out of its latencies (`sim.metrics.warmup`).

    `method` is "none", "fixed" (the first `operations`), or "mser-5": as many as make the standard error of
    the mean latency of the rest smallest, at most half. Locks, nodes and checks are those of the whole run.
    """

    method: str = field(default="none", validator=one_of(lambda: ["none", "fixed", "mser-5"]))
    operations: int = field(default=0, validator=between(0, 10**12))


def _scalars(_instance: object, _attribute: object, tables: Mapping[str, object]) -> None:
    """Allow tables of single values that fit into TOML and JSON alike."""
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise Impossible(f"parameters.{name}", table, f"a table, [parameters.{name}]")
        for key, value in table.items():
            if not _is_scalar(value):
                words = "a string, true or false, or a finite number of at most 64 bits"
                raise Impossible(f"parameters.{name}.{key}", value, words)


def _is_scalar(value: object) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str) or (isinstance(value, float) and isfinite(value))


@frozen
class Scenario:
    """All that decides a run, but for the contents of the file that `workload.file` names."""

    seed: int = field(default=1, validator=between(0, 2**64 - 1))
    space: Space = field(factory=Space)
    kernel: KernelChoices = field(factory=KernelChoices)
    machine: Machine = field(factory=Machine)
    costs: Costs = field(factory=Costs)
    lookup: Lookup = field(factory=Lookup)
    batch: Batch = field(factory=Batch)
    workload: Workload = field(factory=Workload)
    warmup: Warmup = field(factory=Warmup)
    faults: Faults = field(factory=Faults)
    parameters: dict[str, Any] = field(factory=dict, validator=_scalars)
    """`[parameters.NAME]`: a table of scalars for what is offered as NAME (`sim.scenario.parameters`)."""

    @classmethod
    def load(
        cls, path: str | Path, settings: Mapping[str, Any] | None = None, *, variant: str | None = None
    ) -> "Scenario":
        """Read the scenario file at `path`, with some keys set, such as {"lookup.policy": "forward"}.

        Of a file with variants this is the one of that name, or what they start from. Raises `BadInput`.
        """
        from sim.errors import BadInput
        from sim.scenario.file import load_scenarios, read_toml

        if variant is None:
            table = read_toml(Path(path))
            table.pop("variant", None)
            return cls._made(table, settings, str(path), Path(path).parent)
        named = {one.name: one.scenario for one in load_scenarios(Path(path)).variants}
        if variant not in named:
            raise BadInput(f"{path}: variant", repr(variant), ", ".join(named) or "none: the file has no variants")
        return named[variant].changed(settings or {})

    @classmethod
    def of(cls, table: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None) -> "Scenario":
        """Make a scenario of tables as in a file, {"space": {"nodes": 4}}, and of keys. Raises `BadInput`."""
        return cls._made(deepcopy(dict(table or {})), settings, "Scenario.of")

    def changed(self, settings: Mapping[str, Any]) -> "Scenario":
        """Give a scenario with some keys set; all others are as here, also those that a kernel chose."""
        from sim.scenario.converter import unstructure

        return self._made(unstructure(self), settings, "Scenario.changed")

    @classmethod
    def _made(
        cls, table: dict[str, Any], settings: Mapping[str, Any] | None, where: str, beside: Path = Path()
    ) -> "Scenario":
        from sim.scenario.file import structure
        from sim.scenario.settings import put_all, settings_of

        put_all(table, settings_of(settings or {}, where), f"{where}: ")
        return structure(table, where, beside=beside)

    @property
    def chosen_kernel(self) -> Kernel:
        """The named kernel with the scenario's own choices in its place."""
        choices = {attribute.name: getattr(self.kernel, attribute.name) for attribute in fields(KernelChoices)}
        return evolve(KERNELS[self.space.kernel], **choices)
