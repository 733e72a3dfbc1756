"""Driving a script on the wall clock: what the live world and the cluster have in common."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from actors.errors import ActorGone, NotACommand
from actors.world import Attempts, Call, Outcome, Port, Script
from protocol.messages import Reply


async def run_script(
    script: Script,
    port: Port,
    now_ns: Callable[[], int],
    call_all: Callable[[list[Call]], Awaitable[list[Reply]]],
    attempt_all: Callable[[Attempts], Awaitable[list[Outcome]]],
) -> None:
    """Run a script to its end, carrying out the commands it yields; raises what it raises."""
    coroutine = script(port)
    resume = partial(coroutine.send, None)
    try:
        while True:
            port.now_ns = now_ns()
            try:
                command: Any = resume()
            except StopIteration:
                return
            try:
                resume = partial(coroutine.send, await _obey(command, call_all, attempt_all))
            except (ActorGone, NotACommand) as error:
                # When everybody is being cancelled, that a server has gone already is no failure.
                await trio.lowlevel.checkpoint_if_cancelled()
                port.forget()
                resume = partial(coroutine.throw, error)
    finally:
        coroutine.close()


async def _obey(
    command: object,
    call_all: Callable[[list[Call]], Awaitable[list[Reply]]],
    attempt_all: Callable[[Attempts], Awaitable[list[Outcome]]],
) -> Any:
    match command:
        case tuple():
            return (await call_all([command]))[0]
        case Attempts():
            return await attempt_all(command)
        case list():
            return await call_all(command)
        case int():
            await trio.sleep(command / 1e9)
        case trio.Event():
            await command.wait()
        case _:
            raise NotACommand(command)
    return None


class Gathering:
    """Outcomes of several attempts, as they come in; the last is the critical path."""

    __slots__ = ("_gathered", "_missing", "outcomes", "queue_ns", "service_ns")

    def __init__(self, attempts: int, gathered: "Callable[[Gathering], None]") -> None:
        """Gather so many outcomes; `gathered` is told once, when all are there or their time is over."""
        self.outcomes: list[Outcome] = [None] * attempts
        self.queue_ns = 0
        self.service_ns = 0
        self._missing = set(range(attempts))
        self._gathered = gathered

    @property
    def is_whole(self) -> bool:
        """Whether nothing is waited for any more."""
        return not self._missing

    def settle(self, index: int, outcome: Outcome, queue_ns: int = 0, service_ns: int = 0) -> None:
        """Take what became of an attempt; of several copies of an answer, the first."""
        if index in self._missing:
            self._missing.remove(index)
            self.outcomes[index] = outcome
            self.queue_ns, self.service_ns = queue_ns, service_ns
            if not self._missing:
                self._gathered(self)

    def expire(self) -> None:
        """Wait no more: what is missing has no outcome."""
        if self._missing:
            self._missing.clear()
            self._gathered(self)
