"""The peer model in SimPy 4; a node's lock is a `Resource`, the quicker of SimPy's forms for this.

A process per node with a `Store` is slower by a tenth. One unit of SimPy's time is a nanosecond.
"""

from collections.abc import Callable, Generator

import simpy

from tests.bench.peer_model import LINK_NS, NODES, ZONE, Model, Operation


def client(
    env: simpy.Environment, locks: list[simpy.Resource], model: Model, operations: list[Operation]
) -> Generator[simpy.Event, None, None]:
    """Run one CPU's operations, one after the other."""
    for kind, addr, end in operations:
        begin = env.now
        home = addr // ZONE % NODES
        for step in range(NODES):
            node_id = (home + step) % NODES
            node, lock = model.nodes[node_id], locks[node_id]
            yield env.timeout(LINK_NS)
            request = lock.request()
            yield request
            yield env.timeout(node.service_ns())
            hit = node.serve(kind, addr, end)
            lock.release(request)
            yield env.timeout(LINK_NS)
            if hit:
                break
        model.latencies[kind].append(int(env.now - begin))


def engine(model: Model) -> Callable[[], object]:
    """Give what runs the model."""
    env = simpy.Environment()
    locks = [simpy.Resource(env) for _ in range(NODES)]
    for operations in model.operations:
        env.process(client(env, locks, model, operations))
    return env.run
