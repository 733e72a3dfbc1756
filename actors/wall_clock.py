"""Time that passes by itself, and who is driven in it: what the live world and the cluster have in common."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from actors.world import Observer, Port

PAUSE_S = 0.1
"""Seconds between two pauses, in which what has happened is looked at."""


class Keeper(Protocol):
    """What has to run while scripts do."""

    async def __call__(self, task_status: trio.TaskStatus[None]) -> None:
        """Run until cancelled; scripts begin when all keepers have started."""
        ...


class WallClock:
    """The wall time since scripts began, all of them together, and who of them is still under way."""

    def __init__(self, observer: Observer, pause: Callable[[], None]) -> None:
        """Measure for `observer`; `pause` is called every `PAUSE_S` seconds."""
        self.begun = trio.Event()
        """Set when scripts begin."""
        self._observer = observer
        self._pause = pause
        self._driven = 0
        self._over = trio.Event()
        self._zero_ns = time.perf_counter_ns()

    @property
    def now_ns(self) -> int:
        """The wall time since the scripts began."""
        return time.perf_counter_ns() - self._zero_ns

    async def drive(
        self, cpu: int, run: Callable[[Port], Awaitable[None]], task_status: trio.TaskStatus[None]
    ) -> None:
        """See `Driving.drive`: `run` carries out a script through its port, once all begin."""
        self._driven += 1
        task_status.started()
        try:
            await self.begun.wait()
            await run(Port(cpu, self._observer.completed, self._observer.failed))
        finally:
            self._observer.left(cpu)
            self._driven -= 1
            if not self._driven:
                self._over.set()

    async def conduct(self, *keepers: Keeper) -> None:
        """See `Driving.conduct`: let the scripts begin, and pause now and then until they are over."""
        async with trio.open_nursery() as nursery:
            for keeper in keepers:
                await nursery.start(keeper)
            self._zero_ns = time.perf_counter_ns()
            self.begun.set()
            while self._driven:
                with trio.move_on_after(PAUSE_S):
                    await self._over.wait()
                self._pause()
            nursery.cancel_scope.cancel()
