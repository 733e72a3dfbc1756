"""docs/explanation/published-figures.md, made of the figures that are kept."""

from collections.abc import Sequence
from math import exp, log
from typing import Any

from protocol.kernel import NR_VMAP_NODES_MAX
from sim.published.figures import (
    NO_BLOCK_LOCKED_S,
    NO_BLOCK_S,
    ONCE_GAIN,
    V1_DEFAULT_US,
    V3_DEFAULT,
    V3_SERIES,
)
from sim.published.runs import NO_BLOCK_LOOPS, ONCE_LOOPS, PAGES_NS, SCALES, Kept, headline

FITTED_JOBS = (1, 2, 4, 6, 8, 12, 16, 24, 32)
"""The rows that configs/published/v1-targets.toml fits to."""

SPINLOCKS = ("busy", "free", "lazy", "pool")
"""What is waited for in native_queued_spin_lock_slowpath; `vmap_lazy_nr` is an atomic."""

HEAD = """# Published figures

What others measured on real machines, and what the simulator says of it. Made by `python -m sim.published
docs/explanation` from the figures in `configs/published/results.json`; with `--run` all runs are carried out first
(an hour of CPU time, most of it for the finest scales of (b)). Each scenario is in `configs/published/` and can be
run by itself.

*Fitted* figures are close because constants were chosen so. *Predicted* ones had no part in the fit: they use the
constants fitted to (a) and the preset of the machine. That is not to say that nobody looked: what (b) says of
itself there is to be read with it.
"""

JOBS_HEAD = """
## (a) Version 1's default column: fitted

One page is allocated and freed over and over, by 1 to 32 jobs, on a Threadripper 3970X before the series (kernel
6.3; 6.8 has the same three locks). Microseconds per pair that a job sees. Two constants were fitted,
`costs.lock_lines` and `costs.call_ns`, to nine of the rows, those marked; the other rows are predicted.
`./dev calibrate configs/published/v1-targets.toml` does it, on shorter runs; what it found is
`configs/published/fitted.toml`.
"""

MECHANISM = """
**The mechanism.** A lock that is handed over in the order of arrival takes a straight line: every hand-over goes to
some other core complex, of which there are eight (fifo: {fifo:.0f} % mean error over the rows it was run for,
{fifo_32:.1f} us at 32 jobs). What was measured has two slopes, 1.77 us a job up to 6 jobs and 0.444 us from 8 on.
Their ratio is 3.99, and that of a line's transfer to another complex and within one is 94 / 24 = 3.92. So the first
jobs each bring a complex into play, as a scheduler that spreads threads does, and each of them costs a far
transfer; further jobs join a complex that is in play already, and cost a near one. For that the lock has to tour
all waiters of a complex before it leaves. qspinlock's queue is first come, first served, but who comes first is
decided by whose exchange of the tail word is served first, and that is a contended line: `costs.arbitration =
"nearest"` serves those who wait when a round begins in the order of the shortest way, and those who come later in
the next round, so that nobody is overtaken by more than one round of others. Nobody has published a measurement of
that order; the two slopes are what speaks for it.

**Left out.** The scheduler's choice of CPUs (the measured bend is at 6 to 7 jobs and not at 8: threads do not
spread perfectly), frequency, the page allocator's own locks, interrupts, and all that differs between 6.3 and 6.8
beside locks. `costs.page_ns` is a guess of what a page takes; only its sum with `call_ns` shows in the first row.

The last row with other numbers of loops: {scale}.
It no longer moves.
"""

HEADLINE_HEAD = """
## (b) Version 3's headline: predicted

test_vmalloc.sh with run_test_mask=7 and nr_threads=64 on the same machine, before (6.8) and after the series (6.9).
The share in the slow path is, in the kernel's profile, that of native_queued_spin_lock_slowpath; here, what the 64
workers waited for spinlocks, of all their time. (For the atomic `vmap_lazy_nr` they waited besides, after the
series and at the finest scale {atomic:.1%} of it.) Times are scaled up again.

| scale | before, s | after, s | ratio | slow path before | after |
|---|---|---|---|---|---|
"""

