"""Each area lives in the node of its start address (kernel: `addr_to_node(va->va_start)`).

One that has moved lives where its home says, and nowhere else; a home says so of no other.
"""

from sim.checks import Evidence, Verdict, verdict_of


def home_node(evidence: Evidence) -> Verdict:
    """Every area is in the busy tree of the node that its start address maps to, or that its home forwards to."""
    home = evidence.layout.addr_to_node_id
    exceptions = []
    waiting = {(home_id, start): to for home_id, moved in evidence.moved.items() for start, to in moved.items()}
    for node_id, areas in evidence.nodes.items():
        for area in areas:
            home_id = home(area.va_start)
            holder = waiting.pop((home_id, area.va_start), home_id)
            if holder != node_id:
                elsewhere = "" if holder == home_id else f", which says that it is in node {holder}"
                exceptions.append(f"{area} is in node {node_id}, its home is node {home_id}{elsewhere}")
    exceptions += [
        f"node {home_id} says that an area at {start:#x} is in node {to}, and none is anywhere"
        for (home_id, start), to in sorted(waiting.items())
    ]
    return verdict_of(exceptions)
