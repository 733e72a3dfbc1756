"""Faults, as a world sees them: which copies of a message arrive and when, who crashes, who is slow.

A world asks for each message; what it is told is drawn elsewhere (`sim.faults`), from the run's seed.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import trio
from attrs import frozen

from actors.world import Address


@frozen
class Crash:
    """An actor crashes at `at_ns`: what is under way for it is lost; it starts again `down_ns` later."""

    at_ns: int
    address: Address
    down_ns: int


class Faults(Protocol):
    """The shape of a plan of faults."""

    def fates(self, source: str, target: str, now_ns: int) -> Sequence[int]:
        """Give the extra nanoseconds after which each copy of a message arrives; none for a lost one.

        Actors are named as they are addressed, clients "cpu/3". Asked once per message, in the order of sending.
        """
        ...

    def slowdown(self, address: Address, now_ns: int) -> int:
        """Give how many times as long as usual an actor takes now, at least 1."""
        ...

    def crashes(self) -> Iterator[Crash]:
        """Give all crashes in the order of time; there may be no end to them."""
        ...

    def crashed(self, address: Address) -> None:
        """Note that an actor has crashed; of one that is down already, a crash is none."""
        ...


class Carrier:
    """Carries messages on the wall clock, the way a plan of faults says."""

    def __init__(self, faults: Faults | None, now_ns: Callable[[], int]) -> None:
        self._faults = faults
        self._now_ns = now_ns
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Hold what is delayed, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    @property
    def is_perfect(self) -> bool:
        """Whether every message arrives once and at once."""
        return self._faults is None

    def carry(self, source: str, target: str, deliver: Callable[[], object], extra_ns: int = 0) -> None:
        """Call `deliver` for each copy of a message that arrives, when it does; at once where nothing is wrong."""
        fates = (0,) if self._faults is None else self._faults.fates(source, target, self._now_ns())
        for delay_ns in fates:
            if delay_ns + extra_ns:
                assert self._nursery is not None, "a delay before the carrier runs"
                self._nursery.start_soon(_later, delay_ns + extra_ns, deliver)
            else:
                deliver()

    def slowed(self, address: Address, service_ns: int) -> int:
        """Give how much longer an actor takes for what took it `service_ns`."""
        return 0 if self._faults is None else service_ns * (self._faults.slowdown(address, self._now_ns()) - 1)


async def _later(delay_ns: int, deliver: Callable[[], object]) -> None:
    await trio.sleep(delay_ns / 1e9)
    deliver()
