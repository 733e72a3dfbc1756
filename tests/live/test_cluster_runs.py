"""Whole runs in processes: the same areas as in other worlds, kill -9, full disks, one line per mistake."""

import json
import os
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio
from attrs import evolve

from actors.cluster.endpoint import Endpoint
from actors.errors import NoAnswer
from actors.patience import Patience
from protocol.area import VmapArea, ZoneLayout
from protocol.free_machine import SPACE
from protocol.kernel import KERNELS
from protocol.messages import Find, Found, Insert, Inserted, ListAreas, Migrate, Unlinked
from sim.checks import Evidence
from sim.checks.home_node import home_node
from sim.cli import main
from sim.cluster import driving
from sim.cluster.members import Hosted, Members
from sim.cluster.processes import run_cluster
from sim.errors import BadInput, first_of
from sim.outcome import Outcome
from sim.scenario import Scenario
from sim.scenario.faults import Crashes, Faults, Messages
from sim.scenario.machine import Machine
from sim.scenario.model import Batch, KernelChoices, Lookup, Migration, Mix, Space, Workload
from sim.simulation import simulate
from tests.live.cluster import desk_at, serving

ROOT = Path(__file__).parents[2]
MIX = Scenario(
    space=Space(nodes=4),
    machine=Machine(cpus=4),
    lookup=Lookup(policy="backward"),
    batch=Batch(areas=5, chunk=2),
    workload=Workload(
        operations=600,
        preload_areas=80,
        mix=Mix(find=0.4, insert=0.2, unlink=0.3, insert_batch=0.1, interior=0.3, miss=0.1),
    ),
)


def in_cluster(scenario: Scenario, folder: Path, state: Path | None = None, processes: int = 2) -> Outcome:
    folder.mkdir(exist_ok=True)
    return run_cluster(scenario, folder, folder, processes, state, lambda _done, _total: None)


def areas(outcome: Outcome) -> list[VmapArea]:
    return list(outcome.recorder.history.areas())


def counts(outcome: Outcome) -> dict[str, dict[int, int]]:
    return {
        name: {probes: latency.count for probes, latency in by_probes.items()}
        for name, by_probes in outcome.recorder.latencies.by_operation().items()
    }


def broken(outcome: Outcome) -> dict[str, str | None]:
    return {name: verdict.first for name, verdict in outcome.verdicts.items() if not verdict.ok}


# -- the same in all worlds -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "strategy"), [("backward", "grouped"), ("scatter", "parallel"), ("forward", "global")]
)
def test_all_worlds_leave_the_same_areas(policy: str, strategy: str, tmp_path: Path) -> None:
    """CPUs own their areas: neither clock nor processes decide what is left in each node and who was asked."""
    scenario = evolve(MIX, lookup=Lookup(policy=policy), batch=evolve(MIX.batch, strategy=strategy))
    virtual = simulate(scenario, tmp_path)
    live = simulate(scenario, tmp_path, engine="live")
    cluster = in_cluster(scenario, tmp_path / "out", tmp_path / "state")
    assert broken(cluster) == {}
    assert areas(cluster) == areas(live) == areas(virtual)
    assert cluster.nodes == live.nodes == virtual.nodes
    assert cluster.batches == virtual.batches
    assert counts(cluster) == counts(live) == counts(virtual)
    assert cluster.cluster["group_commit"]["requests"] > 100


def test_lost_doubled_and_late_messages_change_nothing_that_is_left(tmp_path: Path) -> None:
    """Faults injected at the cluster's world: the areas are those of a run without them."""
    faults = Faults(
        timeout_ns=30_000_000,
        deadline_ns=20_000_000_000,
        messages=[Messages(loss=0.05, duplication=0.1, delay=0.2, delay_ns=[0, 5_000_000])],
    )
    cluster = in_cluster(evolve(MIX, faults=faults), tmp_path / "out")
    assert broken(cluster) == {}
    assert areas(cluster) == areas(simulate(MIX, tmp_path))
    assert cluster.faults["lost"] > 20


VMALLOC = evolve(
    MIX,
    kernel=KernelChoices.of(KERNELS["6.16"]),
    workload=Workload(kind="vmalloc", operations=400, preload_areas=40),
)


def test_vmalloc_in_processes_loses_nothing(tmp_path: Path) -> None:
    """Pools, lazy trees and their counter are served by members, kworkers run beside the clients."""
    outcome = in_cluster(VMALLOC, tmp_path / "out", tmp_path / "state")
    assert broken(outcome) == {}
    assert "lazy_bound" in outcome.verdicts
    assert outcome.vmap is not None
    assert outcome.vmap.purges
    assert any(node.pooled for node in outcome.areas)
    assert {"busy/0", "pool/0", "lazy/0", "free", "vmap_lazy_nr", "purge"} <= {
        lock.name for lock in outcome.recorder.locks
    }


