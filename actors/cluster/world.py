"""The cluster's world, as clients see it: the same scripts, whose calls go to other processes.

Scripts are patient (`actors.patience`), so what reaches this world are attempts: each is one ask on the link to
the member that hosts the address. Times are the client's; what an answer says of queue and service are the
server's durations, and the locks' statistics are what this world's clients met.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import trio

from actors.cluster.link import Link
from actors.driving import Gathering, run_script
from actors.errors import ActorGone
from actors.faults import Carrier, Faults
from actors.lock import FifoLock
from actors.patience import Patience, patient
from actors.world import Address, Attempts, Call, Observer, Outcome, Port, Script, Signal
from protocol.envelopes import Answer, Failed
from protocol.messages import Reply
from protocol.sessions import Numbered

Settled = Callable[..., None]
"""`Gathering.settle` of one attempt."""

PAUSE_S = 0.1
"""Seconds between two pauses, in which what has happened is looked at."""


class ClusterWorld:
    """A `Driving` over links to members."""

    def __init__(
        self,
        links: Mapping[Address, Link],
        patience: Patience,
        observer: Observer,
        pause: Callable[[], None],
        faults: Faults | None = None,
    ) -> None:
        """Reach each address over its link; `pause` is called every `PAUSE_S` seconds."""
        self._links = links
        self._patience = patience
        self.observer = observer
        self._pause = pause
        self._carrier = Carrier(faults, lambda: self.now_ns)
        self._driven = 0
        self._over = trio.Event()
        self._started = trio.Event()
        self._locks: dict[str, FifoLock] = {}
        self._zero_ns = time.perf_counter_ns()
        self.events = 0
        """Answers received."""

    @property
    def now_ns(self) -> int:
        """The wall time since the scripts began."""
        return time.perf_counter_ns() - self._zero_ns

    def signal(self) -> Signal:
        """See `Driving.signal`."""
        return trio.Event()

    async def drive(
        self,
        cpu: int,
        script: Script,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `Driving.drive`; scripts begin together, when the world is conducted."""
        self._driven += 1
        task_status.started()
        try:
            await self._started.wait()
            port = Port(cpu, self.observer.completed, self.observer.failed)
            await self.run_script(script, port)
        finally:
            self.observer.left(cpu)
            self._driven -= 1
            if not self._driven:
                self._over.set()

    async def conduct(self) -> None:
        """See `Driving.conduct`: time passes by itself, so this lets the scripts begin and pauses now and then."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._carrier.run)
            self._zero_ns = time.perf_counter_ns()
            self._started.set()
            while self._driven:
                with trio.move_on_after(PAUSE_S):
                    await self._over.wait()
                self._pause()
            nursery.cancel_scope.cancel()

    async def run_script(self, script: Script, port: Port) -> None:
        """Run a script now, patiently, whether or not the world is conducted."""
        await run_script(
            patient(script, self._patience), port, lambda: self.now_ns, _refuse_calls, partial(self._attempt, port)
        )

    async def _attempt(self, port: Port, attempts: Attempts) -> list[Outcome]:
        gathering = Gathering(len(attempts.asked))
        with trio.move_on_after(attempts.timeout_ns / 1e9):
            for index, (to, numbered) in enumerate(attempts.asked):
                await self._send(to, numbered, attempts.timeout_ns, port.cpu, partial(gathering.settle, index))
            await gathering.wait()
        port.queue_ns += gathering.queue_ns
        port.service_ns += gathering.service_ns
        return gathering.outcomes

    async def _send(self, to: Address, numbered: Numbered, timeout_ns: int, cpu: int, settle: Settled) -> None:
        link = self._links.get(to)
        if link is None:
            raise ActorGone(to)
        if self._carrier.is_perfect:
            await link.ask(to, numbered, timeout_ns, partial(self._receive, to, cpu, settle))
        else:
            receive = partial(self._receive, to, cpu, settle)
            self._carrier.carry(f"cpu/{cpu}", to, lambda: link.ask_nowait(to, numbered, timeout_ns, receive))

    def _receive(self, to: Address, cpu: int, settle: Settled, answer: Answer | Failed | None) -> None:
        if not isinstance(answer, Answer):
            settle(answer)
            return
        self.events += 1
        lock = self._locks.get(answer.lock)
        if lock is None:
            lock = self._locks[answer.lock] = self.observer.lock(answer.lock)
        lock.free_at_ns = answer.queue_ns  # as if it had arrived at 0
        lock.grant(cpu, 0, answer.service_ns)
        deliver = partial(settle, cast(Reply, answer.reply), answer.queue_ns, answer.service_ns)
        if self._carrier.is_perfect:
            deliver()
        else:
            self._carrier.carry(to, f"cpu/{cpu}", deliver, self._carrier.slowed(to, answer.service_ns))


async def _refuse_calls(calls: list[Call]) -> list[Reply]:
    raise AssertionError(f"a call that is no attempt: {calls}")
