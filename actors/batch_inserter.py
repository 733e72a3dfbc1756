"""The per-CPU batch inserter: collects areas and inserts them in the lock sessions of its strategy.

Mirrors the last loop of `pcpu_get_vm_areas()`, where the review asks whether the lock must be taken for
each area. Areas that are collected are in no tree until they are flushed; whoever needs one of them to be
found flushes first.
"""

from collections.abc import Generator, Sequence

from actors.errors import expect
from actors.router import Router
from actors.world import Call, Port
from protocol.area import VmapArea
from protocol.messages import Insert, InsertBatch, Inserted
from protocol.strategies import Conversation, LockSession, Met, Strategy, StrategyBroken, adaptation, breach


class BatchInserter:
    """Inserts areas for one CPU; `capacity` is how many it collects before `add` says it is full."""

    def __init__(self, router: Router, strategy: Strategy, capacity: int) -> None:
        self._router = router
        self._strategy = strategy
        self._adapt = adaptation(strategy)
        self._capacity = capacity
        self.collected: list[VmapArea] = []
        self.sessions = 0
        self.areas = 0

    def add(self, area: VmapArea) -> bool:
        """Collect `area`; tell whether it is time to `flush`."""
        self.collected.append(area)
        return len(self.collected) >= self._capacity

    def holds(self, addr: int) -> bool:
        """Tell whether an area that contains `addr` is still waiting to be inserted."""
        return any(addr in area for area in self.collected)

    async def flush(self, port: Port) -> tuple[VmapArea, ...]:
        """Insert what has been collected and give it back, empty if there was nothing."""
        areas, self.collected = tuple(self.collected), []
        await self.insert(port, areas)
        return areas

    async def insert(self, port: Port, areas: Sequence[VmapArea]) -> None:
        """Insert `areas`, round by round; returns when the last session is acknowledged.

        Raises `RequestRefused` when a node refuses a session; the sessions before it stand. Raises `StrategyBroken`
        when the strategy gives no lock sessions.
        """
        if self._adapt is not None:
            conversation = self._adapt(areas, self._router.layout)
            if not isinstance(conversation, Generator):
                raise StrategyBroken(self._strategy, f"gives {conversation!r} for a conversation")
            await self._converse(port, conversation)
            return
        rounds = self._strategy(areas, self._router.layout)
        if not isinstance(rounds, tuple):
            raise StrategyBroken(self._strategy, breach(rounds))
        for sessions in rounds:
            await self._insert_round(port, sessions)

    async def _converse(self, port: Port, conversation: Conversation) -> None:
        """Insert round by round, and tell the strategy what each met."""
        sessions = next(conversation, None)
        while sessions is not None:
            waited_ns, held_ns = port.queue_ns, port.service_ns
            await self._insert_round(port, sessions)
            try:
                sessions = conversation.send(Met(port.queue_ns - waited_ns, port.service_ns - held_ns))
            except StopIteration:
                sessions = None

    async def _insert_round(self, port: Port, sessions: Sequence[LockSession]) -> None:
        try:
            calls = [self._call(session) for session in sessions]
            self.sessions += len(sessions)
            self.areas += sum(len(session.areas) for session in sessions)
        except (AttributeError, TypeError):
            if broken := breach((sessions,)):
                raise StrategyBroken(self._strategy, broken) from None
            raise
        port.probes += len(sessions)
        replies = [await port.call(*calls[0])] if len(calls) == 1 else await port.call_all(calls)
        for reply in replies:
            expect(reply, Inserted)
        if self._router.told is not None:
            await self._router.tell(port, [area for session in sessions for area in session.areas])

    def _call(self, session: LockSession) -> Call:
        addresses = self._router.addresses
        if not 0 <= session.node_id < len(addresses):
            broken = f"gives a session for node {session.node_id}, of {len(addresses)}"
            raise StrategyBroken(self._strategy, broken)
        one = len(session.areas) == 1
        return (
            addresses[session.node_id],
            Insert(session.areas[0]) if one else InsertBatch(session.areas),
        )
