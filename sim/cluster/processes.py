"""What `cluster` does: start a serve process for each member, kill them when faults say so, stop them.

A process that dies by itself is started again from its state, with backoff; without a state there is nothing to
start from, and the run ends. Each process has a pipe of ours as its stdin and stops when that ends: none
outlives us, however we end.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import trio
from attrs import evolve

from actors.cluster.endpoint import Endpoint
from actors.supervision import Backoff, supervise
from actors.world import Address
from protocol import strategies
from protocol.errors import VmapsimError
from protocol.freed import RULES
from protocol.kernel import KERNELS
from protocol.messages import LIST_MOST
from sim import extensions
from sim.cluster.driving import drive
from sim.cluster.hosting import deal
from sim.cluster.members import Hosted, Members
from sim.errors import BadInput
from sim.outcome import Outcome, Progress
from sim.scenario import Scenario
from sim.simulation import strategy_of

STOP_S = 10.0
"""How long a process may take to stop before it is killed."""


class ProcessDied(VmapsimError):
    """A serve process ended by itself."""


class Process:
    """One member's process, through all its lives."""

    def __init__(self, hosted: Hosted, arguments: Sequence[str], log: Path, *, durable: bool) -> None:
        self.hosted = hosted
        self.lives = 0
        self._arguments = arguments
        self._log = log
        self._durable = durable
        self._process: trio.Process | None = None
        self._down_ns: int | None = None
        self._stopping = False

    async def run(self) -> None:
        """Keep the process alive until it is stopped. Raises `ProcessDied` when it cannot be."""
        try:
            await supervise(self._live, Backoff(), time.perf_counter_ns, self._pause, self._on_death)
        finally:
            if self._process is not None:
                self._process.kill()
                with trio.CancelScope(shield=True):  # who is killed and not waited for stays a zombie
                    await self._process.wait()

    def crash(self, down_ns: int) -> None:
        """Kill the process, as a power failure would (SIGKILL); it is started again after `down_ns`."""
        if self._process is not None and self._process.returncode is None:
            self._down_ns = down_ns
            self._process.kill()

    async def stop(self) -> None:
        """Let the process end in order."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            with trio.move_on_after(STOP_S):
                await self._process.wait()

    def last_words(self) -> dict[str, Any]:
        """Give what the process logged when it stopped: what group commit did in its last life."""
        for line in reversed(self._log.read_text(encoding="utf-8").splitlines()):
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if isinstance(told, dict) and told.get("event") == "stopped":
                return dict(told["commits"])
        return {}

    async def _live(self) -> None:
        """Live once."""
        self.lives += 1
        with self._log.open("ab") as log:
            command = [sys.executable, "-P", "-m", "sim", "serve", "--until-eof", *self._arguments]
            self._process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stderr=log, stdout=log)
        try:
            code = await self._process.wait()
        finally:
            if self._process.stdin is not None:
                await self._process.stdin.aclose()
        if not self._stopping:
            raise ProcessDied(f"{self.hosted.endpoint}: the process ended with {code}; its log is {self._log}")

    def _on_death(self, error: Exception, _pause_ns: int) -> None:
        if not isinstance(error, ProcessDied) or not self._durable:
            raise error
        if self._down_ns is None and self._process is not None and self._process.returncode == 2:
            raise error  # it refused its arguments or its state, and will again

    async def _pause(self, ns: int) -> None:
        down_ns, self._down_ns = self._down_ns, None
        await trio.sleep((ns if down_ns is None else down_ns) / 1e9)


class Cluster:
    """The processes of one run."""

    def __init__(
        self, scenario: Scenario, processes: int, folder: Path, sockets: Path, state: Path | None, one_lock: bool
    ) -> None:
        """Plan `processes` members, with logs in `folder`; with a strategy that needs one lock, one of them."""
        self._scenario = scenario
        self._folder = folder
        self._sockets = sockets
        self._state = state
        self._one_lock = one_lock
        nodes = range(scenario.space.nodes)
        self._dealt = [tuple(nodes)] if one_lock else deal(nodes, min(processes, len(nodes)))
        self.processes: list[Process] = []

    def members(self, needs_free: bool) -> Members:
        """Plan the members; the first one hosts the free space, where it is needed."""
        hosted = []
        for index, node_ids in enumerate(self._dealt):
            endpoint = Endpoint(path=str(self._sockets / f"{index}.sock"))
            member = Hosted(endpoint, node_ids, free=needs_free and index == 0)
            hosted.append(member)
            log = self._folder / f"serve-{index}.jsonl"
            log.write_bytes(b"")
            arguments = self._arguments(member, index)
            self.processes.append(Process(member, arguments, log, durable=self._state is not None))
        return Members(hosted, None)

    async def around(self, drive: Callable[[], Awaitable[None]]) -> None:
        """Run `drive` while the processes live; they are stopped when it is over."""
        async with trio.open_nursery() as nursery:
            for process in self.processes:
                nursery.start_soon(process.run)
            await drive()
            async with trio.open_nursery() as stopping:
                for process in self.processes:
                    stopping.start_soon(process.stop)
            nursery.cancel_scope.cancel()

    def crash(self, address: Address, down_ns: int) -> None:
        """Kill the process that hosts `address`, and the other actors in it."""
        for process in self.processes:
            if address in process.hosted.addresses(self._one_lock):
                process.crash(down_ns)

    def facts(self, wall_s: float) -> dict[str, Any]:
        """Say what the processes did: lives, and what group commit did in those that ended in order."""
        commits = [words for process in self.processes if (words := process.last_words())]
        facts: dict[str, Any] = {
            "processes": len(self.processes),
            "lives": sum(process.lives for process in self.processes),
        }
        if self._state is not None:
            total = {key: sum(one[key] for one in commits) for key in ("commits", "requests", "seconds")}
            facts["group_commit"] = {
                **total,
                "largest": max((one["largest"] for one in commits), default=0),
                "requests_per_commit": round(total["requests"] / max(1, total["commits"]), 2),
                "commits_per_s": round(total["commits"] / max(wall_s, 1e-9), 1),
            }
        return facts

    def _arguments(self, member: Hosted, index: int) -> list[str]:
        space = self._scenario.space
        ids = ",".join(map(str, member.node_ids))
        arguments = ["--nodes", f"{ids}/{space.nodes}", "--listen", str(member.endpoint)]
        arguments += ["--zone-size", str(space.zone_size), "--page-size", str(space.page_size)]
        arguments += ["--kernel", space.kernel, "--areas", str(LIST_MOST)]
        named, chosen = KERNELS[space.kernel], self._scenario.chosen_kernel
        for name in RULES:
            if (value := getattr(chosen, name)) != getattr(named, name):
                arguments += ["--choose", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
        arguments += extensions.words()
        arguments += ["--one-lock"] if self._one_lock else []
        arguments += ["--free"] if member.free else []
        if self._state is not None:
            arguments += ["--state", str(self._state / str(index))]
        return arguments


def run_cluster(
    scenario: Scenario, beside: Path, folder: Path, processes: int, state: Path | None, progress: Progress
) -> Outcome:
    """Run a scenario in `processes` of its own, with their logs in `folder`.

    Raises `BadInput`, `ProcessDied`, and what `drive` raises.
    """
    if scenario.faults.crashes and state is None:
        raise BadInput("faults.crashes", "crashes, and no --state", "a folder to start again from")
    one_lock = strategies.needs_one_lock(strategy_of(scenario))
    with tempfile.TemporaryDirectory(prefix="vmapsim-") as sockets:
        cluster = Cluster(scenario, processes, folder, Path(sockets), state, one_lock)
        outcome = drive(
            scenario, beside, cluster.members, progress=progress, crash=cluster.crash, around=cluster.around
        )
        return evolve(outcome, cluster={**outcome.cluster, **cluster.facts(outcome.wall_s)})
