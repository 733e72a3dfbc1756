"""Areas never overlap, in whichever nodes they are."""

from itertools import chain

from protocol.area import VmapArea
from sim.checks import Evidence, Verdict, verdict_of


def overlap(evidence: Evidence) -> Verdict:
    """No two areas, busy, freed or free, share an address."""
    areas = sorted(
        chain(*evidence.nodes.values(), *evidence.freed.values(), evidence.free or ()),
        key=lambda area: (area.va_start, area.va_end),
    )
    overlaps = []
    furthest = VmapArea(0, 0)
    for area in areas:
        if area.va_start < furthest.va_end:
            overlaps.append(f"{furthest} and {area} overlap")
        furthest = max(furthest, area, key=lambda one: one.va_end)
    return verdict_of(overlaps)