HEADLINE_TAIL = """
At a scale of s tests hold 1/s of the areas and loop 1/s as often. That trees are deeper by log2(s) levels in the
kernel's run is made up for (`costs.tree_scale`). The last halving of the scale moves the time before the series by
{moves_before:+.1%}, the time after it by {moves_after:+.1%}, the ratio by {moves_ratio:+.1%}; the one before moved
the ratio by {moved_ratio:+.1%}. So it still rises, by less each time: it comes near its limit, and is not
there. If every further halving moved it by {shrinks:.0%} of what the one before did, as the last did, the limit
would be {limit:.1f}, {limit_error:+.0%} off. At coarse scales allocations miss their pool more often, which makes
them slow after the series:
{misses} take the lock of the free space.

**How blind the prediction is.** The constants of (a) come from the fit to (a). These were set with this figure in
sight, each for a reason of its own and none by a fit: `node_lines` 1.5 (it was 0) and `node_bytes` 72 (it was 64: a
struct vmap_area is 72 bytes), `dram_ns` 94 (it was 66: memory is behind the I/O die, as another complex is; an
argument and no measurement), the guess of `page_ns` 300 (it was 350), and by how much less is lazily freed at a
scale. At a scale of 4096 the time before the series was 314 s with none of them, 440 s with the two of nodes, 521 s
with `dram_ns` too. In the same way the bytes of a neighbourhood were chosen for (a), of three tried.

With other guesses of what a page takes, at a scale of 16384: {pages}.

At the finest scale the time before the series is {before:+.1%} off and the time after it {after:+.1%}; the ratio is
{verdict}
The share in the slow path after the series is {slow_after:.1%} where {slow_measured:.1%} were measured: too much.

**What carries it.** Before the series one lock guards all busy areas, up to 3.7 million of them, and is taken three
times per pair; it is held {busy:.0f} % of the time, for {hold} ns on average, most of which is a search through 22
levels, the lower ones from memory. The free space is searched, and what a purge gives back is inserted, under
another lock, held for {free:.0f} % of the time. After the series the busy locks are idle. What is waited for is the
lock of the free space, by allocations that miss their pool ({miss:.0f} per 100 pairs at this scale, purges
included) and by purges, which empty a pool of less than four areas.

**Left out.** Two threads on a core slow each other down. Pages that are cleared drive trees out of the caches. The
page allocator has locks of its own. Workers stay on their CPUs.
"""

NO_BLOCK_HEAD = """
## (c) no_block_alloc_test on 256 CPUs: predicted

256 threads that allocate and free a page without sleeping, all allocations behind one spinlock, or not. The machine
is not named; transfers are those of an EPYC 7R13.

| loops | with the lock, us per loop | without | ratio |
|---|---|---|---|
"""

NO_BLOCK_TAIL = """
**Half of it, and why.** With the lock, {locked:.1f} us an allocation there and {ours:.1f} us here: the hand-over of
the spinlock that the patch put around allocations is left out, and so are the page allocator's lines that move with
it, as every page comes from where the CPU before left its own. Without the lock a loop takes {free:.0f} us here, of
which most is waiting for the lock of the free space, and the figure still falls with the number of loops: until the
first purge every allocation misses its pool. That it is near the published one is no proof: there, at 256 threads,
the page allocator's zone locks have a part, which are not in this model.
"""

ONCE_HEAD = """
## (d) One busy lock per allocation instead of two: predicted

Stacks of 4 pages, allocated and freed by 192 threads on a two-socket Xeon, kernels 6.9 and 6.10. Published: 4 % on
stress-ng pthread, which also creates and ends a thread with each stack.

| loops | 6.9, us per pair | 6.10 | gain |
|---|---|---|---|
"""

ONCE_TAIL = """
The sign is right, and {gain:.1f} % are gained where nothing but areas and pages is counted; the busy locks are
spread over {nodes} nodes and hardly contended here, so that what is saved is a hold and not a wait. The published
gain is larger although it is of a whole that has more to do. A thread's stack is cached and reused in the kernel,
and its neighbours in a zone are those of the threads created beside it, at the same time: more contention on one
node than here.
"""