def test_a_choice_of_the_kernel_reaches_the_members(tmp_path: Path) -> None:
    """Without pools none is filled, whatever the named kernel does."""
    scenario = evolve(VMALLOC, kernel=evolve(VMALLOC.kernel, pools=False, decay="none"))
    outcome = in_cluster(scenario, tmp_path / "out")
    assert broken(outcome) == {}
    assert not any(node.pooled for node in outcome.areas)


def test_vmalloc_loses_nothing_by_kill_9(tmp_path: Path) -> None:
    """Purges go on where they were: what a node has detached is in its journal, too."""
    crashes = [Crashes(actor=f"node/{node}", at_ns=200_000_000, down_ns=1) for node in (0, 2)]
    faults = Faults(timeout_ns=500_000_000, deadline_ns=120 * 10**9, crashes=crashes)
    scenario = evolve(VMALLOC, workload=evolve(VMALLOC.workload, operations=700), faults=faults)
    outcome = in_cluster(scenario, tmp_path / "out", tmp_path / "state")
    assert broken(outcome) == {}
    assert outcome.cluster["lives"] > 2, "nobody was killed"


def test_the_homes_tell_a_cluster_which_areas_have_moved(tmp_path: Path) -> None:
    """A run whose areas migrate leaves each where the virtual run does; without what homes say, none is at home."""
    migrations = Migration(share=0.5)
    scenario = evolve(MIX, workload=evolve(MIX.workload, kind="migrate", migrate=migrations))
    virtual, cluster = simulate(scenario, tmp_path), in_cluster(scenario, tmp_path / "out", tmp_path / "state")
    assert broken(cluster) == {}
    assert [node.moved for node in cluster.areas] == [node.moved for node in virtual.areas]
    moved = sum(len(node.moved) for node in cluster.areas)
    assert moved > 20
    untold = Evidence(
        layout=ZoneLayout(4, scenario.space.zone_size),
        nodes={node.node_id: node.busy for node in cluster.areas},
        free=None,
        space=SPACE,
        history=cluster.recorder.history,
    )
    assert home_node(untold).count == moved


def test_a_batch_that_no_message_holds_is_refused_by_its_key(tmp_path: Path) -> None:
    """A session of a batch is one message."""
    mix = evolve(MIX.workload.mix, find=0.4, insert=0.1, unlink=0.1, insert_batch=0.4)
    workload = evolve(MIX.workload, mix=mix, operations=20)
    batch = evolve(MIX.batch, strategy="global", areas=60_000)
    with pytest.raises(
        BadInput, match=r"batch\.areas: found 60000, and oversized frame: Ask has .*; allowed: batches"
    ):
        in_cluster(evolve(MIX, workload=workload, batch=batch), tmp_path)


