"""What the heap holds, and how an actor's trio task sleeps while the conductor acts for it."""

from typing import Any, Protocol, TypeAlias

import trio


class Caller(Protocol):
    """Who waits for a reply: a port, or one branch of its parallel calls."""

    cpu: int
    queue_ns: int
    service_ns: int

    def step(self, now_ns: int, caller: Any, message: Any) -> "Entry | None":
        """Take the reply."""
        ...

    def fail(self, now_ns: int, error: Exception) -> "Entry | None":
        """Take an error instead."""
        ...


class Target(Protocol):
    """Whom an entry of the heap is for."""

    def step(self, now_ns: int, caller: Any, message: Any) -> "Entry | None":
        """Do what is due at `now_ns`; give the entry that this causes, if any."""
        ...


Entry: TypeAlias = tuple[int, int, Target, Caller | None, Any]
"""Time, sequence, target, caller, message. The sequence is unique: nothing after it is ever compared."""


class Thrown:
    """An entry whose message is an error, to be raised at a caller."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def step(self, now_ns: int, _caller: object, error: Exception) -> "Entry | None":
        """Raise the error where the caller waits."""
        return self._caller.fail(now_ns, error)


class Parked:
    """An actor's trio task while the conductor acts for it."""

    def __init__(self) -> None:
        self._wake = trio.Event()
        self._left = trio.Event()
        self._error: BaseException | None = None

    async def wait(self) -> None:
        """Park the actor's task; raises what went wrong in a step."""
        try:
            await self._wake.wait()
        finally:
            self._left.set()
        if self._error is not None:
            raise self._error

    def wake(self, error: BaseException | None = None) -> None:
        """Let the task go on, or fail with `error`."""
        self._error = error
        self._wake.set()

    async def has_left(self) -> None:
        """Wait until the task is no longer parked."""
        await self._left.wait()


class Attention(Exception):
    """An actor's task has to run before the conductor may go on."""

    def __init__(self, parked: Parked) -> None:
        self.parked = parked
