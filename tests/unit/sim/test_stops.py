"""What the longest holds of locks tell of a virtual CPU's stops."""

from math import log
from pathlib import Path
from random import Random

import pytest

from sim.published.stops import estimated_stops, held_of
from sim.scenario.file import load_scenarios

ROOT = Path(__file__).parents[3]


def longest_hold(random: Random, held_ms: float, per_second: float, mean_ms: float) -> float:
    """Draw stops while a class is held, and give the longest hold: half a ms without any."""
    longest, at_ms = 0.5, 0.0
    while True:
        at_ms -= log(1 - random.random()) * 1000 / per_second
        if at_ms > held_ms:
            return longest
        longest = max(longest, -log(1 - random.random()) * mean_ms)


@pytest.mark.parametrize(("per_second", "mean_ms"), [(4.0, 4.0), (1.0, 10.0), (20.0, 3.0)])
def test_stops_are_found_from_the_longest_holds_of_many_classes(per_second: float, mean_ms: float) -> None:
    """Of 2000 classes that were held for a tenth of a second to one: within 15 %."""
    random = Random(7)
    held = [100 + 900 * random.random() for _ in range(2000)]
    found = estimated_stops([(ms, longest_hold(random, ms, per_second, mean_ms)) for ms in held])
    assert abs(found.per_second / per_second - 1) < 0.15
    assert abs(found.mean_ms / mean_ms - 1) < 0.15


def test_without_a_long_hold_nothing_is_known() -> None:
    """Or all of them were interrupts."""
    with pytest.raises(ValueError, match=r"no hold of more than 2\.5 ms"):
        estimated_stops([(100.0, 0.3), (200.0, 2.4)])


@pytest.mark.parametrize("held", [[(100.0, 10.0)], [(1000.0, 80.0)]])
def test_a_single_class_tells_nothing_of_how_long_stops_are(held: list[tuple[float, float]]) -> None:
    """The likeliest length would be none, or beyond all."""
    with pytest.raises(ValueError, match="no mean length between"):
        estimated_stops(held)


def test_the_scenario_has_the_stops_of_its_machine() -> None:
    """Those that the files beside it make likeliest, rounded."""
    folder = ROOT / "configs/published"
    modprobe = load_scenarios(folder / "lockstat.toml").base.workload.modprobe
    found = estimated_stops(held_of(sorted((folder / "lockstat-smp2").glob("*-t?.txt.gz"))))
    assert abs(modprobe.stop_ns / 1e6 - found.mean_ms) < 0.01
    assert abs(1e9 / modprobe.stop_gap_ns - found.per_second) < 0.01
