"""The peer model in salabim: a node's lock is a `Resource`, its monitors are on, as they are by default."""

from collections.abc import Callable, Generator
from typing import Any

import salabim

from tests.bench.peer_model import LINK_NS, NODES, ZONE, Model, Operation


class Client(salabim.Component):
    """One CPU's operations, one after the other."""

    def setup(self, model: Model, locks: list[Any], operations: list[Operation]) -> None:
        self.model, self.locks, self.operations = model, locks, operations

    def process(self) -> Generator[Any, None, None]:
        model = self.model
        for kind, addr, end in self.operations:
            begin = self.env.now()
            home = addr // ZONE % NODES
            for step in range(NODES):
                node_id = (home + step) % NODES
                node, lock = model.nodes[node_id], self.locks[node_id]
                yield self.hold(LINK_NS)
                yield self.request(lock)
                yield self.hold(node.service_ns())
                hit = node.serve(kind, addr, end)
                self.release(lock)
                yield self.hold(LINK_NS)
                if hit:
                    break
            model.latencies[kind].append(int(self.env.now() - begin))


def engine(model: Model) -> Callable[[], object]:
    """Give what runs the model."""
    salabim.yieldless(False)
    env = salabim.Environment(trace=False)
    locks = [salabim.Resource(f"lock {node_id}") for node_id in range(NODES)]
    for operations in model.operations:
        Client(model=model, locks=locks, operations=operations)
    run: Callable[[], object] = env.run
    return run
