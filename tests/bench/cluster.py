"""The cluster beside a bare msgpack echo over trio sockets, in alternating rounds: `python -m tests.bench.cluster`.

4 processes, 8 nodes, 16 clients, Unix sockets. Rates are requests per second of wall time, latencies those of one
request (finds of one node, here). Also with `--state`, with the size and rate of group commits.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio
from attrs import frozen

from sim.cluster.processes import run_cluster
from sim.scenario import Scenario
from sim.scenario.machine import Machine
from sim.scenario.model import Space, Workload
from tests.bench import echo

CLIENTS, PROCESSES, NODES = 16, 4, 8


@frozen
class Round:
    """What one round measured: requests per second, and percentiles in microseconds."""

    rate: float
    p50_us: float
    p99_us: float
    commits: dict[str, float]


def scenario(operations: int) -> Scenario:
    return Scenario(
        space=Space(nodes=NODES),
        machine=Machine(cpus=CLIENTS),
        workload=Workload(operations=operations, preload_areas=1000),
    )


@contextmanager
def echo_servers(folder: Path) -> Iterator[Sequence[str]]:
    paths = [str(folder / f"echo-{index}.sock") for index in range(PROCESSES)]
    command = [sys.executable, "-m", "tests.bench.echo"]
    processes = [subprocess.Popen([*command, path], stdin=subprocess.PIPE) for path in paths]
    try:
        trio.run(_until_there, paths)
        yield paths
    finally:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


async def _until_there(paths: Sequence[str]) -> None:
    for path in paths:
        for _ in range(500):
            try:
                await (await trio.open_unix_socket(path)).aclose()
                break
            except OSError:
                await trio.sleep(0.02)


def measure_echo(folder: Path, requests: int) -> Round:
    with echo_servers(folder) as paths:
        seconds, latencies = trio.run(echo.measure, paths, CLIENTS, requests)
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * share)] / 1e3 for share in (0.5, 0.99))
    return Round(len(latencies) / seconds, p50, p99, {})


def measure_cluster(folder: Path, operations: int, state: Path | None) -> Round:
    outcome = run_cluster(scenario(operations), folder, folder, PROCESSES, state, lambda _done, _total: None)
    assert outcome.ok, outcome.verdicts
    find = outcome.recorder.latencies.by_operation()["find"][1]
    p50, p99 = (find.percentile_ns(per_mille) / 1e3 for per_mille in (500, 990))
    return Round(outcome.events / outcome.wall_s, p50, p99, outcome.cluster.get("group_commit", {}))


def main(rounds: int = 3, requests: int = 20_000) -> float:
    """Print a line per round; gives the median ratio of the cluster's rate to the echo's."""
    ratios = []
    for index in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            floor = measure_echo(folder, requests)
            memory = measure_cluster(folder, requests, None)
            disk = measure_cluster(folder, requests // 4, folder / "state")
        ratios.append(memory.rate / floor.rate)
        print(f"round {index + 1}   requests/s   p50 µs   p99 µs")
        for name, one in (("echo", floor), ("cluster", memory), ("with state", disk)):
            print(f"{name:<10} {one.rate:>11,.0f} {one.p50_us:>8,.0f} {one.p99_us:>8,.0f}")
        print(f"group commit: {disk.commits}")
        print(f"cluster / echo: {ratios[-1]:.2f}")
    print(f"median ratio: {statistics.median(ratios):.2f}")
    return statistics.median(ratios)


if __name__ == "__main__":
    main()