def test_a_member_that_is_late_is_spoken_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that never comes is the end."""
    monkeypatch.setattr(driving, "LATE_S", 0.0)
    monkeypatch.setattr(driving, "CONNECT_S", 0.3)
    endpoint = Endpoint(path=str(tmp_path / "nobody.sock"))
    members = Members([Hosted(endpoint, tuple(range(MIX.space.nodes)), free=False)], None)
    told: list[str] = []
    with pytest.raises(ExceptionGroup) as caught:
        driving.drive(MIX, tmp_path, lambda _free: members, waiting=told.append)
    assert "no member there in 0.3 s" in str(first_of(caught.value))
    assert [text.partition(", up to")[0] for text in told] == [f"waiting for the member at {endpoint}"]


@pytest.mark.slow
def test_the_shipped_migrations_pass_in_a_cluster(tmp_path: Path) -> None:
    """Every variant of configs/migrate.toml, smaller: exit 0, all checks hold, and areas have moved."""
    smaller = ["--set", "workload.operations=400", "--set", "workload.preload_areas=200"]
    assert main(["cluster", f"{ROOT}/configs/migrate.toml", *smaller, "--out", str(tmp_path), "--quiet"]) == 0
    results = json.loads((tmp_path / "20 % of operations" / "results.json").read_text())
    assert results["checks"]["home_node"] == {"ok": True, "count": 0, "first": None}
    assert results["latency"]["migrate"]["count"] > 40


async def test_what_has_moved_is_listed_in_parts() -> None:
    """A desk asks until there is no more."""
    async with serving("tcp:127.0.0.1:0") as running, desk_at(running.endpoint) as desk:
        for start in (0, 0x20000, 0x40000):
            await desk.ask("node/0", Insert(VmapArea(start, start + 0x1000)), Inserted)
            await desk.ask("node/0", Migrate(0, start, 1), Unlinked)
        for limit in (1, 2, 3, 4):
            assert await desk.list_moved("node/0", 0, limit) == {0: 1, 0x20000: 1, 0x40000: 1}
        assert await desk.list_moved("node/1", 1, 1) == {}


# -- kill -9 ----------------------------------------------------------------------------------------


def killing(tmp_path: Path, seed: int, operations: int, mean_ns: int) -> Outcome:
    """Run a load in two processes that are killed again and again, and start again from their state."""
    scenario = evolve(
        MIX,
        seed=seed,
        machine=Machine(cpus=8),
        workload=evolve(
            MIX.workload,
            operations=operations,
            mix=Mix(find=0.2, insert=0.4, unlink=0.35, insert_batch=0.05, interior=0.3),
        ),
        faults=Faults(
            timeout_ns=500_000_000,
            deadline_ns=120 * 10**9,
            crashes=[
                Crashes(actor="node/0", at_ns=200_000_000, down_ns=1),  # however fast the machine is
                *(Crashes(actor=f"node/{node}", at_ns=300_000_000, every_ns=mean_ns, down_ns=1) for node in (0, 2)),
            ],
        ),
    )
    return in_cluster(scenario, tmp_path / "out", tmp_path / "state")


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    """Processes killed in mid-load: no insertion or removal lost or done twice, no operation failed."""
    outcome = killing(tmp_path, seed=1, operations=1500, mean_ns=2_500_000_000)
    assert broken(outcome) == {}, "seed 1"
    assert outcome.cluster["lives"] > 2, "nobody was killed"
    assert outcome.recorder.operations == 1500
    assert not outcome.recorder.failed


@pytest.mark.slow
def test_fifty_kills_lose_nothing(tmp_path: Path) -> None:
    """The same, 50 times and more, some of them while a process is still starting."""
    kills, seed = 0, 100
    while kills < 50:
        seed += 1
        folder = tmp_path / str(seed)
        folder.mkdir()
        outcome = killing(folder, seed=seed, operations=8_000, mean_ns=3_000_000_000)
        deaths = outcome.cluster["lives"] - outcome.cluster["processes"]
        kills += deaths
        print(
            f"seed {seed}: {deaths} kills, {outcome.recorder.operations} operations, {broken(outcome) or 'green'}"
        )
        assert broken(outcome) == {}, f"seed {seed}"
        assert not outcome.recorder.failed, f"seed {seed}"
    print(f"{kills} kills")


# -- full disks -------------------------------------------------------------------------------------


def listing(node: int, start: int) -> ListAreas:
    return ListAreas(node, start, 100)


async def fill_and_free(tmp_path: Path, seed: int, rounds: int) -> None:
    """Serve with state; in each round the disk is full for a while, as the kernel's file size limit makes it."""
    random, socket, state = Random(seed), tmp_path / "s", tmp_path / "state"
    command = [sys.executable, "-m", "sim", "serve", "--nodes", "0-1/2", "--free", "--until-eof"]
    command += ["--listen", f"unix:{socket}", "--state", str(state)]
    acknowledged: list[VmapArea] = []
    for number in range(rounds):
        process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            hurried = Patience(timeout_ns=200_000_000, deadline_ns=600_000_000)
            endpoint = Endpoint(path=str(socket))
            async with desk_at(endpoint) as desk:
                for _ in range(random.randrange(1, 20)):
                    start = 0x1000 * (len(acknowledged) + 1)
                    area = VmapArea(start, start + 0x1000)
                    await desk.ask(f"node/{start // 0x10000 % 2}", Insert(area), Inserted)
                    acknowledged.append(area)
                last = acknowledged[-1]
                home = last.va_start // 0x10000 % 2
                size = (state / f"node-{home}.sqlite-wal").stat().st_size
                _soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))
                async with desk_at(endpoint, patience=hurried) as hasty:
                    with pytest.raises(NoAnswer, match=r"storage: .*node-\d.sqlite: .*(full|I/O)"):
                        await hasty.ask(
                            f"node/{home}", Insert(VmapArea(2**40 + home * 0x10000, 2**40 + 0x11000)), Inserted
                        )
                assert await desk.ask(f"node/{home}", Find(home, last.va_start), Found) == Found(last)
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
                listed = []
                for node in (0, 1):
                    listed += await desk.list_areas(f"node/{node}", partial(listing, node))
                assert sorted(listed, key=lambda area: area.va_start) == acknowledged, (
                    f"seed {seed}, round {number}"
                )
        finally:
            process.send_signal(random.choice([signal.SIGKILL, signal.SIGTERM]))
            await process.wait()
            assert process.stdin is not None
            await process.stdin.aclose()


