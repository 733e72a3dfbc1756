"""The peer model in cimba 0.9: classes that numba compiles for an engine in C; a node's lock is a `Resource`.

A compiled model has no objects of Python, so the trees are here as well: starts and ends in sorted arrays of fixed
length, moved by loops. One unit of cimba's time is a nanosecond.
"""

from collections.abc import Callable

import cimba

from tests.bench.peer_model import CPUS, LINK_NS, LOCK_NS, NODES, VISIT_NS, ZONE, Model, Operation
from tests.bench.peer_model import Node as Plain

KINDS = ("find", "find_interior", "insert", "unlink")
INSERT, UNLINK = 2, 3


class Node(cimba.Model):
    """A node's areas and its lock."""

    lock: cimba.Resource
    count: int
    starts: cimba.Array[int]
    ends: cimba.Array[int]

    @cimba.function
    def upto(self, addr: int) -> int:
        """Count the areas that start at an address or below."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self.starts[middle] <= addr:
                low = middle + 1
            else:
                high = middle
        return low

    @cimba.function
    def insert(self, index: int, start: int, end: int) -> None:
        for above in range(self.count, index, -1):
            self.starts[above] = self.starts[above - 1]
            self.ends[above] = self.ends[above - 1]
        self.starts[index], self.ends[index] = start, end
        self.count += 1

    @cimba.function
    def unlink(self, index: int) -> None:
        self.count -= 1
        for above in range(index, self.count):
            self.starts[above] = self.starts[above + 1]
            self.ends[above] = self.ends[above + 1]

    @cimba.function
    def serve(self, kind: int, addr: int, end: int) -> bool:
        """Do what is asked; tell whether the node had the area."""
        index = self.upto(addr)
        if kind == INSERT:
            self.insert(index, addr, end)
            return True
        if index == 0 or addr >= self.ends[index - 1]:
            return False
        if kind == UNLINK:
            self.unlink(index - 1)
        return True

    @cimba.function
    def service_ns(self) -> int:
        bits, left = 0, self.count
        while left:
            bits += 1
            left >>= 1
        return LOCK_NS + VISIT_NS * bits


class Client(cimba.Model):
    """One CPU's operations, one after the other."""

    nodes: list[cimba.Ref[Node]]
    latencies: list[cimba.Ref[cimba.Dataset]]
    """By kind."""
    kinds: cimba.Array[int]
    addrs: cimba.Array[int]
    ends: cimba.Array[int]

    @cimba.process
    def run(self) -> None:
        # Who gets a released lock is woken by an event of the same nanosecond, and whoever asks before that event
        # takes the lock from him. Such events go first, by their priority, so that the lock is a FIFO.
        this = cimba.this_process()
        for index in range(len(self.kinds)):
            kind, addr, end = self.kinds[index], self.addrs[index], self.ends[index]
            begin = cimba.now()
            home = addr // ZONE % NODES
            for step in range(NODES):
                node = self.nodes[(home + step) % NODES]
                cimba.hold(LINK_NS)
                this.priority_set(1)
                node.lock.acquire()
                this.priority_set(0)
                cimba.hold(node.service_ns())
                hit = node.serve(kind, addr, end)
                node.lock.release()
                cimba.hold(LINK_NS)
                if hit:
                    break
            self.latencies[kind].record(cimba.now() - begin)


class System(cimba.Model):
    """Nodes, clients, and latencies by kind."""

    nodes: list[Node]
    clients: list[Client]
    find: cimba.Dataset = cimba.Dataset()
    find_interior: cimba.Dataset = cimba.Dataset()
    insert: cimba.Dataset = cimba.Dataset()
    unlink: cimba.Dataset = cimba.Dataset()


def node_of(plain: Plain, room: int) -> Node:
    """Give a node with the same areas and room for more."""
    node = Node()
    node.count = len(plain.starts)
    node.starts = cimba.Array([*plain.starts, *[0] * room])
    node.ends = cimba.Array([*(plain.ends[start] for start in plain.starts), *[0] * room])
    return node


def client_of(system: System, operations: list[Operation]) -> Client:
    """Give a CPU's client."""
    client = Client()
    client.nodes = system.nodes
    client.latencies = [getattr(system, name) for name in KINDS]
    client.kinds = cimba.Array([KINDS.index(kind) for kind, _addr, _end in operations])
    client.addrs = cimba.Array([addr for _kind, addr, _end in operations])
    client.ends = cimba.Array([end for _kind, _addr, end in operations])
    return client


def system_of(model: Model, operations: list[list[Operation]]) -> System:
    """Give the model as cimba's."""
    system = System()
    for name in KINDS:
        getattr(system, name).capture()
    inserts = sum(kind == "insert" for several in operations for kind, _addr, _end in several)
    system.nodes = [node_of(plain, inserts) for plain in model.nodes]
    system.clients = [client_of(system, several) for several in operations]
    return system


def engine(model: Model) -> Callable[[], object]:
    """Give what runs the model; compiles it by a run without operations."""
    cimba.Experiment(system_of(model, [[] for _ in range(CPUS)])).run(workers=1, on_failure="raise")
    system = system_of(model, model.operations)
    experiment = cimba.Experiment(system)

    def run() -> None:
        results = experiment.run(workers=1, on_failure="raise")[system]
        for name in KINDS:
            _times, latencies = getattr(results, name).trial(0, 0)
            model.latencies[name] = [int(latency) for latency in latencies]

    return run
