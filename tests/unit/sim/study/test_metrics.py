"""Metrics that are quotients of what results.json counts."""

import pytest

from sim.study.metrics import is_metric, label, metrics_of

EMPTY = {
    "operations": 1,
    "virtual_ns": 1,
    "locks": [],
    "checks": {},
    "latency": {},
    "groups": {"lookups": {"count": 0}},
}


def test_batches_have_areas_per_session() -> None:
    """What a strategy has put together."""
    assert metrics_of({**EMPTY, "batches": {"sessions": 4, "areas": 10}})["batches.session_areas"] == 2.5


def test_looks_are_shares_of_what_was_asked() -> None:
    """But for the number that was asked itself; where nothing was looked for there are none."""
    looks = {"vmalloc_dump_obj": {"asked": 8, "answered": 6, "busy": 2}}
    found = {
        name: value for name, value in metrics_of({**EMPTY, "looks": looks}).items() if name.startswith("looks")
    }
    assert found == {
        "looks.vmalloc_dump_obj.asked": 8,
        "looks.vmalloc_dump_obj.answered": 0.75,
        "looks.vmalloc_dump_obj.busy": 0.25,
    }
    assert not [name for name in metrics_of(EMPTY) if name.startswith(("looks", "groups"))]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("groups.lookups.missed", "lookups missed"),
        ("batches.session_areas", "session areas"),
        ("looks.vread.missed", "vread missed"),
    ],
)
def test_quotients_can_be_asked_for(name: str, words: str) -> None:
    """Studies take them for metrics, and people read them without their table's name."""
    assert is_metric(name)
    assert label(name) == words
