"""The simulator's locks against a real kernel's /proc/lock_stat: docs/explanation/lockstat.md, and tolerances."""

from pathlib import Path

import pytest

from sim.published.lockstat import (
    CLOSE,
    COUNTED,
    PAGE,
    SEEDS,
    Load,
    Spread,
    page_of,
    read_seeds,
    rows_of,
    run,
    seeds_text,
)

ROOT = Path(__file__).parents[2]

BEYOND = {
    ("fix20p-t1", "pool"): 0.06,
    ("fix20p-t1", "free"): 0.11,
    ("fix1p-t2", "free"): 0.03,
    ("fix20p-t2", "free"): 0.04,
    ("kvfree2-t2", "pool"): 0.04,
    ("kvfree2-t2", "free"): 0.08,
    ("fix1p-t4", "free"): 0.03,
    ("fix20p-t4", "pool"): 0.03,
    ("fix20p-t4", "free"): 0.15,
    ("rand-t4", "free"): 0.07,
    ("kvfree2-t4", "free"): 0.03,
}
"""Where our acquisitions are not within 2 % of the kernel's, and within what they are; the page says why."""


def close_enough(load: Load) -> bool:
    return all(abs(load.error(kind)) <= BEYOND.get((load.name, kind), CLOSE) for kind in COUNTED)


def test_one_worker_takes_the_locks_that_the_kernel_took() -> None:
    """Within 2 % for eighteen of twenty figures; the page has these figures; nobody waits, as there."""
    kept = read_seeds(ROOT)
    loads = run(ROOT, [1])
    assert [load.name for load in loads if not close_enough(load)] == []
    rows = rows_of((ROOT / PAGE).read_text(encoding="utf-8"))
    assert {name: rows[name] for name in rows if name.endswith("-t1")} == rows_of(page_of(loads, kept))
    for load in loads:
        for kind in COUNTED:
            assert load.ours[kind]["acquisitions"] == kept[load.name][kind][0]
            kernel, ours = load.contended(kind)
            assert abs(kernel - ours) < 0.01


@pytest.mark.slow
def test_more_workers_take_the_locks_that_the_kernel_took() -> None:
    """The whole page is what its run gives; most figures are within 2 %, the others within what is stated here."""
    loads = run(ROOT)
    assert page_of(loads, read_seeds(ROOT)) == (ROOT / PAGE).read_text(encoding="utf-8")
    assert [load.name for load in loads if not close_enough(load)] == []
    for load in loads:
        if load.threads > 1:
            busy, pool, lazy = (load.contended(kind)[1] for kind in ("busy", "pool", "lazy"))
            assert lazy < min(busy, pool), "the lazy lock is the one that nobody waits for"


def test_the_kept_counts_are_as_they_are_written() -> None:
    """By `--seeds`: a line per load and kind."""
    assert seeds_text(read_seeds(ROOT)) == (ROOT / SEEDS).read_text(encoding="utf-8")


def test_a_spread_is_the_middle_of_its_values() -> None:
    """Of 41 counts from 0 to 40 the outermost on either side are left out, and their mean is 20."""
    spread = Spread.of(range(41))
    assert (spread.mean, spread.low, spread.high) == (20, 1, 39)
    assert [spread.holds(count) for count in (0, 1, 39, 40)] == [False, True, True, False]
