"""A sleeping lock for scripts: those who wait are served in the order in which they came.

Mirrors a kernel mutex as far as its users see it: `vmap_purge_lock` is one. It is made of signals, so it works in
every world; its statistics are those of a lock.
"""

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from actors.lock import FifoLock
from actors.world import Port, Signal

NewSignal: TypeAlias = Callable[[], Signal]


class Mutex:
    """A FIFO mutex; its holder is a script, and releases it itself."""

    def __init__(self, new_signal: NewSignal, statistics: FifoLock) -> None:
        self._new_signal = new_signal
        self._statistics = statistics
        self._waiting: deque[Signal] = deque()
        self._arrival_ns = self._since_ns = 0
        self.is_held = False

    async def acquire(self, port: Port) -> None:
        """Wait for the mutex and take it; the time counts as spent in a queue.

        Not safe under cancellation: a script that is cancelled while it waits or holds leaves it taken.
        """
        arrival_ns = port.now_ns
        if self.is_held:
            turn = self._new_signal()
            self._waiting.append(turn)
            await port.wait(turn)
            port.queue_ns += port.now_ns - arrival_ns
        self.is_held = True
        self._arrival_ns, self._since_ns = arrival_ns, port.now_ns

    def release(self, port: Port) -> None:
        """Hand the mutex to who has waited longest, if anybody."""
        assert self.is_held, "released by nobody"
        self._statistics.record(port.cpu, self._arrival_ns, self._since_ns, port.now_ns)
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self.is_held = False
