"""What has happened to the areas: the kernel's state, and which events of the recording it holds already."""

from protocol.area import PAGE_SIZE
from protocol.kernel import Kernel, nr_vmap_nodes
from sim.replay.recording import Recording
from sim.replay.state import NOWHERE, Held, KernelState
from sim.traces.events import AllocEvent, FreeEvent


class Past:
    """The events that have happened and the state they led to; all of it can be taken back with the state."""

    def __init__(self, recording: Recording, kernel: Kernel, cpus: int, zone_size: int) -> None:
        self.recording = recording
        self.kernel = kernel
        self.state = KernelState(nr_vmap_nodes(kernel, cpus), zone_size)
        self.done = bytearray(len(recording.events))
        self._vmalloc_start, self._vmalloc_end = recording.vmalloc.start, recording.vmalloc.end
        self._pooled = kernel.pools and self.state.nr_nodes > 1
        self._unhappen = self.done.__setitem__

    def settle(self, index: int) -> None:
        """Note that an event has happened."""
        self.done[index] = True
        self.state.undoing(self._unhappen, index, False)

    def all_before(self, index: int) -> bool:
        """Tell whether all that the task of an event printed before it has happened."""
        before = self.recording.previous[index]
        return before < 0 or bool(self.done[before])

    def node_of(self, event: AllocEvent, cpu: int) -> int:
        """Give the node whose pool serves an allocation on a CPU (`node_alloc`), `NOWHERE` if none does."""
        default = event.vstart == self._vmalloc_start and event.vend == self._vmalloc_end
        return cpu % self.state.nr_nodes if default and self._pooled else NOWHERE

    def pool_of(self, event: AllocEvent, cpu: int) -> tuple[int, int] | None:
        """Give the node and the class of the pool that is asked for an allocation, None if none is."""
        size_class = event.size // PAGE_SIZE - 1
        node = NOWHERE if size_class >= self.kernel.pool_limit else self.node_of(event, cpu)
        return None if node == NOWHERE else (node, size_class)

    def free(self, index: int) -> None:
        """Let an area become lazy. One that no line allocated is taken from the free space first, if it is free."""
        event = self.free_event(index)
        state = self.state
        if event.va_start in state.busy:
            state.add_lazy(state.remove_busy(event.va_start), index)
        elif index in self.recording.unknown_pages and event.va_start not in state.lazy:
            va_end = event.va_start + self.recording.unknown_pages[index] * PAGE_SIZE
            if state.free.space.holds(event.va_start, va_end):
                state.free.take(event.va_start, va_end)
                state.add_lazy(Held(event.va_start, va_end, NOWHERE), index)
        self.settle(index)

    def area_of_free(self, index: int) -> Held | None:
        """Give the area of a free: busy or lazy by now, or as the trace says it will be; None if unknown."""
        va_start = self.free_event(index).va_start
        lazy = self.state.lazy.get(va_start)
        if lazy is not None and lazy.freed == index:
            return lazy
        allocation = self.recording.allocated_by.get(index)
        if allocation is None or self.done[allocation]:
            return self.state.busy.get(va_start)
        printed = self.recording.events[allocation]
        assert isinstance(printed, AllocEvent), "only allocations make areas"
        return Held(printed.va_start, printed.va_start + printed.size, self.node_of(printed, printed.cpu))

    def node_of_free(self, index: int) -> int:
        """Give the node whose lazy list a free's area is in, or will be."""
        area = self.area_of_free(index)
        return self.state.home(self.free_event(index).va_start) if area is None else self.state.lazy_node(area)

    def free_event(self, index: int) -> FreeEvent:
        """Give the free of that number."""
        event = self.recording.events[index]
        assert isinstance(event, FreeEvent), "only frees make areas lazy"
        return event
