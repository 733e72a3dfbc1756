"""The peer model in code of its own: nothing of ours is imported here, and no engine.

configs/peer-model.toml in words: 8 nodes, 16 closed-loop CPUs without think time, 200,000 operations (70 %
find, of which 10 % at a page other than the first of an area that spans several zones; 15 % insert; 15 %
unlink), 10,000 areas of 1 to 64 pages plus guard page preloaded, each CPU on areas of its own, zone 64 KiB,
service 20 + 8 * bit_length(n) ns, 60 ns each way, forward. Operations are drawn before the clock starts.
"""

import time
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import NamedTuple

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
    """A node's areas: a sorted list of starts with their ends beside it."""

    def __init__(self) -> None:
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

    def serve(self, kind: str, addr: int, end: int) -> bool:
        """Do what is asked; tell whether the node had the area."""
        if kind == "insert":
            self.insert(addr, end)
            return True
        return (self.unlink(addr) if kind == "unlink" else self.find(addr)) is not None

    def service_ns(self) -> int:
        return LOCK_NS + VISIT_NS * len(self.starts).bit_length()

    def unlink(self, addr: int) -> int | None:
        start = self.find(addr)
        if start is not None:
            del self.starts[bisect_right(self.starts, start) - 1]
            del self.ends[start]
        return start


def draw_cpu(cpu: int, seed: int, total: int) -> tuple[list[tuple[int, int]], list[Operation]]:
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
    for _ in range(total // CPUS):
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


Latencies = dict[str, list[int]]
"""Nanoseconds of each operation, by kind."""


class Model:
    """Nodes, what each CPU does, and how long it took."""

    def __init__(self, seed: int, operations: int) -> None:
        self.nodes = [Node() for _ in range(NODES)]
        self.latencies: Latencies = defaultdict(list)
        self.operations: list[list[Operation]] = []
        for cpu in range(CPUS):
            preload, drawn = draw_cpu(cpu, seed, operations)
            self.operations.append(drawn)
            for start, end in preload:
                self.nodes[start // ZONE % NODES].insert(start, end)


class Run(NamedTuple):
    """What a run took, and what it found."""

    prepare_s: float
    """CPU seconds of making the engine, compiling included."""
    run_s: float
    """CPU seconds from the first event to the last."""
    latencies: Latencies


def run(engine: Callable[[Model], Callable[[], object]], seed: int, operations: int) -> Run:
    """Run the model in an engine, which gives what to call."""
    model = Model(seed, operations)
    drawn = time.process_time()
    go = engine(model)
    began = time.process_time()
    go()
    return Run(began - drawn, time.process_time() - began, model.latencies)
