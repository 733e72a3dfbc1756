"""The agenda: what will happen and when, and the trio tasks that sleep meanwhile.

A heap of `(time_ns, sequence, target, caller, message)`. Stepping the target of the earliest entry gives the one
entry that this causes, or None, which takes its place.
"""

from heapq import heappop, heappush, heapreplace
from itertools import count
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


class Agenda:
    """What will happen, in the order of (time, sequence)."""

    def __init__(self) -> None:
        self.now_ns = 0
        """The time of the latest event."""
        self.events = 0
        """Events so far."""
        self.next_sequence = count(1).__next__
        """Gives the place of a new entry among those of its time."""
        self._heap: list[Entry] = []

    def __len__(self) -> int:
        return len(self._heap)

    def run(self, most: int) -> Parked | None:
        """Step up to `most` events; give the task that has to run before the next one, if any."""
        heap = self._heap
        attention = None
        done = 0
        try:
            for done in range(1, most + 1):  # noqa: B007 (read after the loop)
                self.now_ns, _sequence, target, caller, message = heap[0]
                caused = target.step(self.now_ns, caller, message)
                if caused is None:
                    heappop(heap)
                else:
                    heapreplace(heap, caused)
        except Attention as raised:
            heappop(heap)
            attention = raised.parked
        except IndexError:
            if heap:
                raise
            done -= 1
        self.events += done
        return attention

    def push(self, time_ns: int, target: Target, message: Any = None) -> None:
        """Let `target` be stepped with `message` at `time_ns`, which is not in the past."""
        heappush(self._heap, (time_ns, self.next_sequence(), target, None, message))

    def push_entry(self, entry: Entry) -> None:
        """Let `entry` happen."""
        heappush(self._heap, entry)
