"""The peer model as one loop around one heap: no framework, nothing but the model, no event that is not needed.

A FIFO lock is the time at which it is free. A visit is three events, as in the other peers: a request arrives, its
service ends, its reply arrives.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heapreplace

from tests.bench.peer_model import CPUS, LINK_NS, NODES, ZONE, Model

ARRIVE, SERVED, REPLIED = range(3)


def engine(model: Model) -> Callable[[], object]:
    """Give what runs the model."""
    return lambda: run(model)


def run(model: Model) -> None:
    """Run the model: entries are (time, sequence, what, cpu)."""
    nodes, latencies = model.nodes, model.latencies
    free_at = [0] * NODES
    left = [iter(operations) for operations in model.operations]
    doing = [next(operations) for operations in left]
    asking = [addr // ZONE % NODES for _kind, addr, _end in doing]
    begun, hits = [0] * CPUS, [False] * CPUS
    heap = [(LINK_NS, cpu, ARRIVE, cpu) for cpu in range(CPUS)]
    heapify(heap)
    sequence = CPUS
    while heap:
        now, _sequence, what, cpu = heap[0]
        sequence += 1
        node_id = asking[cpu]
        if what == ARRIVE:
            node = nodes[node_id]
            start = free_at[node_id]
            end = free_at[node_id] = (start if start > now else now) + node.service_ns()
            heapreplace(heap, (end, sequence, SERVED, cpu))
        elif what == SERVED:
            hits[cpu] = nodes[node_id].serve(*doing[cpu])
            heapreplace(heap, (now + LINK_NS, sequence, REPLIED, cpu))
        else:
            if hits[cpu]:
                latencies[doing[cpu][0]].append(now - begun[cpu])
                begun[cpu] = now
                following = next(left[cpu], None)
                if following is None:
                    heappop(heap)
                    continue
                doing[cpu] = following
                asking[cpu] = following[1] // ZONE % NODES
            else:
                asking[cpu] = (node_id + 1) % NODES
            heapreplace(heap, (now + LINK_NS, sequence, ARRIVE, cpu))
