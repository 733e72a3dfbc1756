"""Calibration as a whole: known constants are found again; what measurements cannot tell is said."""

import math
import tomllib
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from sim.calibration.outputs import costs_file
from sim.calibration.screen import show_solution
from sim.calibration.solution import Solution, mean_absolute_error
from sim.errors import BadInput
from tests.unit.sim.calibration import CONSTANTS, SITUATIONS, TRUTH, measurement, solved, synthetic, written


@pytest.fixture(scope="module")
def solution_of_synthetic(tmp_path_factory: pytest.TempPathFactory) -> Solution:
    return solved(written(tmp_path_factory.mktemp("synthetic"), synthetic()))


def test_known_constants_are_found_again(solution_of_synthetic: Solution) -> None:
    """From measurements that the simulator made, its lock_ns, visit_ns and link_ns come out to the nanosecond."""
    solution = solution_of_synthetic
    assert solution.point == tuple(TRUTH.values())
    assert mean_absolute_error(solution.fitted) == 0
    assert [worth.unidentified for worth in solution.worths] == ["", "", ""]
    assert [worth.at_bound for worth in solution.worths] == ["", "", ""]
    assert [worth.std_error for worth in solution.worths] == pytest.approx([0, 0, 0])


def test_errors_of_measurements_become_standard_errors(tmp_path: Path) -> None:
    """With measurements that are off by some percent the constants are off by about their standard errors."""
    situations = {
        f"{name} {areas}": {**settings, "workload.preload_areas": areas}
        for name, settings in SITUATIONS.items()
        for areas in (20, 100, 500)
    }
    lines = iter([1.03, 0.98, 1.01, 0.97, 1.02, 0.99] * 2)
    exact = synthetic(situations=situations).splitlines()
    noisy = [f"value = {float(line[8:]) * next(lines)}" if line.startswith("value = ") else line for line in exact]
    solution = solved(written(tmp_path, "\n".join(noisy)))
    for value, truth, worth in zip(solution.point, TRUTH.values(), solution.worths, strict=True):
        assert worth.std_error is not None
        assert 0 < worth.std_error < truth
        assert abs(value - truth) < 3 * worth.std_error + 1


def test_a_constant_without_effect_is_said_so(tmp_path: Path) -> None:
    """What no measurement depends on keeps its start and is called unidentified; the others are found."""
    more = '[[constant]]\nkey = "costs.service_ns"\nstart = 700\nlower = 1\nupper = 1000\n'
    solution = solved(written(tmp_path, synthetic(CONSTANTS + more)))
    assert solution.point == (*TRUTH.values(), 700)
    assert solution.worths[-1].unidentified == "no measurement depends on it"
    assert solution.worths[-1].std_error is None
    assert solution.worths[-1].elasticity == 0


def test_constants_that_make_up_for_each_other_are_said_so(tmp_path: Path) -> None:
    """One CPU and one tree cannot tell the lock from the link, but their sum is found."""
    situations = {name: SITUATIONS[name] for name in ("few areas", "many areas")}
    situations["more areas"] = {"workload.preload_areas": 200}
    solution = solved(written(tmp_path, synthetic(situations=situations)))
    reasons = [worth.unidentified for worth in solution.worths]
    assert reasons == ["only together with costs.link_ns", "", "only together with costs.lock_ns"]
    lock_ns, visit_ns, link_ns = solution.point
    assert visit_ns == TRUTH["costs.visit_ns"]
    assert lock_ns + 2 * link_ns == TRUTH["costs.lock_ns"] + 2 * TRUTH["costs.link_ns"]


def test_a_bound_is_kept_and_said(tmp_path: Path) -> None:
    """With links of at most 40 ns the fit ends at that bound, and says so."""
    targets = synthetic().replace("upper = 500", "upper = 40")
    solution = solved(written(tmp_path, targets))
    assert solution.point[2] == 40
    assert solution.worths[2].at_bound == "upper"
    assert solution.worths[2].std_error is None


