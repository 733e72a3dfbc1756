"""Whether an allocation's range can be had while a purge goes on: what cannot need not be searched for.

A purge frees what decays and what no pool takes, and hands all else to pools. So a range is out of reach where some
of it is set aside, or with an area that the purge will put into a pool, unless that is the very area that the
allocation's own pool would give. What is in reach has still to be found.
"""

from sim.replay.line import Line
from sim.replay.state import NOWHERE
from sim.traces.events import AllocEvent


def in_reach(line: Line, number: int, index: int, event: AllocEvent) -> bool:
    """Tell whether what purge `number` has still to do may make the range of allocation `index` its own.

    O(allocations nearby).
    """
    state, purge, asked = line.state, line.purging.purge, line.past.pool_of(event, event.cpu)
    va_start, va_end = event.va_start, event.va_start + event.size
    if any(low < va_end and va_start < high for low, (high, _since) in state.aside.items()):
        return False
    if line.purging.index(number) in line.recording.full:
        return True
    taken = {} if purge is None else purge.by_start
    for start in line.recording.starts_over(va_start, va_end, index):
        area = state.lazy.get(start) or state.busy.get(start) or taken.get(start)
        if area is None or area.va_end <= va_start or area.node == NOWHERE:
            continue
        pooled = area.size_class < line.past.kernel.pool_limit
        if pooled and (start != va_start or asked != (area.node, area.size_class)):
            return False
    return True
