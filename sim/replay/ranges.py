"""vmalloc's own range of addresses, as a trace shows it: pools serve allocations that ask for just that range.

`node_alloc()` compares with VMALLOC_START and VMALLOC_END (v6.9). No line names these, and they depend on the
architecture, on the levels of its page tables and, with CONFIG_RANDOMIZE_MEMORY, on the boot. But every line has
the range that was asked for. It is the widest of them: what else asks for a range of its own (modules, KASAN's
shadows of modules) asks for one that is far smaller. powerpc's for I/O is as large; of equally wide ones it is that
of the most lines. Lines by themselves do not tell: while modules are loaded, most are of the modules' range, for
hundreds on end (configs/traces/deb-smp4).
"""

from collections import Counter
from collections.abc import Sequence

from attrs import frozen

from protocol.area import ULONG_MAX, VMALLOC_END, VMALLOC_START
from sim.errors import BadInput
from sim.traces.events import AllocEvent, TraceEvent


@frozen
class VmallocRange:
    """Where vmalloc's areas are, and how many of a trace's allocations ask for that, failed ones included."""

    start: int
    """VMALLOC_START, as `vstart` is printed."""
    end: int
    """VMALLOC_END, as `vend` is printed."""
    own: int
    """The allocations that ask for just this range."""
    requests: int
    """All allocations."""

    def __str__(self) -> str:
        return f"{self.start:#x}:{self.end:#x}"


def vmalloc_range_of(events: Sequence[TraceEvent], given: tuple[int, int] | None = None) -> VmallocRange:
    """Find the range in a trace's events, or take the one that is given; x86_64's where nothing was asked for."""
    asked = Counter((event.vstart, event.vend) for event in events if isinstance(event, AllocEvent))
    x86_64 = (VMALLOC_START, VMALLOC_END)
    widest = max(asked, key=lambda one: (one[1] - one[0], asked[one], -one[0]), default=x86_64)
    start, end = given or widest
    return VmallocRange(start, end, asked[start, end], asked.total())


def checked(where: str, start: int, end: int) -> tuple[int, int]:
    """Give a range that somebody says is vmalloc's. Raises `BadInput`."""
    if not 0 <= start < end <= ULONG_MAX:
        raise BadInput(where, f"{start:#x}:{end:#x}", "START below END, both below 2**64")
    return start, end
