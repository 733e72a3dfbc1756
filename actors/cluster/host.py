"""Actors in a process: each owns a machine, takes its inbox a batch at a time, and answers what is on disk.

An actor without a journal has nothing to wait for: it is stepped where its requests come in, as in virtual time,
and its own task is parked, to fail when its machine does. An actor with one works in batches. A batch is all that
waits in the inbox. Its requests are served one after the other; when they have changed something, the changes are
committed as one, in a worker thread, and only then is any of them answered, lookups too: they may have seen what
was not on disk yet. What arrives meanwhile is the next batch (group commit): the slower the disk, the larger the
batches.

When the disk refuses a commit, the machine is made again from the journal, as if the batch had never been, and
its requests are told "storage". Until the next attempt, after a pause, changes are refused at once.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import trio
from attrs import define, frozen

from actors.cluster.store import StorageFailed, Store
from actors.errors import ActorFailed
from actors.supervision import Backoff, supervise
from actors.world import Address
from protocol.codec import encode_envelope
from protocol.envelopes import Journaled
from protocol.machine import Machine, requests_of
from protocol.messages import Busy, OpenSession, Reply
from protocol.sessions import READING, Numbered, SessionMachine

BATCH: Final = 512
"""Most requests of a batch: others get their turn in between."""

INBOX: Final = 4096
"""Requests that wait at an actor before the connections that bring more have to wait."""


class Log(Protocol):
    """Where a server tells what happens to it."""

    def __call__(self, event: str, **facts: object) -> None:
        """Write a line."""
        ...


class Asker(Protocol):
    """Who asked; it may be gone by now, and then nobody hears the answer."""

    def answer(self, ask_id: int, queue_ns: int, service_ns: int, lock: str, reply: Reply) -> None:
        """Take the reply."""
        ...

    def fail(self, ask_id: int, reason: str, detail: str) -> None:
        """Take word that there is none."""
        ...


Served = tuple[int, int, str, Reply]
"""What serving took and gave: queue_ns, service_ns, lock, reply."""


@define(eq=False)
class Delivery:
    """A request that arrived for an actor."""

    ask_id: int
    numbered: Numbered
    arrived_ns: int
    timeout_ns: int
    asker: Asker
    behind: bool = False
    """Whether others were still to be served when it arrived: who was alone did not wait for the lock."""
    _told: bool = False

    def answer(self, served: "Served") -> None:
        """Give the reply."""
        self._told = True
        self.asker.answer(self.ask_id, *served)

    def fail(self, reason: str, detail: str) -> None:
        """Say that there is no reply, unless something has been said already."""
        if not self._told:
            self._told = True
            self.asker.fail(self.ask_id, reason, detail)


@define
class CommitStatistics:
    """What group commit did since the process started."""

    commits: int = 0
    requests: int = 0
    """Changing requests in them."""
    largest: int = 0
    """Most of them in one commit."""
    seconds: float = 0.0
    """In the worker thread."""


@frozen
class Plan:
    """An actor to host: where it is asked, how its machine is made, what its journal must say it is."""

    address: Address
    make: Callable[[], Machine]
    identity: dict[str, str]


class Actor:
    """A machine behind sessions, its inbox and its journal."""

    def __init__(self, plan: Plan, state: Path | None, log: Log) -> None:
        self.address = plan.address
        self._plan = plan
        self._path = None if state is None else state / f"{plan.address.replace('/', '-')}.sqlite"
        self._log = log
        self._kinds = (*requests_of(plan.make()), OpenSession)
        self._inbox: deque[Delivery] = deque()
        self._arrival = trio.Event()
        self._room = trio.Event()
        self._serving = False
        self._busy = False
        self._failure: ActorFailed | None = None
        self._journal: list[Journaled] = []
        self._store: Store | None = None
        self._machine = self._new_machine()
        self._storage_error = ""
        self._storage_retry_ns = 0
        self.commits = CommitStatistics()

    # -- the connections' side ------------------------------------------------------------------

    def deliver(self, delivery: Delivery) -> None:
        """Put a request into the inbox; it is answered in time or told why not."""
        if not isinstance(delivery.numbered.request, self._kinds):
            kind = type(delivery.numbered.request).__name__
            delivery.fail("unknown-kind", f"{self.address} does not serve {kind}")
        elif not self._serving:
            delivery.fail("restarting", f"{self.address} is not up")
        elif self._store is None:
            self._serve_at_once(delivery)
        else:
            delivery.behind = self._busy or bool(self._inbox)
            self._inbox.append(delivery)
            self._arrival.set()

    def _serve_at_once(self, delivery: Delivery) -> None:
        try:
            served = self._serve(delivery)
        except ActorFailed as failure:
            delivery.fail("restarting", f"{self.address} failed")
            self._serving = False
            self._failure = failure
            self._arrival.set()
        else:
            if served is not None:
                delivery.answer(served)

    @property
    def has_room(self) -> bool:
        """Whether the inbox takes more without anybody having to wait."""
        return len(self._inbox) < INBOX

    async def wait_room(self) -> None:
        """Wait until the inbox has room."""
        while not self.has_room:
            self._room = trio.Event()
            await self._room.wait()

    # -- the actor's own side -------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled, from the journal on where there is one.

        Raises `ActorFailed` when the machine raises, `StateRefused` and `StorageFailed` when its journal cannot be
        opened. What waits in the inbox then is told that the actor is down.
        """
        try:
            if self._path is not None:
                self._store = await trio.to_thread.run_sync(Store, self._path, self._plan.identity)
            await self._load()
            self._serving, self._failure = True, None
            ready()
            while True:
                self._busy = True
                while self._inbox:
                    await self._serve_batch()
                self._busy = False
                self._arrival = trio.Event()
                await self._arrival.wait()
                if self._failure is not None:
                    raise self._failure
        finally:
            self._serving = False
            for delivery in self._inbox:
                delivery.fail("restarting", f"{self.address} is down")
            self._inbox.clear()
            self._room.set()
            if self._store is not None:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self._store.close)
                self._store = None

    async def _load(self) -> None:
        """Make the machine from the journal, off the loop: other actors go on meanwhile."""
        self._machine = self._new_machine()
        self._journal.clear()
        if self._store is not None:
            await trio.to_thread.run_sync(self._machine.replay, self._store.entries())
            self._machine.journal = self._journal.append

    def _new_machine(self) -> SessionMachine:
        return SessionMachine(self._plan.make(), self.address)

    async def _serve_batch(self) -> None:
        inbox = self._inbox
        batch = [inbox.popleft() for _ in range(min(len(inbox), BATCH))]
        self._room.set()
        try:
            served = [(delivery, answer) for delivery in batch if (answer := self._serve(delivery)) is not None]
            if self._journal:
                await self._commit()
        except ActorFailed:
            for delivery in batch:
                delivery.fail("restarting", f"{self.address} failed")
            raise
        except StorageFailed as failure:
            self._log("storage failed", actor=self.address, error=str(failure))
            self._storage_error = str(failure)
            self._storage_retry_ns = time.perf_counter_ns() + Backoff().first_ns
            for delivery in batch:
                delivery.fail("storage", str(failure))
            await self._load()
        else:
            for delivery, answer in served:
                delivery.answer(answer)
            if self._inbox:
                await trio.lowlevel.checkpoint()

    def _serve(self, delivery: Delivery) -> Served | None:
        """Serve one request; None if it was told at once why not."""
        start_ns = time.perf_counter_ns()
        numbered = delivery.numbered
        queue_ns = start_ns - delivery.arrived_ns
        if queue_ns > delivery.timeout_ns:
            delivery.fail("deadline", f"waited {queue_ns} ns")
            return None
        if start_ns < self._storage_retry_ns and type(numbered.request) not in READING:
            delivery.fail("storage", self._storage_error)
            return None
        try:
            reply, work = self._machine.handle(numbered)
        except Exception as error:
            raise ActorFailed(self.address, numbered.request, error) from error
        if work.attempt and delivery.behind:
            return 0, 0, "", Busy()
        return queue_ns if delivery.behind else 0, time.perf_counter_ns() - start_ns, work.lock, reply

    async def _commit(self) -> None:
        """Have what the batch changed on disk."""
        assert self._store is not None, "a journal without a store"
        store, statistics = self._store, self.commits
        frames = b"".join(map(encode_envelope, self._journal))
        began_s = time.perf_counter()
        await trio.to_thread.run_sync(store.commit, frames)
        statistics.seconds += time.perf_counter() - began_s
        statistics.commits += 1
        statistics.requests += len(self._journal)
        statistics.largest = max(statistics.largest, len(self._journal))
        self._journal.clear()
        if store.wants_checkpoint:
            await self._checkpoint(store)

    async def _checkpoint(self, store: Store) -> None:
        """Shorten the journal, where the machine knows how; it is not needed for what was just committed."""
        entries = self._machine.rebuild()
        if entries is not None:
            try:
                await trio.to_thread.run_sync(store.checkpoint, entries)
            except StorageFailed as failure:
                self._log("checkpoint failed", actor=self.address, error=str(failure))