async def test_a_full_disk_fails_requests_clearly_and_loses_nothing(tmp_path: Path) -> None:
    """Changes are told why not, lookups are answered, and what was acknowledged is there, after a restart too."""
    await fill_and_free(tmp_path, seed=1, rounds=2)


@pytest.mark.slow
async def test_ten_rounds_with_a_full_disk(tmp_path: Path) -> None:
    """The same, ten times in a row on one state."""
    print("seed 2")
    await fill_and_free(tmp_path, seed=2, rounds=10)


# -- the command line -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serve", "--nodes", "0-3", "--listen", "unix:s"], "--nodes: found '0-3'; allowed: node ids"),
        (["serve", "--nodes", "0-8/8", "--listen", "unix:s"], "--nodes: found '0-8/8'; allowed: ids from 0"),
        (["serve", "--nodes", "0/2", "--listen", "unix:s", "--one-lock"], "--one-lock: found 1 of 2 nodes"),
        (
            ["serve", "--nodes", "0/1", "--listen", "tcp:0.0.0.0:1"],
            "outside loopback, without TLS; allowed: loopback",
        ),
        (["serve", "--nodes", "0/1", "--listen", "pipe:x"], "--listen: found 'pipe:x'; allowed: unix:PATH"),
        (["serve", "--nodes", "0/1", "--listen", "unix:s", "--tls-cert", "x"], "found some of them"),
        (["serve", "--nodes", "0/1", "--listen", "unix:s", "--kernel", "5.4"], "space.kernel: found '5.4'"),
        (["serve", "--nodes", "0/1", "--listen", "unix:s", "--choose", "pools=7"], "kernel.pools: found 7"),
        (["drive", "s.toml", "--members", "none.toml"], "none.toml: found no such file"),
        (["drive", "s.toml", "--members", "m.toml"], "m.toml: member: found node 1 in 0 members"),
        (
            ["drive", "s.toml", "--members", "odd.toml"],
            "odd.toml: member.0.nodes: found 4 nodes in all; allowed: 2",
        ),
        (["drive", "s.toml", "--members", "key.toml"], "key.toml: member.0.node: found an unknown key"),
        (
            ["cluster", "s.toml", "--set", "faults.crashes=[{every_ns=5}]"],
            "faults.crashes: found crashes, and no --state",
        ),
        (["cluster", "s.toml", "--set", "faults.slow=[{actor='node/7'}]"], "faults.slow.0.actor: found 'node/7'"),
        (["cluster", "s.toml", "--set", "faults.messages=[{loss=2.0}]"], "faults.messages.0.loss: found 2.0"),
        (["cluster", "s.toml", "--set", "faults.messages={loss=2.0}"], "faults.messages: found {'loss': 2.0}"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2; where, what was found and what is allowed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text("[space]\nnodes = 2\n")
    (tmp_path / "m.toml").write_text('[[member]]\naddress = "unix:x"\nnodes = "0/2"\n')
    (tmp_path / "odd.toml").write_text('[[member]]\naddress = "unix:x"\nnodes = "0-3/4"\n')
    (tmp_path / "key.toml").write_text('[[member]]\naddress = "unix:x"\nnode = "0-3/4"\n')
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert told in errors
    assert errors.startswith("vmapsim: ")
    assert len(errors.splitlines()) == 1


def test_serve_and_drive_from_two_shells(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A served member is driven, results.json says "cluster"; driven again it is refused: it is not empty."""
    (tmp_path / "s.toml").write_text(
        "[space]\nnodes = 2\n[machine]\ncpus = 2\n[workload]\noperations = 100\npreload_areas = 10\n"
    )
    (tmp_path / "m.toml").write_text(f'[[member]]\naddress = "unix:{tmp_path}/x"\nnodes = "0-1/2"\n')
    command = [sys.executable, "-m", "sim", "serve", "--nodes", "0-1/2", "--listen", f"unix:{tmp_path}/x"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT) as process:
        try:
            drive = ["drive", f"{tmp_path}/s.toml", "--members", f"{tmp_path}/m.toml", "--out", f"{tmp_path}/out"]
            assert main(drive) == 0
            results = json.loads((tmp_path / "out" / "results.json").read_text())
            assert (results["engine"], results["operations"]) == ("cluster", 100)
            assert {name: check["ok"] for name, check in results["checks"].items()} == dict.fromkeys(
                results["checks"], True
            )
            capfd.readouterr()
            assert main(drive) == 2
            assert "areas; allowed: members without areas" in capfd.readouterr().err
        finally:
            process.terminate()
            _out, log = process.communicate()
    assert process.returncode == 0
    assert [json.loads(line)["event"] for line in log.splitlines()] == ["listening", "stopped"]
    assert not os.path.lexists(tmp_path / "x")
