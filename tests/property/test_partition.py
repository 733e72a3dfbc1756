"""The partition report against a slow twin that walks every page of every area."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import protocol.policies
from protocol import policies, registry
from protocol.area import PAGE_SIZE, VmapArea, ZoneLayout
from sim.partition import asked_by, pages_by_node, percentile

LAYOUTS = st.builds(ZoneLayout, st.integers(1, 12), st.integers(1, 4).map(lambda pages: pages * PAGE_SIZE))
AREAS = st.builds(
    lambda start, pages: VmapArea(start * PAGE_SIZE, (start + pages) * PAGE_SIZE),
    st.integers(1, 300),
    st.integers(1, 200),
)


def pages_of(area: VmapArea) -> range:
    return range(area.va_start, area.va_end, PAGE_SIZE)


@given(AREAS, LAYOUTS)
def test_pages_by_node(area: VmapArea, layout: ZoneLayout) -> None:
    """Counting zones gives what counting pages gives."""
    assert pages_by_node(area, layout) == Counter(map(layout.addr_to_node_id, pages_of(area)))


@given(st.sampled_from(registry.names(protocol.policies)), st.lists(AREAS, min_size=1, max_size=5), LAYOUTS)
def test_nodes_asked(name: str, areas: list[VmapArea], layout: ZoneLayout) -> None:
    """Each page's lookup, played through: the same means, percentiles, maxima and misses."""
    policy = policies.load(name)
    told = policies.told_by(policy)
    counts: list[int] = []
    means: list[float] = []
    missed = 0
    for area in areas:
        knowing = {layout.addr_to_node_id(area.va_start), *(told(area, layout) if told else ())}
        for addr in pages_of(area):
            asked: list[int] = []
            for nodes in policy(layout.addr_to_node_id(addr), layout.nr_nodes):
                asked += nodes
                if knowing & {*nodes}:
                    break
            counts.append(len(asked))
            missed += not knowing & {*asked}
        means.append(sum(counts[-area.size // PAGE_SIZE :]) / (area.size // PAGE_SIZE))
    result = asked_by(name, policy, areas, layout)

    assert result.mean == pytest.approx(sum(counts) / len(counts))
    assert result.per_area == pytest.approx(sum(means) / len(means))
    assert result.missed == pytest.approx(missed / len(counts))
    assert result.max == max(counts)
    assert result.p99 == percentile(Counter(counts), 990) == sorted(counts)[-(-len(counts) * 99 // 100) - 1]
