"""`[costs]` as a value: every constant of the cost models, with its unit in the name.

Where a figure is from is said here, for the defaults; a preset's file says it for a machine's own.
"""

from attrs import field, frozen

import sim.costs
from protocol import registry
from sim.scenario.values import FILE, SHARE, allowed, between, one_of

DISTRIBUTIONS = ("exponential", "fixed")
"""What service times can be drawn from."""

ARBITRATIONS = ("fifo", "nearest")
"""Who gets a lock next."""

_PRESET = allowed(lambda value: "\0" not in value, "a preset's name, as in `./dev list presets`")
_COST_NS = between(0, 10**9)
_LATENCY_NS = allowed(lambda value: 0.0 <= value <= 1e9, "a number from 0 to 1e9")
_LINES = allowed(lambda value: 0.0 <= value <= 1000.0, "a number from 0 to 1000")
_BYTES = between(0, 2**50)


@frozen
class Costs:
    """`[costs]`: nanoseconds; what is not said to be from somewhere is a guess.

    `preset` names a machine (`./dev list presets`), `file` a costs file beside the scenario: what either has stands
    for keys that the scenario leaves open, `file` before `preset`.

    `message-passing`: work takes `lock_ns` per hold, `visit_ns` per tree node visited, `insert_ns` per further area
    of a batch session, `release_ns` besides for each of several areas that become free together (they are merged
    into the free tree one by one); a message takes `link_ns` each way, or by `[machine]`. A free lock is taken and
    dropped in 15.4 ns (Xeon Platinum 8176; perfbook, cpu/overheads.tex). Where they are not 0, `busy_hold_ns`,
    `lazy_hold_ns`, `pool_hold_ns` and `free_hold_ns` stand for `lock_ns` at locks of that kind: /proc/lock_stat has
    such means by lock class, in which searches are (then `visit_ns` is 0). With `hold_jitter` j, work for one area
    under at most one hold takes 1 - j to 1 + j times as long, drawn uniformly, at each lock by itself; work for
    several areas is a sum, and takes its mean. Holds that are all alike fall into step: of locks that are taken one
    after the other only the first is contended then.

    `queueing`: a request's service takes `service_ns` on average, drawn from `distribution`, whatever it asks for.

    `shared-memory`: a hold takes `lock_ns`, and `lock_lines` transfers by `[machine]` if another CPU held the lock
    before. `arbitration` says who gets it next: "fifo" or "nearest". A search reads a node of `node_bytes` per
    level, each line of it in `l2_ns`, `l3_ns` or `dram_ns`, by whether the tree down to there fits `l2_bytes`,
    `l3_bytes` or neither: 12 and 39 cycles are said of a Zen 2's L2 and L3 (not confirmed), 3.0, 9.2 and 66 ns of a
    Ryzen 2700X's (AMD's slide, anandtech.com 12625). A `struct vmap_area` has 72 bytes, of which a search reads the
    first 40: packed side by side, every second one of them lies on two lines, so `node_lines` is 1.5. With
    `tree_scale` s each area stands for s: search paths are log2(s) levels longer, for runs that hold fewer areas
    than the real one.

    Beside the locks, for all models: `call_ns` is what a vmalloc() and its vfree() take by themselves (objects,
    page tables), `page_ns` what each page takes (to be had, cleared, mapped, unmapped and given back), and a
    purge's flush of all TLBs `tlb_flush_ns` and `tlb_flush_cpu_ns` for each CPU but one; with `tlb_flush_jitter` j
    each takes 1 - j to 1 + j times that, drawn uniformly. What is published about flushes differs by a factor of
    seven: they are parameters to vary and no measurements. Where the workload knows who is idle, as modprobe does,
    a flush takes `tlb_flush_idle_ns` more while a CPU is, whatever was drawn: it has to wake.
    """

    model: str = field(default="message-passing", validator=one_of(lambda: registry.names(sim.costs)))
    preset: str = field(default="", validator=_PRESET)
    file: str = field(default="", validator=FILE)
    lock_ns: int = field(default=20, validator=_COST_NS)
    busy_hold_ns: int = field(default=0, validator=_COST_NS)
    lazy_hold_ns: int = field(default=0, validator=_COST_NS)
    pool_hold_ns: int = field(default=0, validator=_COST_NS)
    free_hold_ns: int = field(default=0, validator=_COST_NS)
    hold_jitter: float = field(default=0.0, validator=SHARE)
    visit_ns: int = field(default=8, validator=_COST_NS)
    insert_ns: int = field(default=40, validator=_COST_NS)
    release_ns: int = field(default=0, validator=_COST_NS)
    link_ns: int = field(default=60, validator=_COST_NS)
    service_ns: int = field(default=1000, validator=_COST_NS)
    distribution: str = field(default="exponential", validator=one_of(lambda: list(DISTRIBUTIONS)))
    lock_lines: float = field(default=4.0, validator=_LINES)
    arbitration: str = field(default="fifo", validator=one_of(lambda: list(ARBITRATIONS)))
    node_bytes: int = field(default=72, validator=_BYTES)
    node_lines: float = field(default=1.5, validator=_LINES)
    tree_scale: int = field(default=1, validator=between(1, 2**30))
    l2_bytes: int = field(default=512 * 2**10, validator=_BYTES)
    l3_bytes: int = field(default=16 * 2**20, validator=_BYTES)
    l2_ns: float = field(default=3.0, validator=_LATENCY_NS)
    l3_ns: float = field(default=9.2, validator=_LATENCY_NS)
    dram_ns: float = field(default=66.0, validator=_LATENCY_NS)
    call_ns: int = field(default=0, validator=_COST_NS)
    page_ns: int = field(default=0, validator=_COST_NS)
    tlb_flush_ns: int = field(default=1000, validator=_COST_NS)
    tlb_flush_cpu_ns: int = field(default=0, validator=_COST_NS)
    tlb_flush_jitter: float = field(default=0.0, validator=SHARE)
    tlb_flush_idle_ns: int = field(default=0, validator=_COST_NS)

    def flush_ns(self, cpus: int) -> int:
        """Give what a flush of all TLBs takes on average on a machine with so many CPUs, while none is idle."""
        return self.tlb_flush_ns + self.tlb_flush_cpu_ns * (cpus - 1)
