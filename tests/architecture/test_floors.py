"""The house: three floors, our own packages, one registry per folder."""

import subprocess
import sys
from pathlib import Path

import actors
import protocol
import sim

ROOT = Path(__file__).parents[2]


def test_the_three_packages_are_this_repositorys() -> None:
    """`actors`, `protocol` and `sim` are common names: what is imported has to be what stands here."""
    for package in (actors, protocol, sim):
        assert package.__file__ is not None
        assert Path(package.__file__).parents[1] == ROOT


def test_nothing_points_up() -> None:
    """The import contracts of pyproject.toml hold, as `./dev test` also checks."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_help_needs_no_heavy_imports() -> None:
    """`--help` answers without loading trio, numpy or rich."""
    code = (
        "import sys; from sim.cli import main; main(['run', '--help']);"
        "sys.exit(any(name in sys.modules for name in ('trio', 'numpy', 'rich', 'cattrs')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_dev_is_a_posix_script_and_ci_ends_in_it() -> None:
    """`dev` parses as sh, and `.ci/run` ends in `exec ./dev test`."""
    assert subprocess.run(["/bin/sh", "-n", str(ROOT / "dev")], check=False).returncode == 0
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec ./dev test")