@pytest.mark.parametrize("evaluations", [7, 8, 9, 12, 20])
def test_no_more_evaluations_than_allowed(tmp_path: Path, evaluations: int) -> None:
    """At most so many sets of constants are tried, all told, and a search that was cut off says so."""
    solution = solved(written(tmp_path, synthetic(head=f"evaluations = {evaluations}")))
    assert solution.evaluations <= evaluations
    assert math.isfinite(mean_absolute_error(solution.fitted))
    said = f"after {solution.evaluations} evaluations, before it converged"
    assert solution.stopped == said
    assert tomllib.loads(costs_file(solution))["fit"]["stopped"] == said
    screen = Console(file=StringIO(), width=120)
    show_solution(screen, solution, "here")
    assert f"stopped {said}" in screen.file.getvalue()  # type: ignore[attr-defined]


def test_a_search_that_ends_by_itself_was_not_stopped(solution_of_synthetic: Solution) -> None:
    """Nothing is said of it, on the screen or in the file."""
    assert solution_of_synthetic.stopped == ""
    assert "stopped" not in costs_file(solution_of_synthetic)


def test_further_starts_are_used(tmp_path: Path, solution_of_synthetic: Solution) -> None:
    """With several starts the constants are found as well, by more evaluations."""
    one = solution_of_synthetic
    two = solved(written(tmp_path, synthetic(head="starts = 2\nevaluations = 400")))
    assert two.point == one.point
    assert two.evaluations > one.evaluations


def test_predictions_have_no_part_in_the_fit(tmp_path: Path, solution_of_synthetic: Solution) -> None:
    """A measurement to predict, however wrong, changes nothing of the fit, and stands apart."""
    without = solution_of_synthetic
    wrong = measurement("far off", 'predict = true\nset = { "machine.cpus" = 5 }', value=1.0)
    solution = solved(written(tmp_path, synthetic() + wrong))
    assert (solution.point, solution.fitted[0].ours) == (without.point, without.fitted[0].ours)
    assert solution.evaluations == without.evaluations
    assert [one.target.measured.name for one in solution.predicted] == ["far off"]
    assert "far off" not in [one.target.measured.name for one in solution.fitted]


def test_a_figure_can_be_a_quotient_of_two_runs(tmp_path: Path) -> None:
    """`over` divides by another run's metric, which is the measurement's own where it names none."""
    ratio = measurement("ratio", 'set = { "machine.cpus" = 9 }\nover = { set = {} }', value=2.0)
    solution = solved(written(tmp_path, synthetic() + ratio))
    by_name = {one.target.measured.name: one.ours for one in solution.fitted}
    assert by_name["ratio"] == pytest.approx(by_name["many CPUs"] / by_name["few areas"])


def test_weights_decide_between_measurements_that_disagree(tmp_path: Path) -> None:
    """Of two measurements of one thing the heavier one is met more closely."""
    constants = '[[constant]]\nkey = "costs.link_ns"\nstart = 50\nlower = 1\nupper = 2000\n'
    head = f'scenario = "small.toml"\n{constants}'
    light, heavy = measurement("light", value=300.0), measurement("heavy", "weight = 100", value=600.0)
    solution = solved(written(tmp_path, head + light + heavy))
    assert abs(solution.fitted[1].relative_error) < 0.02 < abs(solution.fitted[0].relative_error)


@pytest.mark.parametrize(
    "metric", ["latency.find.mean", "locks.lazy.hold_ns", "latency.find_miss.mean_ns", "nothing"]
)
def test_a_metric_that_no_run_has_is_refused(tmp_path: Path, metric: str) -> None:
    """The line names the measurement and the metric."""
    path = written(tmp_path, synthetic() + measurement("odd one", metric=metric))
    with pytest.raises(BadInput, match=rf"measurement 'odd one': metric {metric}: found no such figure"):
        solved(path)


def test_a_figure_of_zero_is_refused(tmp_path: Path) -> None:
    """There is no logarithm of 0."""
    path = written(tmp_path, synthetic() + measurement("odd one", metric="latency.find.queue_ns"))
    with pytest.raises(BadInput, match="above 0"):
        solved(path)
