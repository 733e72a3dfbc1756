"""Nodes as they are in the kernel: data in caches, which CPUs come and change.

There are no messages. A CPU does its work itself, and what that takes depends on where the lines are that it needs:

- **The lock.** A CPU that takes it from another one needs `lock_lines` lines of it: the lock's word and the queue
  nodes of those who hand it over, and what is on the same line or always touched with it (the root of the tree, the
  head of the list). From one CPU to itself they do not move.
- **The search path.** A level that fits a cache is read from there: a tree of n areas has 2^d nodes of `node_bytes`
  at depth d, the top of it is in L2, what does not fit there in L3, and the rest in DRAM. Nodes near the root are
  seldom written, so that each core complex has a copy of its own.
- **The neighbourhood.** Nodes that are written because an area comes or goes beside them (parents, the areas before
  and after in the list; `_touched` counts them) come from whoever changed something there last. Addresses of one
  `NEIGHBOURHOOD` are neighbours.

Which waiter gets a lock is a matter of `arbitration`: "fifo", as qspinlock has it; or "nearest". On a contended
lock word it is the coherence fabric that decides whose exchange comes first, and so who queues behind whom. With
"nearest", those who wait when a round begins are served in the order in which the line has the shortest way to go,
and those who come later wait for the next round: nobody is overtaken by more than one round. It is inferred from
measurements, not read in a manual: docs/explanation/published-figures.md says what speaks for it.
"""

from collections.abc import Sequence
from itertools import accumulate

from attrs import define, field

from actors.world import Address
from protocol.messages import Reply, Request
from protocol.work import Work
from sim.costs._touched import HEAD, TOUCHES
from sim.errors import BadInput
from sim.placement import Placement
from sim.scenario.costs import Costs
from sim.scenario.model import Scenario

NEIGHBOURHOOD = 16_384
"""Bytes of address space in which areas count as neighbours: an area of a page and its guard, and the one beside
it."""

DEEPEST = 96
"""Levels of the deepest tree there can be, scaled."""


@define(eq=False)
class SharedMemory:
    """Data in caches: a hold takes as long as its lines are far, by who touched them last."""

    costs: Costs
    lines_ns: list[list[float]]
    """What a line takes from CPU to CPU."""
    path_ns: list[float]
    """What a search takes, by the levels of the tree."""
    uniform_link_ns: int = field(default=0, init=False)
    fixed_links: bool = field(default=True, init=False)
    fixed: bool = field(default=False, init=False)
    _holders: dict[str, int] = field(factory=dict)
    _touchers: dict[tuple[str, int], int] = field(factory=dict)

    @property
    def memory(self) -> "SharedMemory":
        """See `CostModel.memory`."""
        return self

    def link_ns(self, cpu: int, address: Address) -> int:  # noqa: ARG002 (there are no messages)
        """See `CostModel.link_ns`."""
        return 0

    def service_ns(self, work: Work) -> int:
        """See `CostModel.service_ns`."""
        raise AssertionError(f"{work} was priced without asking whose it is")

    def hold_ns(self, cpu: int, work: Work, request: Request, reply: Reply) -> int:
        """See `Memory.hold_ns`."""
        lines_ns, costs = self.lines_ns[cpu], self.costs
        lock, touchers = work.lock, self._touchers
        touch = TOUCHES.get(type(request), HEAD)
        ns = 0.0
        if work.holds:
            ns = work.holds * costs.lock_ns
            holder = self._holders.get(lock, cpu)
            if holder != cpu:
                ns += lines_ns[holder] * (1 if touch.atomic else costs.lock_lines)
            self._holders[lock] = cpu
        addrs = touch.addrs(request, reply)
        if touch.searches:
            ns += len(addrs) * self.path_ns[work.visited]
        for addr in addrs:
            place = (lock, addr // NEIGHBOURHOOD)
            toucher = touchers.get(place, cpu)
            if toucher != cpu:
                ns += touch.lines * lines_ns[toucher]
            if touch.writes:
                touchers[place] = cpu
        return round(ns)

    def next_holder(self, cpu: int, waiting: Sequence[int]) -> int:
        """See `Memory.next_holder`."""
        if self.costs.arbitration == "fifo":
            return 0
        return waiting.index(min(waiting, key=self.lines_ns[cpu].__getitem__))


def shared_memory(scenario: Scenario, placement: Placement) -> SharedMemory:
    """Nodes are data in caches: a lock, and lines under it, come from whoever touched them last; no messages."""
    topology, costs = placement.topology, scenario.costs
    if not topology.shares_memory:
        allowed = "message-passing, where CPUs are on several hosts"
        raise BadInput("costs.model", f"shared-memory, with machine.topology {scenario.machine.topology}", allowed)
    if scenario.faults.any:
        raise BadInput(
            "costs.model", "shared-memory, with [faults]", "message-passing, where messages can get lost"
        )
    cpus = range(scenario.machine.cpus)
    lines_ns = [[topology.transfer_ns(cpu, other) for other in cpus] for cpu in cpus]
    return SharedMemory(costs, lines_ns, path_ns(costs))


def path_ns(costs: Costs) -> list[float]:
    """Give what a search takes, by the levels of the tree: each level from the smallest cache that it fits.

    `tree_scale` levels come on top of every tree that has any: as if each area stood for that many.
    """
    extra = max(0, costs.tree_scale.bit_length() - 1)
    levels = [costs.node_lines * _level_ns(costs, level) for level in range(DEEPEST + extra)]
    whole = [0.0, *accumulate(levels)]
    return [whole[depth + extra] if depth else 0.0 for depth in range(DEEPEST)]


def _level_ns(costs: Costs, level: int) -> float:
    """Give what a node of a level takes; all levels above share the cache with it."""
    bytes_so_far = costs.node_bytes * (2 ** (level + 1) - 1)
    if bytes_so_far <= costs.l2_bytes:
        return costs.l2_ns
    return costs.l3_ns if bytes_so_far <= costs.l3_bytes else costs.dram_ns
