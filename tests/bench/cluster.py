"""The cluster beside a bare msgpack echo over trio sockets.

4 processes, 8 nodes, 16 clients, Unix sockets. Rates are requests per second of wall time, latencies those of one
request (finds of one node, here).
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trio

from sim.cluster.processes import run_cluster
from sim.scenario import Scenario
from sim.scenario.machine import Machine
from sim.scenario.model import Space, Workload
from tests.bench import echo
from tests.bench.suite import Bench, Case, Measured, Options, Runs

CLIENTS, PROCESSES, NODES = 16, 4, 8
REQUESTS = 20_000


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


def measured(items: int, seconds: float, latencies_us: tuple[float, float]) -> Measured:
    return {"items": items, "seconds": seconds, "p50_us": latencies_us[0], "p99_us": latencies_us[1]}


def run_echo(options: Options) -> Measured:
    """Ask the echo."""
    with tempfile.TemporaryDirectory() as name, echo_servers(Path(name)) as paths:
        seconds, latencies = trio.run(echo.measure, paths, CLIENTS, int(REQUESTS * options.scale))
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * share)] / 1e3 for share in (0.5, 0.99))
    return measured(len(latencies), seconds, (p50, p99))


def run(options: Options, *, on_disk: bool) -> Measured:
    """Ask a cluster, whose nodes are in memory or written to disk as well."""
    operations = int(REQUESTS * options.scale) // (4 if on_disk else 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state = folder / "state" if on_disk else None
        outcome = run_cluster(scenario(operations), folder, folder, PROCESSES, state, lambda _done, _total: None)
    assert outcome.ok, outcome.verdicts
    find = outcome.recorder.latencies.by_operation()["find"][1]
    p50, p99 = (find.percentile_ns(per_mille) / 1e3 for per_mille in (500, 990))
    return measured(outcome.events, outcome.wall_s, (p50, p99))


def cases(_options: Options) -> Mapping[str, Case]:
    """The echo, and the cluster without and with disks."""
    return {
        "a bare echo": run_echo,
        "the cluster": partial(run, on_disk=False),
        "the cluster with --state": partial(run, on_disk=True),
    }


def latencies(runs: Runs) -> str:
    """Say how long a request takes."""
    parts = [
        f"{name} {statistics.median(one['p50_us'] for one in several):,.0f} and "
        f"{statistics.median(one['p99_us'] for one in several):,.0f}"
        for name, several in runs.items()
    ]
    return f"Median and 99th percentile of a request, µs: {', '.join(parts)}."


BENCH = Bench(
    title="A request and its reply between processes",
    about="4 processes, 8 nodes, 16 clients, Unix sockets, msgpack; the echo sends back what it gets.",
    items="requests",
    cases=cases,
    clock="wall",
    remark=latencies,
)