class Host:
    """The actors of this process."""

    def __init__(self, plans: Iterable[Plan], state: Path | None, log: Log, backoff: Backoff | None = None) -> None:
        """Host actors; with a folder `state` they are started again from their journals when they fail."""
        self.actors = {plan.address: Actor(plan, state, log) for plan in plans}
        self._durable = state is not None
        self._log = log
        self._backoff = backoff or Backoff()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run all actors until cancelled; started when all of them serve.

        Raises what an actor raises that has no journal to be started again from, or that never came up.
        """
        async with trio.open_nursery() as nursery:
            for actor in self.actors.values():
                await nursery.start(self._run, actor)
            task_status.started()

    async def _run(self, actor: Actor, task_status: trio.TaskStatus[None]) -> None:
        up = False

        def ready() -> None:
            nonlocal up
            if up:
                self._log("restarted", actor=actor.address)
            else:
                up = True
                task_status.started()

        def failed(error: Exception, pause_ns: int) -> None:
            if not up or not self._durable:
                raise error
            self._log("actor failed", actor=actor.address, error=str(error), restart_in_s=pause_ns / 1e9)

        run = partial(actor.run, ready)
        await supervise(run, self._backoff, time.perf_counter_ns, lambda ns: trio.sleep(ns / 1e9), failed)
