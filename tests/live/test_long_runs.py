"""Long runs, marked slow: memory does not grow with their length."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PEAK_MIB = """
import resource, sys
from sim.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
sys.exit(code)
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_operations(tmp_path: Path) -> None:
    """4 million operations take as much memory as 400,000: what is drawn ahead, what waits to be folded."""
    peaks = []
    for operations in (400_000, 4_000_000):
        scenario = str(ROOT / "configs" / "peer-model.toml")
        options = ["--set", f"workload.operations={operations}", "--quiet", "--out", str(tmp_path)]
        command = [sys.executable, "-c", PEAK_MIB, "run", scenario, *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout))
    assert peaks[1] < 1.1 * peaks[0], peaks