def page(kept: Kept) -> str:
    """Give docs/explanation/published-figures.md."""
    return "".join([HEAD, _jobs(kept), _headline(kept), _no_block(kept), _once(kept)])


def _us_per_loop(figures: dict[str, Any]) -> float:
    per_loop_ns: float = figures["virtual_ns"] / figures["loops"]
    return per_loop_ns / 1000


def mean_error(ours: Sequence[float], published: Sequence[float]) -> float:
    """Give the mean of the absolute relative errors."""
    return sum(abs(a / b - 1) for a, b in zip(ours, published, strict=True)) / len(ours)


def _jobs(kept: Kept) -> str:
    ours = [_us_per_loop(kept[f"jobs/{jobs}"]) for jobs in range(1, 33)]
    lines = [JOBS_HEAD, "| jobs | published | ours | error | |", "|---|---|---|---|---|"]
    for jobs, (mine, published) in enumerate(zip(ours, V1_DEFAULT_US, strict=True), start=1):
        kind = "fitted" if jobs in FITTED_JOBS else "predicted"
        lines.append(f"| {jobs} | {published:.3f} | {mine:.3f} | {mine / published - 1:+.1%} | {kind} |")
    lines += ["", f"Mean absolute error: **{mean_error(ours, V1_DEFAULT_US):.1%}** (15 % was the aim)."]
    fifo = {name: figures for name, figures in kept.items() if name.startswith("jobs-fifo/")}
    rows = [int(name.partition("/")[2]) for name in fifo]
    error = mean_error([_us_per_loop(one) for one in fifo.values()], [V1_DEFAULT_US[jobs - 1] for jobs in rows])
    scale = {figures["loops"]: figures for name, figures in kept.items() if name.startswith("jobs-scale/")}
    scale[kept["jobs/32"]["loops"]] = kept["jobs/32"]
    mechanism = MECHANISM.format(
        fifo=100 * error,
        fifo_32=_us_per_loop(fifo["jobs-fifo/32"]),
        scale=", ".join(f"{_us_per_loop(scale[loops]):.2f} us with {loops}" for loops in sorted(scale)),
    )
    return "\n".join(lines) + "\n" + mechanism


def slowpath(figures: dict[str, Any]) -> float:
    """Give the share of the workers' time in which they waited for spinlocks."""
    waited: int = sum(figures["locks"].get(lock, (0, 0, 0))[2] for lock in SPINLOCKS)
    workers_ns: int = figures["workers"] * figures["virtual_ns"]
    return waited / workers_ns


def _limit(before: float, then: float, last: float) -> dict[str, float]:
    """Give where a ratio would end that each halving moves by a constant share of what the one before did."""
    shrinks = log(last / then) / log(then / before)
    limit = last * exp(log(last / then) * shrinks / (1 - shrinks))
    return {"shrinks": shrinks, "limit": limit, "limit_error": limit / (V3_DEFAULT.wall_s / V3_SERIES.wall_s) - 1}


def _ratio(kept: Kept, scale: int, *settings: str) -> float:
    before, after = (kept[headline(scale, kernel, *settings).name]["virtual_ns"] for kernel in ("6.8", "6.9"))
    return float(before / after)


def _seconds(kept: Kept, scale: int, kernel: str) -> float:
    """Give a time of the headline, scaled up again."""
    seconds: float = kept[headline(scale, kernel).name]["virtual_ns"] * scale / 1e9
    return seconds


def _missed(kept: Kept, scale: int) -> float:
    """Give how often the lock of the free space is taken after the series, per 100 pairs."""
    after = kept[headline(scale, "6.9").name]
    return float(100 * after["locks"]["free"][0] / after["pairs"])


