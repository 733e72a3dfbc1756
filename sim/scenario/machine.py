"""`[machine]` as a value: CPUs, how far they are from each other, and where nodes live.

The topologies themselves are in `sim.topologies`, a file each; here are the keys they read. Distances are
nanoseconds, one way, for a message and for a cache line alike.
"""

from attrs import field, frozen

import sim.topologies
from protocol import registry
from sim.scenario.values import FILE, NS, allowed, between, one_of

PLACEMENTS = ("round-robin", "packed", "list")
"""How nodes can be dealt out to CPUs' places."""

DISTRIBUTIONS = ("constant", "uniform", "exponential", "lognormal", "measured")
"""What links between hosts can be drawn from."""

_COUNT = between(1, 4096)
_DISTANCE_NS = allowed(lambda value: 0.0 <= value <= 1e9, "a number from 0 to 1e9")
_CPU = allowed(lambda value: all(0 <= cpu < 4096 for cpu in value), "a list of CPUs, from 0 to 4095")
_ROWS = allowed(
    lambda rows: all(len(row) == len(rows) and all(0 <= ns <= 10**9 for ns in row) for row in rows),
    "as many rows as columns, integers from 0 to 1000000000",
)


@frozen
class Cores:
    """`[machine.cores]`: for topology `cores`: one machine, by counts, and what a line takes between two CPUs.

    A core has `smt` CPUs, a core complex (cores that share an L3) `complex_cores` cores, a socket `complexes` of
    them. The defaults are a Ryzen Threadripper 3970X with the transfers of a 3960X, its sibling of 24 cores,
    between siblings of a core, in a core complex, and in a socket (nviennot/core-to-core-latency, README);
    `remote_ns`, between sockets, is that of a two-socket EPYC 7R13 (the same). With `order` "packed" CPUs are
    numbered as Linux numbers those of x86: the cores of a complex, complex after complex, and then all siblings in
    that order; with "spread" consecutive CPUs are in different complexes, and siblings come last: as a scheduler
    deals out threads to an idle machine.
    """

    smt: int = field(default=2, validator=_COUNT)
    complex_cores: int = field(default=4, validator=_COUNT)
    complexes: int = field(default=8, validator=_COUNT)
    sockets: int = field(default=1, validator=_COUNT)
    order: str = field(default="packed", validator=one_of(lambda: ["packed", "spread"]))
    smt_ns: float = field(default=6.5, validator=_DISTANCE_NS)
    complex_ns: float = field(default=24.0, validator=_DISTANCE_NS)
    socket_ns: float = field(default=94.0, validator=_DISTANCE_NS)
    remote_ns: float = field(default=197.0, validator=_DISTANCE_NS)

    @property
    def cpus(self) -> int:
        """How many CPUs the machine has."""
        return self.smt * self.complex_cores * self.complexes * self.sockets


@frozen
class Hosts:
    """`[machine.hosts]`: for topology `hosts`: racks of hosts, for message-passing costs.

    A host has `cpus` CPUs and a rack `hosts` hosts; CPUs fill hosts, and hosts racks, in order. A message takes
    `host_ns` within a host, `rack_ns` within a rack and `room_ns` between racks, on average. `distribution` says
    how single messages vary around that: "uniform" from (1 - `spread`) to (1 + `spread`) times the mean;
    "exponential": of the mean, the part `spread` is exponentially distributed; "lognormal" with sigma `spread`;
    "measured": drawn from the lines of `file`, each a level (host, rack, room) and nanoseconds, levels without
    lines being constant. The defaults are guesses for loopback, one switch and three switches.
    """

    cpus: int = field(default=8, validator=_COUNT)
    hosts: int = field(default=4, validator=_COUNT)
    host_ns: int = field(default=2_000, validator=NS)
    rack_ns: int = field(default=12_000, validator=NS)
    room_ns: int = field(default=30_000, validator=NS)
    distribution: str = field(default="constant", validator=one_of(lambda: list(DISTRIBUTIONS)))
    spread: float = field(default=0.5, validator=allowed(lambda value: 0.0 <= value <= 1.0, "a number from 0 to 1"))
    file: str = field(default="", validator=FILE)


@frozen
class Matrix:
    """`[machine.matrix]`: for topology `matrix`: `ns[a][b]` from CPU a to CPU b, a row for each CPU."""

    ns: list[list[int]] = field(factory=list, validator=_ROWS)


@frozen
class Machine:
    """`[machine]`: who asks, how far CPUs are from each other, and where nodes live.

    With topology `flat` every message, and every line between two CPUs, takes `costs.link_ns`. In all others what a
    message takes depends on the CPU that asks and the CPU at whose place the node lives. `placement` deals out
    nodes: as far apart as their number allows ("round-robin": with 4 nodes and 16 CPUs every fourth CPU has one), a
    node to each CPU from 0 on ("packed"), or to the CPUs of `nodes_at` in turn ("list"); where there are more nodes
    than CPUs, all over again. The free space and the counter of lazy pages live at CPU `globals_at`. With
    shared-memory costs nothing lives anywhere but in caches. The live engine and the cluster measure what there is:
    they take `cpus` from here, and no distances.
    """

    cpus: int = field(default=16, validator=_COUNT)
    topology: str = field(default="flat", validator=one_of(lambda: registry.names(sim.topologies)))
    placement: str = field(default="round-robin", validator=one_of(lambda: list(PLACEMENTS)))
    nodes_at: list[int] = field(factory=lambda: [0], validator=_CPU)
    globals_at: int = field(default=0, validator=between(0, 4095))
    cores: Cores = field(factory=Cores)
    hosts: Hosts = field(factory=Hosts)
    matrix: Matrix = field(factory=Matrix)
