"""The peer model once more, in SimPy 4 and in code of its own: nothing of ours is imported here.

configs/peer-model.toml in words: 8 nodes, 16 closed-loop CPUs without think time, 200,000 operations (70 %
find, of which 10 % at a page other than the first of an area that spans several zones; 15 % insert; 15 %
unlink), 10,000 areas of 1 to 64 pages plus guard page preloaded, each CPU on areas of its own, zone 64 KiB,
service 20 + 8 * bit_length(n) ns, 60 ns each way, forward. A node is a `simpy.Resource`, the quicker of
SimPy's forms for this (a process per node with a `Store` is slower by a tenth). Operations are drawn before
the clock starts; one unit of SimPy's time is a nanosecond.
"""

import time
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Generator
from random import Random

import simpy

PAGE = 4096
ZONE = 16 * PAGE
NODES = 8
CPUS = 16
OPERATIONS = 200_000
PRELOAD = 10_000
LOCK_NS = 20
VISIT_NS = 8
LINK_NS = 60
BASE = 1 << 40

Operation = tuple[str, int, int]
"""Kind, address, end of the area (for inserts)."""


class Node:
    """A node: its lock, and its areas in a sorted list of starts with their ends beside it."""

    def __init__(self, env: simpy.Environment) -> None:
        self.lock = simpy.Resource(env)
        self.starts: list[int] = []
        self.ends: dict[int, int] = {}

    def insert(self, start: int, end: int) -> None:
        insort(self.starts, start)
        self.ends[start] = end

    def find(self, addr: int) -> int | None:
        index = bisect_right(self.starts, addr) - 1
        if index < 0:
            return None
        start = self.starts[index]
        return start if addr < self.ends[start] else None

    def unlink(self, addr: int) -> int | None:
        start = self.find(addr)
        if start is not None:
            del self.starts[bisect_right(self.starts, start) - 1]
            del self.ends[start]
        return start


def draw_cpu(cpu: int, seed: int) -> tuple[list[tuple[int, int]], list[Operation]]:
    """Draw a CPU's preloaded areas and its operations."""
    random = Random(seed * 1000 + cpu)
    top = BASE + cpu * (1 << 40)
    owned: list[tuple[int, int]] = []

    def grow() -> tuple[int, int]:
        nonlocal top
        start, top = top, top + (random.randint(1, 64) + 1) * PAGE
        return start, top

    for _ in range(PRELOAD // CPUS):
        owned.append(grow())
    preload = list(owned)
    operations: list[Operation] = []
    for _ in range(OPERATIONS // CPUS):
        kind = random.choices(("find", "insert", "unlink"), (70, 15, 15))[0]
        if kind == "insert" or not owned:
            owned.append(grow())
            operations.append(("insert", *owned[-1]))
        elif kind == "unlink":
            index = random.randrange(len(owned))
            owned[index], owned[-1] = owned[-1], owned[index]
            operations.append(("unlink", owned.pop()[0], 0))
        elif random.random() < 0.1:
            start, end = random.choice([a for a in random.choices(owned, k=64) if spans(*a)] or owned)
            page = random.randrange(1, (end - start) // PAGE)
            operations.append(("find_interior", start + page * PAGE, 0))
        else:
            operations.append(("find", random.choice(owned)[0], 0))
    return preload, operations


def spans(start: int, end: int) -> bool:
    """Tell whether an area reaches into more than one zone."""
    return start // ZONE != (end - 1) // ZONE


def client(
    env: simpy.Environment, nodes: list[Node], operations: list[Operation], latencies: dict[str, list[int]]
) -> Generator[simpy.Event, None, None]:
    """Run one CPU's operations, one after the other."""
    for kind, addr, end in operations:
        begin = env.now
        home = addr // ZONE % NODES
        for step in range(NODES):
            node = nodes[(home + step) % NODES]
            yield env.timeout(LINK_NS)
            request = node.lock.request()
            yield request
            yield env.timeout(LOCK_NS + VISIT_NS * len(node.starts).bit_length())
            if kind == "insert":
                node.insert(addr, end)
                hit = True
            elif kind == "unlink":
                hit = node.unlink(addr) is not None
            else:
                hit = node.find(addr) is not None
            node.lock.release(request)
            yield env.timeout(LINK_NS)
            if hit:
                break
        latencies[kind].append(int(env.now - begin))


def prepare(seed: int = 1) -> tuple[simpy.Environment, dict[str, list[int]]]:
    """Build the model, ready to run; the latencies of each operation collect in the dictionary."""
    env = simpy.Environment()
    nodes = [Node(env) for _ in range(NODES)]
    latencies: dict[str, list[int]] = defaultdict(list)
    for cpu in range(CPUS):
        preload, operations = draw_cpu(cpu, seed)
        for start, end in preload:
            nodes[start // ZONE % NODES].insert(start, end)
        env.process(client(env, nodes, operations, latencies))
    return env, latencies


def run(seed: int = 1) -> tuple[float, dict[str, list[int]]]:
    """Run the model; give its CPU seconds and the latencies in nanoseconds of each operation."""
    env, latencies = prepare(seed)
    began = time.process_time()
    env.run()
    return time.process_time() - began, latencies
