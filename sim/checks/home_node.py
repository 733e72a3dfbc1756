"""Each area lives in the node of its start address (kernel: `addr_to_node(va->va_start)`)."""

from sim.checks import Evidence, Verdict, verdict_of


def home_node(evidence: Evidence) -> Verdict:
    """Every area is in the busy tree of the node that its start address maps to."""
    home = evidence.layout.addr_to_node_id
    return verdict_of(
        [
            f"{area} is in node {node_id}, its home is node {home(area.va_start)}"
            for node_id, areas in evidence.nodes.items()
            for area in areas
            if home(area.va_start) != node_id
        ]
    )
