"""Nothing is lost: what was acknowledged is there, and every byte of the space has one owner.

What a failed operation was to insert or take out may be there or not.
"""

from itertools import chain

from sim.checks import Evidence, Verdict, verdict_of


def nothing_lost(evidence: Evidence) -> Verdict:
    """Compare the trees with what clients were told, and busy, freed and free ranges with the whole space."""
    busy = {area.va_start: area for areas in evidence.nodes.values() for area in areas}
    known = {area.va_start: area for area in evidence.history.areas()}
    possible = {area.va_start: area for area in evidence.history.possible_areas()}
    exceptions = [f"{known[start]} was inserted and is gone" for start in sorted(known.keys() - busy.keys())]
    exceptions += [f"{busy[start]} is in a tree, inserted by nobody" for start in sorted(busy.keys() - possible)]
    exceptions += [
        f"{known[start]} was inserted, and {busy[start]} is there"
        for start in sorted(busy.keys() & known)
        if busy[start] != known[start]
    ]
    if evidence.free is not None:
        exceptions += _gaps(evidence)
    return verdict_of(exceptions)


def _gaps(evidence: Evidence) -> list[str]:
    """Find addresses of the space that belong to nobody."""
    owned = sorted(
        chain(*evidence.nodes.values(), *evidence.freed.values(), evidence.free or ()),
        key=lambda area: area.va_start,
    )
    gaps = []
    reached = evidence.space[0]
    for area in owned:
        if area.va_start > reached:
            gaps.append(f"[{reached:#x}, {area.va_start:#x}) is neither busy nor freed nor free")
        reached = max(reached, area.va_end)
    if reached < evidence.space[1]:
        gaps.append(f"[{reached:#x}, {evidence.space[1]:#x}) is neither busy nor freed nor free")
    return gaps
