"""The scenario as a value: one frozen class per table of the file, its defaults and what is allowed.

Units are in the names: `_ns` nanoseconds, `_pages` pages; `page_size` is bytes. The reference of all keys
(`docs/reference/scenario.md`) is generated from this file.
"""

from attrs import field, frozen

import protocol.policies
import protocol.strategies
from protocol import registry
from sim.costs import MODELS
from sim.scenario.faults import Faults
from sim.scenario.kernels import KERNELS
from sim.scenario.values import SHARE as _SHARE
from sim.scenario.values import Allowed, Impossible
from sim.scenario.values import allowed as _allowed
from sim.scenario.values import between as _between
from sim.scenario.values import one_of as _one_of

TOPOLOGIES = ("flat",)


_PAGE_SIZE = _allowed(
    lambda value: 4096 <= value <= 65536 and value & (value - 1) == 0, "4096, 8192, 16384, 32768 or 65536"
)
_PAGES = _allowed(
    lambda value: len(value) == 2 and 1 <= value[0] <= value[1] <= 2**20,
    "[fewest, most] with 1 <= fewest <= most <= 1048576",
)
_COST_NS = _between(0, 10**9)
_FILE = _allowed(lambda value: "\0" not in value, "a file's name")


@frozen
class Space:
    """`[space]`: how addresses are dealt out to nodes."""

    nodes: int = field(default=8, validator=_between(1, 1024))
    zone_pages: int = field(default=16, validator=_between(1, 2**20))
    page_size: int = field(default=4096, validator=_PAGE_SIZE)
    kernel: str = field(default="6.16", validator=_one_of(lambda: list(KERNELS)))

    @property
    def zone_size(self) -> int:
        """Bytes in a zone."""
        return self.zone_pages * self.page_size


@frozen
class Machine:
    """`[machine]`: who asks, and how far it is from everybody else."""

    cpus: int = field(default=16, validator=_between(1, 4096))
    topology: str = field(default="flat", validator=_one_of(lambda: list(TOPOLOGIES)))


@frozen
class Costs:
    """`[costs]`: nanoseconds; see `sim.costs` for where the defaults come from."""

    model: str = field(
        default="message-passing",
        validator=Allowed(
            lambda value: value in MODELS, lambda: f"{', '.join(MODELS)} (shared-memory is not built yet)"
        ),
    )
    lock_ns: int = field(default=20, validator=_COST_NS)
    visit_ns: int = field(default=8, validator=_COST_NS)
    insert_ns: int = field(default=40, validator=_COST_NS)
    link_ns: int = field(default=60, validator=_COST_NS)


@frozen
class Lookup:
    """`[lookup]`: which nodes a lookup asks; `extra` is for `bounded`."""

    policy: str = field(default="backward", validator=_one_of(lambda: registry.names(protocol.policies)))
    extra: int = field(default=1, validator=_between(0, 1024))


@frozen
class Batch:
    """`[batch]`: how many areas a batch has and how it is inserted; `chunk` is for `chunked`."""

    strategy: str = field(default="grouped", validator=_one_of(lambda: registry.names(protocol.strategies)))
    areas: int = field(default=16, validator=_between(1, 10**6))
    chunk: int = field(default=8, validator=_between(1, 10**6))


@frozen
class Mix:
    """`[workload.mix]`: shares of operations (they sum to 1), and what kinds of finds there are.

    `interior` is the share of finds at a page other than the first of an area that spans several zones,
    `miss` the share at an address where nothing is.
    """

    find: float = field(default=0.70, validator=_SHARE)
    insert: float = field(default=0.15, validator=_SHARE)
    unlink: float = field(default=0.15, validator=_SHARE)
    insert_batch: float = field(default=0.0, validator=_SHARE)
    interior: float = field(default=0.10, validator=_SHARE)
    miss: float = field(default=0.0, validator=_SHARE)

    def __attrs_post_init__(self) -> None:
        total = self.find + self.insert + self.unlink + self.insert_batch
        if abs(total - 1.0) > 1e-9:
            raise Impossible(
                "find + insert + unlink + insert_batch", float(f"{total:.12g}"), "shares that sum to 1"
            )
        if self.interior + self.miss > 1.0 + 1e-9:
            raise Impossible("interior + miss", self.interior + self.miss, "shares of finds, at most 1")


@frozen
class TraceUse:
    """`[workload.trace]`: what is made of a trace besides its allocations and frees.

    `lookups` is how many finds follow each allocation on average, of areas that are live then, and
    `interior` the share of them at a page other than the first of an area that spans several zones. With
    `batched` each CPU's batch inserter collects its allocations. `times` is "closed" (each CPU goes on as
    soon as it can) or "recorded" (no operation begins before its time in the trace).
    """

    lookups: float = field(
        default=1.0, validator=_allowed(lambda value: 0.0 <= value <= 1000.0, "a number from 0 to 1000")
    )
    interior: float = field(default=0.25, validator=_SHARE)
    batched: bool = False
    times: str = field(default="closed", validator=_one_of(lambda: ["closed", "recorded"]))


@frozen
class Workload:
    """`[workload]`: what the CPUs do. `file` is for `trace`; `operations` to `think_ns` are for `mix`."""

    kind: str = field(default="mix", validator=_one_of(lambda: ["mix", "trace"]))
    operations: int = field(default=200_000, validator=_between(1, 10**12))
    preload_areas: int = field(default=10_000, validator=_between(0, 10**7))
    pages: list[int] = field(factory=lambda: [1, 64], validator=_PAGES)
    guard: bool = True
    think_ns: int = field(default=0, validator=_between(0, 10**12))
    file: str = field(default="", validator=_FILE)
    mix: Mix = field(factory=Mix)
    trace: TraceUse = field(factory=TraceUse)


@frozen
class Scenario:
    """All that decides a run, but for the contents of the file that `workload.file` names."""

    seed: int = field(default=1, validator=_between(0, 2**64 - 1))
    space: Space = field(factory=Space)
    machine: Machine = field(factory=Machine)
    costs: Costs = field(factory=Costs)
    lookup: Lookup = field(factory=Lookup)
    batch: Batch = field(factory=Batch)
    workload: Workload = field(factory=Workload)
    faults: Faults = field(factory=Faults)
