"""The targets file: what it can say, and one line for each mistake."""

from pathlib import Path

import pytest

from sim.calibration.model import load_targets
from sim.calibration.reference import EXAMPLE
from sim.errors import BadInput
from tests.unit.sim.calibration import CONSTANTS, measurement, written

HEAD = 'scenario = "small.toml"\n'
GOOD = HEAD + CONSTANTS + measurement("one")


def test_the_example_of_the_reference_is_a_targets_file(tmp_path: Path) -> None:
    """What docs/reference/targets.md shows can be read."""
    (tmp_path / "calibration").mkdir()
    (tmp_path / "queue.toml").write_text("")
    path = tmp_path / "calibration" / "example.toml"
    path.write_text(EXAMPLE)
    targets = load_targets(path)
    assert [constant.key for constant in targets.constants] == ["costs.lock_ns", "costs.link_ns"]
    assert [target.measured.predict for target in targets.targets] == [False, False, True]
    assert targets.targets[2].over is not None


def test_constants_are_put_into_the_scenarios(tmp_path: Path) -> None:
    """A figure's scenario is its file with the settings of all, its own, and the constants of the point."""
    more = 'set = { "machine.cpus" = 5 }'
    text = GOOD.replace(HEAD, f"{HEAD}seed = 9\n[set]\nspace.nodes = 3\n") + measurement("two", more)
    targets = load_targets(written(tmp_path, text))
    scenario = targets.scenario(targets.targets[1].ours, (1, 2, 3))
    assert (scenario.costs.lock_ns, scenario.costs.visit_ns, scenario.costs.link_ns) == (1, 2, 3)
    assert (scenario.space.nodes, scenario.machine.cpus, scenario.seed) == (3, 5, 9)
    assert load_targets(written(tmp_path, text), seed=4).plan.seed == 4


def test_a_costs_file_is_looked_up_beside_the_scenario(tmp_path: Path) -> None:
    """As for a run; keys that are fitted win over it."""
    path = written(tmp_path, HEAD + constant() + measurement("one"))
    (tmp_path / "small.toml").write_text('[costs]\nfile = "known.toml"\n')
    (tmp_path / "known.toml").write_text("[costs]\nvisit_ns = 77\nlock_ns = 3\n")
    targets = load_targets(path)
    costs = targets.scenario(targets.targets[0].ours, (8,)).costs
    assert (costs.lock_ns, costs.visit_ns) == (8, 77)


FRACTION = '[[constant]]\nkey = "workload.mix.interior"\nstart = 0.5\nlower = 0.1\nupper = 0.9\n'


def test_a_constant_is_what_its_key_wants(tmp_path: Path) -> None:
    """A key that wants an integer gets whole numbers, others get what is asked, all within the bounds."""
    targets = load_targets(written(tmp_path, HEAD + CONSTANTS + FRACTION + measurement("one")))
    lock, _visit, _link, share = targets.constants
    assert [lock.nearest(value) for value in (-3, 7.6, 5000)] == [0, 8, 1000]
    assert isinstance(lock.nearest(7.6), int)
    assert [share.nearest(value) for value in (0.05, 0.123, 5)] == [0.1, 0.123, 0.9]


CONSTANT = '[[constant]]\nkey = "{key}"\nstart = {start}\nlower = {lower}\nupper = {upper}\n'


def constant(key: str = "costs.lock_ns", start: float = 5, lower: float = 1, upper: float = 9) -> str:
    return CONSTANT.format(key=key, start=start, lower=lower, upper=upper)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD + measurement("one"), "constant: found nothing; allowed: [[constant]] tables"),
        (HEAD + CONSTANTS, "measurement: found nothing"),
        (HEAD + "constant = 3\n" + measurement("one"), "constant: found 3"),
        (HEAD + "seeds = 3\n" + CONSTANTS + measurement("one"), "seeds: found an unknown key"),
        (HEAD + "evaluations = 1\n" + CONSTANTS + measurement("one"), "evaluations: found 1"),
        (HEAD + "evaluations = 6\n" + CONSTANTS + measurement("one"), "evaluations: found 6; allowed: at least 7:"),
        (CONSTANTS + measurement("one"), "measurement 1: scenario: found nothing"),
        (GOOD.replace("small.toml", "none.toml"), "none.toml: found no such file"),
        (GOOD + measurement("one"), "two called 'one'"),
        (GOOD.replace('name = "one"', 'name = " "'), "measurement 1: name"),
        (GOOD.replace("value = 300.0", "value = 0"), "measurement 1: value: found 0.0; allowed: a number above 0"),
        (GOOD.replace("value = 300.0", "value = nan"), "measurement 1: value"),
        (GOOD.replace('source = "the simulator"', ""), "measurement 1: source: found ''"),
        (GOOD + 'predict = "yes"', "measurement 1: predict: found 'yes'"),
        (GOOD + "predict = true", "only some to predict"),
        (GOOD + 'set = { "costs.lock_ns" = 3 }', "measurement 1: set: found a value for costs.lock_ns"),
        (GOOD + "set = { seed = 3 }", "measurement 1: set: found a value for seed"),
        (GOOD + 'set = { "machine.cups" = 3 }', "machine.cups: found an unknown key"),
        (GOOD + 'set = "x"', "measurement 1: set: found 'x'"),
        (GOOD + "over = {}", "measurement 1: over: found {}"),
        (GOOD + "over = { name = 3 }", "measurement 1: over: name: found an unknown key"),
        (HEAD + constant(start=10) + measurement("one"), "constant 1: start: found 10.0"),
        (HEAD + constant(upper=0) + measurement("one"), "constant 1: upper: found 0.0"),
        (HEAD + constant(lower=0.5) + measurement("one"), "constant 1: lower: found 0.5; allowed: a whole number"),
        (HEAD + constant(key="costs.lock") + measurement("one"), "constant 1: key: found 'costs.lock'"),
        (HEAD + constant(key="lookup.policy") + measurement("one"), "constant 1: key: found 'lookup.policy'"),
        (HEAD + constant(key="seed") + measurement("one"), "constant 1: key: found 'seed'"),
        (HEAD + constant() + constant() + measurement("one"), "costs.lock_ns twice"),
        (HEAD + constant(lower=-1) + measurement("one"), "costs.lock_ns: found -1"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, text: str, line: str) -> None:
    """What is wrong is named, with its place in the file."""
    with pytest.raises(BadInput) as caught:
        load_targets(written(tmp_path, text))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_variants_are_refused(tmp_path: Path) -> None:
    """A base scenario is one scenario."""
    path = written(tmp_path, GOOD)
    (tmp_path / "small.toml").write_text('[[variant]]\nname = "a"\n')
    with pytest.raises(BadInput, match=r"variants in small\.toml"):
        load_targets(path)
