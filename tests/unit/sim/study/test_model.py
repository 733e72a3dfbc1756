"""The study file: what it can say, and one line for each mistake."""

from pathlib import Path

import pytest

from sim.errors import BadInput
from sim.study.cells import cells_of, replication_seed
from sim.study.model import load_study
from sim.study.reference import EXAMPLE
from tests.unit.sim.study import STUDY, written

HEAD = 'scenario = "small.toml"\n'
FACTOR = '[[factor]]\nkey = "space.nodes"\nvalues = [1, 2]\n'


def test_cells_are_the_product_in_the_order_given(tmp_path: Path) -> None:
    """The last factor varies fastest, and each cell's scenario is the base with its levels."""
    cells = cells_of(load_study(written(tmp_path)))
    assert [tuple(cell.levels.values()) for cell in cells] == [
        (policy, nodes) for policy in ("forward", "backward", "home") for nodes in (1, 3)
    ]
    assert [cell.number for cell in cells] == list(range(6))
    assert (cells[3].scenario.lookup.policy, cells[3].scenario.space.nodes) == ("backward", 3)
    assert cells[3].scenario.machine.cpus == 3
    assert len({cell.fingerprint for cell in cells}) == 6


def test_the_example_of_the_reference_is_a_study(tmp_path: Path) -> None:
    """What docs/reference/study.md shows can be run."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "peer-model.toml").write_text("")
    (tmp_path / "studies" / "example.toml").write_text(EXAMPLE)
    cells = cells_of(load_study(tmp_path / "studies" / "example.toml"))
    assert len(cells) > 4
    assert cells[0].scenario.workload.operations == 20_000


@pytest.mark.parametrize(
    ("factor", "values"),
    [
        ("from = 1\nto = 128\ntimes = 2", [1, 2, 4, 8, 16, 32, 64, 128]),
        ("from = 2\nto = 9\nstep = 3", [2, 5, 8]),
        ("from = 2\nto = 4", [2, 3, 4]),
        ("values = [7]", [7]),
        ("count = 3", [1, 2, 3]),
    ],
)
def test_ranges(tmp_path: Path, factor: str, values: list[int]) -> None:
    """Both ends are included where a step falls on them."""
    study = load_study(written(tmp_path, f'{HEAD}[[factor]]\nkey = "space.nodes"\n{factor}\n'))
    assert [level.value for level in study.factors[0].levels] == values


@pytest.mark.parametrize(
    ("factor", "count"),
    [("from = -3\nto = -1", 3), ("from = -0.3\nto = 0\nstep = 0.1", 4), ("from = 0\nto = 0", 1)],
)
def test_ranges_reach_their_end_below_zero_too(tmp_path: Path, factor: str, count: int) -> None:
    """Both ends are included, whatever their sign."""
    study = load_study(written(tmp_path, f'{HEAD}[[factor]]\nkey = "parameters.x.y"\n{factor}\n'))
    assert len(study.factors[0].levels) == count


def test_fractions_are_reached_in_spite_of_rounding(tmp_path: Path) -> None:
    """0 to 0.3 in steps of 0.1 has four values."""
    study = load_study(
        written(tmp_path, f'{HEAD}[[factor]]\nkey = "workload.mix.miss"\nfrom = 0\nto = 0.3\nstep = 0.1\n')
    )
    assert [level.value for level in study.factors[0].levels] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_seeds_are_common_or_each_cells_own(tmp_path: Path) -> None:
    """With common random numbers replication r has one seed in all cells; otherwise all seeds differ."""
    study = load_study(written(tmp_path))
    cells = cells_of(study)
    seeds = [[replication_seed(study, cell, replication) for replication in range(50)] for cell in cells]
    assert all(own == seeds[0] for own in seeds)
    assert len(set(seeds[0])) == 50
    apart = load_study(written(tmp_path, STUDY.replace("least = 3", "least = 3\ncommon = false")))
    assert len({replication_seed(apart, cell, replication) for cell in cells for replication in range(50)}) == 300
    other = load_study(written(tmp_path), seed=2)
    assert not {replication_seed(other, cells[0], replication) for replication in range(50)} & set(seeds[0])


def test_a_fingerprint_is_what_decides_the_outcome(tmp_path: Path) -> None:
    """Another order of cells or another precision keeps fingerprints; another scenario changes them."""
    prints = {tuple(cell.levels.values()): cell.fingerprint for cell in cells_of(load_study(written(tmp_path)))}
    changed = STUDY.replace('"forward", "backward"', '"backward", "forward"').replace("0.03", "0.01")
    assert prints == {
        tuple(cell.levels.values()): cell.fingerprint for cell in cells_of(load_study(written(tmp_path, changed)))
    }
    more = cells_of(load_study(written(tmp_path), ["workload.operations=301"]))
    assert not {cell.fingerprint for cell in more} & set(prints.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["scenario", "nothing", "base scenario"]),
        ('scenario = "none.toml"', ["none.toml", "no such file"]),
        ("scenario = 3", ["scenario", "3", "a string"]),
        (f"{HEAD}speed = 1", ["speed", "unknown key", "scenario, seed"]),
        (f"{HEAD}seed = -1", ["seed", "-1", "0 to"]),
        (f"{HEAD}metrics = []", ["metrics", "[]", "metric"]),
        (f'{HEAD}metrics = ["latency.all.p98_ns"]', ["metrics", "p98_ns", "latency.all.p99_ns"]),
        (f'{HEAD}metrics = "latency.all.p99_ns"', ["metrics", "a list of strings"]),
        (f'{HEAD}accept = ["luck"]', ["accept", "luck", "answers_true"]),
        (f'{HEAD}warmup = "welch"', ["warmup", "welch", "mser-5"]),
        (f"{HEAD}[replications]\nleast = 1", ["replications.least", "1", "2 to"]),
        (f"{HEAD}[replications]\nleast = 9\nmost = 8", ["replications.least", "9", "most (8)"]),
        (f"{HEAD}[precision]\nrelative = 0", ["precision.relative", "0", "0.000001"]),
        (f'{HEAD}[precision]\nmetric = "speed"', ["precision.metric", "speed"]),
        (f"{HEAD}[set]\nspace.nodez = 3", ["space.nodez", "unknown key"]),
        (f"{HEAD}[set]\nseed = 3", ["set.seed", "own seed"]),
        (f"{HEAD}set = 3", ["set", "3", "a table"]),
        (f"{HEAD}factor = 3", ["factor", "3", "[[factor]]"]),
        (f"{HEAD}[[factor]]\nvalues = [1]", ["factor 1: name", "None", "called after"]),
        (f'{HEAD}[[factor]]\nname = "x"\nvalues = [1]', ["factor 1: key", "None", "the key"]),
        (f'{HEAD}[[factor]]\nkey = "space.nodes"', ["factor 1", "no levels", "values"]),
        (f'{HEAD}[[factor]]\nkey = "space.nodes"\nvalues = []', ["factor 1: levels", "[]", "different"]),
        (f'{HEAD}[[factor]]\nkey = "space.nodes"\nvalues = [1, 1]', ["factor 1: levels", "[1, 1]"]),
        (f'{HEAD}[[factor]]\nkey = "space.nodes"\nvalues = 1', ["factor 1: values", "1", "a list"]),
        (f'{HEAD}[[factor]]\nkey = "space.nodes"\nvalues = [1]\nfrom = 1', ["factor 1", "values and from"]),
        (f'{HEAD}[[factor]]\nkey = "space.nodes"\nvalue = [1]', ["factor 1: value", "unknown key", "values"]),
        (f'{HEAD}[[factor]]\nkey = "space.nodes"\nfrom = 1', ["factor 1: to", "None"]),
        (f'{HEAD}[[factor]]\nkey = "space.nodes"\nfrom = 1\nto = "x"', ["factor 1: to", "'x'", "a number"]),
        (f'{HEAD}[[factor]]\nkey = "space.nodes"\nfrom = 1\nto = 9\ntimes = 1', ["factor 1: times", "1"]),
        (f'{HEAD}[[factor]]\nkey = "costs.lock_ns"\nfrom = 1\nto = inf\ntimes = 10', ["1: to", "inf", "at most"]),
        (f'{HEAD}[[factor]]\nkey = "costs.lock_ns"\nfrom = 1\nto = 9\nstep = inf', ["1: step", "inf"]),
        (f'{HEAD}[[factor]]\nkey = "space.nodes"\nfrom = 1\nto = 9\nstep = 0', ["factor 1: step", "0"]),
        (f'{HEAD}[[factor]]\nname = "s"\nkey = "seed"\nvalues = [1]', ["factor s", "the key seed", "replications"]),
        (f'{HEAD}[[factor]]\nname = "f"\ncount = 0', ["factor 1: count", "0", "1 to 10000"]),
        (f'{HEAD}[[factor]]\nname = "f"\n[[factor.level]]\nname = "a"', ["factor 1: level 1", "name and set"]),
        (HEAD + FACTOR + FACTOR, ["factor 2: name", "space.nodes"]),
        (
            HEAD + FACTOR + FACTOR.replace("key", 'name = "again"\nkey'),
            ["factor again", "as in factor space.nodes"],
        ),
        (f"{HEAD}[set]\nspace.nodes = 3\n{FACTOR}", ["factor space.nodes", "as in set"]),
        (HEAD + FACTOR.replace("[1, 2]", "[1, 2000]"), ["cell space.nodes=2000", "space.nodes", "1 to 1024"]),
        (f'{HEAD}{FACTOR}[compare]\nfactor = "x"\nbaseline = 1', ["compare.factor", "'x'", "space.nodes"]),
        (f'{HEAD}{FACTOR}[compare]\nfactor = "space.nodes"', ["compare.baseline", "None", "1, 2"]),
        (f'{HEAD}{FACTOR}[compare]\nfactor = "space.nodes"\nbaseline = 3', ["compare.baseline", "3", "1, 2"]),
        (
            HEAD
            + "".join(
                FACTOR.replace("[1, 2]", str(list(range(400)))).replace("key", f'name = "{n}"\nkey') for n in "ab"
            ),
            ["factor b", "space.nodes"],
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, text: str, words: list[str]) -> None:
    """Each is refused with the file, the key, what was found and what is allowed."""
    path = written(tmp_path, text)
    with pytest.raises(BadInput) as caught:
        cells_of(load_study(path))
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in [*words, "found", "allowed"]), message


def test_a_scenario_with_variants_is_no_base(tmp_path: Path) -> None:
    """Variants and factors say the same thing in two ways; one is refused."""
    path = written(tmp_path, HEAD, '[[variant]]\nname = "a"\n')
    with pytest.raises(BadInput, match="make them levels"):
        load_study(path)


def test_settings_change_all_cells_but_no_factor(tmp_path: Path) -> None:
    """`--set` reaches every cell; a key that a factor sets is refused there."""
    path = written(tmp_path)
    assert {cell.scenario.machine.cpus for cell in cells_of(load_study(path, ["machine.cpus=5"]))} == {5}
    with pytest.raises(BadInput, match=r"--set space\.nodes: found a value, and a factor sets it"):
        load_study(path, ["space.nodes=5"])
