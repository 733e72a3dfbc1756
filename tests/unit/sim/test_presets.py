"""Costs files and presets: what they give, what wins over them, what is refused."""

from pathlib import Path

import pytest

from sim.costs import cost_model
from sim.errors import BadInput
from sim.scenario.file import load_scenarios, structure
from sim.scenario.model import Scenario
from sim.scenario.presets import names, summaries


def load(folder: Path, text: str, *settings: str) -> Scenario:
    """Load a scenario of this text in `folder`."""
    (folder / "scenario.toml").write_text(text)
    return load_scenarios(folder / "scenario.toml", settings).base


@pytest.mark.parametrize("name", names())
def test_every_preset_makes_a_machine_and_says_what_it_is(name: str) -> None:
    """It names a line about itself, and its distances make a cost model."""
    scenario = structure({"costs": {"preset": name}}, "test")
    assert summaries()[name]
    assert cost_model(scenario, Path()).memory is not None


def test_a_scenarios_keys_win_over_the_file_and_the_files_over_the_preset(tmp_path: Path) -> None:
    """Each key by itself; what the preset alone has stays."""
    (tmp_path / "fitted.toml").write_text(
        "[costs]\nlock_ns = 5\nlock_lines = 1.5\n[machine.cores]\ncomplex_ns = 30\n"
    )
    text = '[costs]\npreset = "threadripper-3970x"\nfile = "fitted.toml"\nlock_ns = 9\n[machine]\ncpus = 8\n'
    scenario = load(tmp_path, text)
    assert (scenario.costs.lock_ns, scenario.costs.lock_lines) == (9, 1.5)
    cores = scenario.machine.cores
    assert (scenario.machine.cpus, cores.complex_ns, cores.socket_ns) == (8, 30, 94)


def test_a_costs_files_own_preset_is_taken_where_the_scenario_names_none(tmp_path: Path) -> None:
    """As `calibrate` writes it: the constants and, under them, the machine that they were fitted for."""
    (tmp_path / "fitted.toml").write_text(
        '[costs]\npreset = "xeon-6242-2s"\nfile = ""\nlock_ns = 5\n[fit]\nseed = 1\n'
    )
    fitted, other = '[costs]\nfile = "fitted.toml"\n', '[costs]\nfile = "fitted.toml"\npreset = "epyc-7r13"\n'
    assert (load(tmp_path, fitted).machine.cpus, load(tmp_path, fitted).costs.lock_ns) == (64, 5)
    assert (load(tmp_path, other).machine.cpus, load(tmp_path, other).costs.lock_ns) == (192, 5)


def test_a_preset_can_be_set_from_outside(tmp_path: Path) -> None:
    """As any key: and then decides the CPUs, and with them the kernel's nodes."""
    scenario = load(tmp_path, "", "costs.preset=xeon-6242-2s")
    assert (scenario.machine.cpus, scenario.space.nodes) == (64, 64)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[costs]\npreset = "abacus"', r"costs\.preset: found 'abacus'; allowed: epyc-7r13, "),
        ('[costs]\nfile = "nowhere.toml"', r"nowhere\.toml: found no such file"),
        ('[costs]\nfile = "odd.toml"', r"odd\.toml: space: found an unknown key; allowed: about, machine"),
        ('[costs]\nfile = "nested.toml"', r"nested\.toml: costs\.file: found a costs file of its own"),
        ('[costs]\nfile = "typo.toml"', r"typo\.toml: costs\.lock_nanos: found an unknown key"),
        ('[costs]\nfile = "value.toml"', r"value\.toml: costs: found 3; allowed: a table of keys"),
        ('[costs]\nfile = "text.toml"', r"text\.toml: costs\.lock_ns: found 'x'; allowed: an integer"),
        ('[costs]\nlock_ns = 5\nfile = "text.toml"', r"text\.toml: costs\.lock_ns: found 'x'; allowed: an integer"),
    ],
)
def test_what_is_wrong_with_a_costs_file_is_said_in_one_line(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "odd.toml").write_text("[space]\nnodes = 3\n")
    (tmp_path / "nested.toml").write_text('[costs]\nfile = "odd.toml"\n')
    (tmp_path / "typo.toml").write_text("[costs]\nlock_nanos = 3\n")
    (tmp_path / "value.toml").write_text("costs = 3\n")
    (tmp_path / "text.toml").write_text('[costs]\nlock_ns = "x"\n')
    with pytest.raises(BadInput, match=found) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)
