"""Which purges are one drain's, here and in a real machine's trace."""

from pathlib import Path

from sim.published.drains import Drain, drains_of, drains_table, recorded_drains

RECORDED = Path(__file__).parents[3] / "configs/published/lockstat-smp2/purges.txt.gz"


def test_a_purge_of_clearly_fewer_areas_is_the_second_of_its_drain() -> None:
    """However late; a third one soon after that is left out, and one of about as many areas is the next drain."""
    drains = drains_of([(10, 800), (90_012, 20), (95_015, 15), (99_000, 790), (100_000, 9), (180_000, 300)])
    assert drains == [
        Drain((10, 800), (90_012, 20), 95_015),
        Drain((99_000, 790), (100_000, 9), 100_000),
        Drain((180_000, 300), None, 180_000),
    ]
    assert [drain.later_us for drain in drains] == [90_002, 1000, 0]


def test_a_recorded_trace_tells_the_drains_of_each_test() -> None:
    """Purges of modprobe are none; a test without a drain has none."""
    found = recorded_drains(RECORDED)
    assert len(found) == 15
    assert found["fix1p-t1"] == []
    assert found["fix20p-t1"][1:3] == [
        Drain((4_931_870, 808), None, 4_931_870),
        Drain((5_019_622, 781), (5_020_099, 5), 5_020_099),
    ]
    four = found["fix20p-t4"]
    assert (len(four), sum(drain.second is None for drain in four)) == (27, 0)
    assert sum(drain.later_us > 4000 for drain in four) == 8


def test_the_table_has_a_row_for_each_load_that_drains_on_both() -> None:
    """The machine's figures before ours; what there is none of is a dash."""
    theirs = [Drain((0, 800), (5000, 20), 5000), Drain((9000, 810), (9500, 30), 9500)]
    table = drains_table({"none": ([], []), "one": (theirs, [Drain((0, 790), None, 0)])})
    assert table[2:] == ["| `one` | 2 1 | 0 1 | 805 790 | 25 - | 2.8 - | 1 0 |"]
