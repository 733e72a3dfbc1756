"""Areas never overlap, in whichever nodes they are."""

from itertools import chain, pairwise

from sim.checks import Evidence, Verdict, verdict_of


def overlap(evidence: Evidence) -> Verdict:
    """No two areas, busy or free, share an address."""
    areas = sorted(
        chain(*evidence.nodes.values(), evidence.free or ()), key=lambda area: (area.va_start, area.va_end)
    )
    return verdict_of(
        [f"{one} and {other} overlap" for one, other in pairwise(areas) if one.va_end > other.va_start]
    )