def _headline(kept: Kept) -> str:
    published = V3_DEFAULT.wall_s / V3_SERIES.wall_s
    finest = SCALES[-1]
    before, after = (kept[headline(finest, kernel).name] for kernel in ("6.8", "6.9"))
    atomic = after["locks"]["vmap_lazy_nr"][2] / (after["workers"] * after["virtual_ns"])
    lines = [HEADLINE_HEAD.rstrip("\n").format(atomic=atomic)]
    for scale in SCALES:
        shares = [slowpath(kept[headline(scale, kernel).name]) for kernel in ("6.8", "6.9")]
        lines.append(
            f"| {scale} | {_seconds(kept, scale, '6.8'):.0f} | {_seconds(kept, scale, '6.9'):.1f} "
            f"| {_ratio(kept, scale):.2f} | {shares[0]:.1%} | {shares[1]:.1%} |"
        )
    lines.append(
        f"| published | {V3_DEFAULT.wall_s:.0f} | {V3_SERIES.wall_s:.1f} | {published:.3f} "
        f"| {V3_DEFAULT.slowpath:.1%} | {V3_SERIES.slowpath:.1%} |"
    )
    error = _ratio(kept, finest) / published - 1
    within = "within" if abs(error) <= 0.25 else "not within"
    busy = before["locks"]["busy"]
    return (
        "\n".join(lines)
        + "\n"
        + HEADLINE_TAIL.format(
            pages=", ".join(
                f"{_ratio(kept, 16384, f'costs.page_ns={page_ns}'):.2f} with {page_ns} ns" for page_ns in PAGES_NS
            ),
            **_limit(*(_ratio(kept, scale) for scale in SCALES[-3:])),
            moves_before=_seconds(kept, finest, "6.8") / _seconds(kept, SCALES[-2], "6.8") - 1,
            moves_after=_seconds(kept, finest, "6.9") / _seconds(kept, SCALES[-2], "6.9") - 1,
            moves_ratio=_ratio(kept, finest) / _ratio(kept, SCALES[-2]) - 1,
            moved_ratio=_ratio(kept, SCALES[-2]) / _ratio(kept, SCALES[-3]) - 1,
            misses=", ".join(f"{_missed(kept, scale):.0f} of 100 at {scale}" for scale in (*SCALES[::3], finest)),
            before=_seconds(kept, finest, "6.8") / V3_DEFAULT.wall_s - 1,
            after=_seconds(kept, finest, "6.9") / V3_SERIES.wall_s - 1,
            verdict=f"{error:+.1%} off, {within} the 25 % that were the aim.",
            busy=100 * busy[1] / before["virtual_ns"],
            hold=busy[1] // busy[0],
            free=100 * before["locks"]["free"][1] / before["virtual_ns"],
            miss=_missed(kept, finest),
            slow_after=slowpath(after),
            slow_measured=V3_SERIES.slowpath,
        )
    )


def _no_block(kept: Kept) -> str:
    lines = [NO_BLOCK_HEAD.rstrip("\n")]
    for loops in NO_BLOCK_LOOPS:
        locked, free = (_us_per_loop(kept[f"no-block/{loops}/{way}"]) for way in ("true", "false"))
        lines.append(f"| {loops} | {locked:.1f} | {free:.2f} | {locked / free:.1f} |")
    published = NO_BLOCK_LOCKED_S / NO_BLOCK_S
    lines.append(f"| published, 1,000,000 | {NO_BLOCK_LOCKED_S:.1f} | {NO_BLOCK_S:.2f} | {published:.1f} |")
    tail = NO_BLOCK_TAIL.format(locked=NO_BLOCK_LOCKED_S / 256, ours=locked / 256, free=free)
    return "\n".join(lines) + "\n" + tail


def _once(kept: Kept) -> str:
    lines = [ONCE_HEAD.rstrip("\n")]
    for loops in ONCE_LOOPS:
        twice, once = (_us_per_loop(kept[f"once/{loops}/{kernel}"]) for kernel in ("6.9", "6.10"))
        gain = twice / once - 1
        lines.append(f"| {loops} | {twice:.2f} | {once:.2f} | {gain:.1%} |")
    lines.append(f"| published | - | - | {ONCE_GAIN:.0%} of the whole |")
    return "\n".join(lines) + "\n" + ONCE_TAIL.format(gain=100 * gain, nodes=NR_VMAP_NODES_MAX)
