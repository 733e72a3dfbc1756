"""The state that a run ends in, as /proc/vmallocinfo would show it.

Node by node, each node's busy areas ascending, then what is unpurged, node by node: the kernel's order since v6.9
(with one node, that of all kernels). What is pooled is not shown, there as here. It is the whole state, also for a
kernel whose hook goes no further than node 0. The lines can be read like a real machine's: `sim.vmallocinfo`.
"""

from collections.abc import Sequence

from sim.outcome import Outcome
from sim.vmallocinfo import VmallocInfoLine, VmStructLine, by_address, lines_of, write_vmallocinfo


def vmallocinfo_of(outcome: Outcome, order: str = "node") -> str:
    """Give the text of /proc/vmallocinfo at the end of a run; `order` is "node" or "address"."""
    assert order in ("node", "address"), order
    records = records_of(outcome)
    return write_vmallocinfo(by_address(records) if order == "address" else records)


def records_of(outcome: Outcome) -> Sequence[VmallocInfoLine]:
    """Give the lines of what a run ends with, in the kernel's order.

    Where the workload does without vmalloc, an area stands for one with a vm_struct that nothing is known of.
    """
    busy = [area for node in outcome.areas for area in node.busy]
    if outcome.vmap is None:
        return [VmStructLine(area) for area in busy]
    unpurged = [area for node in outcome.areas for area in node.lazy]
    return list(lines_of(busy, unpurged, outcome.scenario.space.page_size))
