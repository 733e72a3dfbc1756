"""Replay: a real kernel's trace against the model, address by address.

A trace prints lines in the order of printing; what happened is another order, of which lines and tasks say
something. The order that explains a trace is searched for, as one checks a concurrent object for linearizability
(Herlihy & Wing, 1990), with the model as the sequential specification and each event's window between its task's
previous line and its own.

`recording` knows what lines say about when events happened, `touching` where, `ranges` which addresses are
vmalloc's; `state` is the kernel's state with a way back, `past` which events it holds; `purging` does purges step
by step and `purges` says which areas they can have taken; `line` is the order of what happened as far as it is
known, `search` looks for another one when model and kernel disagree, `correction` sets the state to the kernel's
when there is none; `engine` goes through the trace.
"""

from collections.abc import Iterator, Sequence

from attrs import evolve, frozen

from protocol.area import PAGE_SIZE, ZONE_PAGES
from protocol.kernel import KERNELS, Kernel
from sim.callable_package import make_callable
from sim.garbage import rare_collections
from sim.replay.engine import Engine, Inferred, Progress, Replayed
from sim.replay.final import Final, final_of
from sim.replay.initial import occupy, with_unpurged
from sim.replay.ranges import VmallocRange, vmalloc_range_of
from sim.replay.recording import recording_of
from sim.traces.read import Trace
from sim.vmallocinfo import VmallocInfoLine

TRIAL_EVENTS = 20_000
"""Events from the beginning on which kernels are compared: some seconds of a busy machine, with pools in use."""

CLOSE = 0.05
"""Kernels within this share of the best in line order are compared in any order."""

AUTO = "auto"
"""Asks for the kernel that fits best."""


@frozen
class Trial:
    """How well kernels that a trace cannot tell apart explain the addresses of its beginning."""

    kernels: tuple[str, ...]
    as_printed: float
    """Share of addresses named in line order."""
    share: float
    """The same in any order, where kernels are close; else as `as_printed`."""


@frozen
class Outcome:
    """What came of a replay."""

    replayed: Replayed
    final: Final
    trials: tuple[Trial, ...]
    cpus: int
    vmalloc: VmallocRange


def replay(
    trace: Trace,
    kernel: str,
    cpus: int | None = None,
    initial: Sequence[VmallocInfoLine] = (),
    progress: Progress = lambda _done, _total: None,
    vmalloc_range: tuple[int, int] | None = None,
) -> Outcome:
    """Replay a trace on the kernel of that name, or on the one that fits best (`AUTO`).

    `cpus` are the machine's possible CPUs [default: those of the trace]; `initial` is what was there before;
    `vmalloc_range` are the machine's VMALLOC_START and VMALLOC_END [default: as `ranges` finds them].
    """
    possible = cpus or trace.cpus
    vmalloc = vmalloc_range_of(trace.events, vmalloc_range)
    with rare_collections():
        trials = tuple(_trials(trace, possible, initial, vmalloc)) if kernel == AUTO else ()
        best = max(trials, key=lambda trial: trial.share).kernels[-1] if trials else kernel
        engine = _engine(trace, KERNELS[best], possible, initial, vmalloc, searching=True)
        replayed = engine.run(progress)
    return Outcome(replayed, final_of(engine.line, engine.correction), trials, possible, vmalloc)


def _trials(trace: Trace, cpus: int, initial: Sequence[VmallocInfoLine], vmalloc: VmallocRange) -> Iterator[Trial]:
    """Compare the kernels that differ in a trace, on its beginning: in line order, then the best in any."""
    beginning = evolve(trace, events=trace.events[:TRIAL_EVENTS])
    alike: dict[tuple[object, ...], list[str]] = {}
    for kernel in KERNELS.values():
        alike.setdefault(_visible(kernel), []).append(kernel.name)

    def result(names: Sequence[str], *, searching: bool) -> Replayed:
        return _engine(beginning, KERNELS[names[-1]], cpus, initial, vmalloc, searching=searching).run()

    shares = {tuple(names): result(names, searching=False).share for names in alike.values()}
    close = [names for names, share in shares.items() if share >= max(shares.values()) - CLOSE]
    for names, share in shares.items():
        explained = result(names, searching=True).share if names in close and len(close) > 1 else share
        yield Trial(names, share, explained)


def _visible(kernel: Kernel) -> tuple[object, ...]:
    """Give the choices that decide addresses."""
    return kernel.nodes, kernel.pools, kernel.pool_limit, kernel.decay, kernel.lazy_merges


def _engine(
    trace: Trace,
    kernel: Kernel,
    cpus: int,
    initial: Sequence[VmallocInfoLine],
    vmalloc: VmallocRange,
    *,
    searching: bool,
) -> Engine:
    recording = recording_of(with_unpurged(trace, initial), vmalloc)
    engine = Engine(recording, kernel, cpus, max(1, ZONE_PAGES * PAGE_SIZE), searching)
    for area in occupy(engine.line.past, initial):
        engine.result.inferred.append(Inferred(0, f"{area} of the initial state overlaps others"))
    engine.line.settle_here()
    return engine


make_callable(__name__)
