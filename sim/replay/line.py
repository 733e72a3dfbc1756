"""The order of what happened, as far as it is known: applied to the kernel's state, and taken back.

What happens is a `Took` (an allocation got its address), a `Freed` (an area became lazy) or a `Purged` (a purge
went on until some step). Each is applied only if it is possible: an allocation must get the very address that the
kernel's line says from the model's own state. What is logged can be taken back and applied again in another
order.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from attrs import define

from protocol.kernel import Kernel
from sim.replay.past import Past
from sim.replay.purges import Step
from sim.replay.purging import Purging
from sim.replay.recording import Recording
from sim.replay.state import Held
from sim.traces.events import AllocEvent


@define
class Took:
    """An allocation got its address, on CPU `cpu`."""

    index: int
    cpu: int


@define
class Freed:
    """An area became lazy."""

    index: int


@define
class Purged:
    """A purge did all its steps up to and including `until`."""

    number: int
    until: Step
    now: bool = False
    """Whether lazy lists were taken at this very point; else they were at the instants that explain best."""


Happening: TypeAlias = Took | Freed | Purged

Source: TypeAlias = Literal["pool", "rotated", "free"]
"""Where an address comes from: the head of a pool; the free space, after a misaligned head was rotated; the free
space."""


@define
class Logged:
    """A happening, and the way back to before it."""

    mark: tuple[int, int]
    happening: Happening


class Line:
    """What happened so far, in order, and the state it led to."""

    def __init__(self, recording: Recording, kernel: Kernel, cpus: int, zone_size: int) -> None:
        self.recording = recording
        self.past = Past(recording, kernel, cpus, zone_size)
        self.state = self.past.state
        self.purging = Purging(self.past)
        self.log: list[Logged] = []
        self.from_pool = bytearray(len(recording.events))
        """Whether an allocation got its address from a pool."""

    # -- applying and taking back -----------------------------------------------------------------

    def apply(self, happening: Happening) -> bool:
        """Let something happen now, if it can; otherwise nothing changes."""
        mark = self.state.mark()
        self.log.append(Logged(mark, happening))
        match happening:
            case Took():
                possible = self._take(happening)
            case Freed():
                self.past.free(happening.index)
                possible = True
            case Purged():
                possible = self.purging.go_on(happening.number, happening.until, happening.now)
        if not possible:
            self.state.rollback(mark)
            self.log.pop()
        return possible

    def apply_all(self, happenings: Sequence[Happening]) -> bool:
        """Let several things happen in order, all or none."""
        length = len(self.log)
        for happening in happenings:
            if not self.apply(happening):
                self.take_back(length)
                return False
        return True

    def take_back(self, length: int) -> list[Happening]:
        """Undo all but the first `length` happenings of the log; give them."""
        if length == len(self.log):
            return []
        undone = [logged.happening for logged in self.log[length:]]
        self.state.rollback(self.log[length].mark)
        del self.log[length:]
        return undone

    def join(self, first: int, last: int) -> None:
        """Make one happening of the steps of a purge that are logged from `first` to before `last`."""
        if last - first > 1:
            self.log[first] = Logged(self.log[first].mark, self.log[last - 1].happening)
            del self.log[first + 1 : last]

    def purges_begun(self) -> dict[int, int]:
        """Give the purges that the log holds, each with the place of its first happening. O(log)."""
        begun: dict[int, int] = {}
        for position, logged in enumerate(self.log):
            if type(logged.happening) is Purged:
                begun.setdefault(logged.happening.number, position)
        return begun

    def forget(self, keep: int) -> None:
        """Give up the way back to before the last `keep` happenings."""
        if len(self.log) > keep:
            self.state.forget(self.log[len(self.log) - keep].mark if keep else self.state.mark())
            del self.log[: len(self.log) - keep]

    def settle_here(self) -> None:
        """Give up every way back: the state has been corrected from outside."""
        self.state.forget(self.state.mark())
        self.log.clear()
        self.purging.forget()

    # -- allocations ------------------------------------------------------------------------------

    def predict(self, event: AllocEvent, cpu: int) -> tuple[Source, int | None]:
        """Say where an allocation would get its address now, and which; None if it would fail."""
        source, head = self._head(event, self.past.pool_of(event, cpu))
        if source == "pool":
            return source, head
        return source, self.state.free.space.peek(event.size, event.align, event.vstart, event.vend)

    def _head(self, event: AllocEvent, asked: tuple[int, int] | None) -> tuple[Source, int]:
        """Look at the pool that is asked: where the address comes from, and the pool's if it is that (else 0)."""
        if asked is None or not (pool := self.state.pools[asked[0]][asked[1]]):
            return "free", 0
        head = pool[-1].va_start
        return ("rotated", 0) if head % event.align else ("pool", head)

    def _take(self, took: Took) -> bool:
        event = self.recording.events[took.index]
        assert isinstance(event, AllocEvent), "only allocations get addresses"
        past, state, va_start = self.past, self.state, event.va_start
        asked = past.pool_of(event, took.cpu)
        source, head = self._head(event, asked)
        if not event.failed:
            if source == "pool":
                assert asked is not None, "a pool was asked"
                if head != va_start:
                    return False
                state.pop(*asked)
            elif not state.free.allocate_at(va_start, event.size, event.align, event.vstart, event.vend):
                return False
            self.from_pool[took.index] = source == "pool"
            node = past.node_of(event, took.cpu) if asked is None else asked[0]
            state.add_busy(Held(va_start, va_start + event.size, node))
        if source == "rotated":
            assert asked is not None, "a pool was asked"
            state.rotate(*asked)
        past.settle(took.index)
        return True

    def happen_by_force(self, index: int, event: AllocEvent) -> None:
        """Let an allocation happen whose range has been made free for it, whatever the model would give."""
        self.state.free.take(event.va_start, event.va_start + event.size)
        node = self.past.node_of(event, event.cpu)
        self.state.add_busy(Held(event.va_start, event.va_start + event.size, node))
        self.past.settle(index)
