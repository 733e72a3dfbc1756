"""docs/explanation/published-figures.md, made of the figures that are kept."""

from collections.abc import Sequence
from typing import Any

from sim.published.figures import (
    NO_BLOCK_LOCKED_S,
    NO_BLOCK_S,
    ONCE_GAIN,
    V1_DEFAULT_US,
    V3_DEFAULT,
    V3_SERIES,
)
from sim.published.runs import NO_BLOCK_LOOPS, ONCE_LOOPS, PAGES_NS, SCALES, Kept, headline

SPINLOCKS = ("busy", "free", "lazy", "pool", "vmap_lazy_nr")
"""What is waited for in native_queued_spin_lock_slowpath, or, for a counter, in its atomic."""

HEAD = """# Published figures

What others measured on real machines, and what the simulator says of it. Made by `python -m sim.published
docs/explanation` from the figures in `configs/published/results.json`; with `--run` all runs are carried out first
(about an hour of CPU time). Each scenario is in `configs/published/` and can be run by itself.

*Fitted* figures are close because constants were chosen so. *Predicted* ones had no part in that: they use the
constants fitted to (a), the preset of the machine, and nothing else.
"""

JOBS_HEAD = """
## (a) Version 1's default column: fitted

One page is allocated and freed over and over, by 1 to 32 jobs, on a Threadripper 3970X before the series (kernel
6.3; 6.8 has the same three locks). Microseconds per pair that a job sees. Two constants were fitted to the 32 rows,
`costs.lock_lines` and `costs.call_ns`: `./dev calibrate configs/published/v1-targets.toml`, whose output, with the
errors of its own shorter runs, is `configs/published/fitted.toml`.
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

The last row with other numbers of loops: {scale}. It no longer moves.
"""

HEADLINE_HEAD = """
## (b) Version 3's headline: predicted

test_vmalloc.sh with run_test_mask=7 and nr_threads=64 on the same machine, before (6.8) and after the series (6.9).
The share in the slow path is, in the kernel's profile, that of native_queued_spin_lock_slowpath; here, what the 64
workers waited for spinlocks, of all their time. Times are scaled up again.

| scale | before, s | after, s | ratio | slow path before | after |
|---|---|---|---|---|---|
"""

HEADLINE_TAIL = """
At a scale of s tests hold 1/s of the areas and loop 1/s as often. That trees are deeper by log2(s) levels in the
kernel's run is made up for (`costs.tree_scale`); that fewer loops go by between two tests, while pools have the
sizes of the test before, is not, and is what still moves.

With other guesses of what a page takes, at a scale of 16384: {pages}. Before the series pages are hidden behind the
locks; after it they are most of what is left, so the ratio is no better known than they are.

{verdict}

**What carries it.** Before the series one lock guards all busy areas, up to 3.7 million of them, and is taken three
times per pair; {busy:.0f} % of the time it is held, for {hold} ns on average, most of which is a search through 22
levels, the lower ones from memory. The free space is searched, and what a purge gives back is inserted, under
another lock, held for {free:.0f} % of the time. After the series the busy locks are idle, and what is waited for is
mostly the lock of the free space: by allocations that miss their pool ({miss:.0f} % at this scale), and by purges.

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
**A miss, and why.** What is compared is one allocation at a time, pages included, with all at once. Without the
lock a loop takes 41 us on the real machine, some {slower:.0f} times what it takes here: at 256 threads something
else is the bottleneck that is not in this model, in all likelihood the page allocator's zone locks and the memory
itself, as every loop gets a page and gives it back. With the lock, {locked:.1f} us an allocation there and
{ours:.1f} us here: the hand-over of the spinlock that the patch put around allocations is left out here, and so are
the allocator's lines that move with it.
"""

ONCE_HEAD = """
## (d) One busy lock per allocation instead of two: predicted

Stacks of 4 pages, allocated and freed by 192 threads on a two-socket Xeon, kernels 6.9 and 6.10. Published: 4 % on
stress-ng pthread, which also creates and ends a thread with each stack.

| loops | 6.9, us per pair | 6.10 | gain |
|---|---|---|---|
"""

ONCE_TAIL = """
Of nothing but the stacks' areas and pages {gain:.1f} % are gained; with what else a thread's life takes, of which
this model has nothing, the share is smaller or larger as areas are more or less contended there. A gain of 4 % of
the whole would be had if areas are {share:.0f} % of it. It is the sign and the size that can be compared, not the
figure.
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
    lines = [JOBS_HEAD, "| jobs | published | ours | error |", "|---|---|---|---|"]
    for jobs, (mine, published) in enumerate(zip(ours, V1_DEFAULT_US, strict=True), start=1):
        lines.append(f"| {jobs} | {published:.3f} | {mine:.3f} | {mine / published - 1:+.1%} |")
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


def _ratio(kept: Kept, scale: int, *settings: str) -> float:
    before, after = (kept[headline(scale, kernel, *settings).name]["virtual_ns"] for kernel in ("6.8", "6.9"))
    return float(before / after)


def _headline(kept: Kept) -> str:
    published = V3_DEFAULT.wall_s / V3_SERIES.wall_s
    lines = [HEADLINE_HEAD.rstrip("\n")]
    for scale in SCALES:
        before, after = (kept[headline(scale, kernel).name] for kernel in ("6.8", "6.9"))
        lines.append(
            f"| {scale} | {before['virtual_ns'] * scale / 1e9:.0f} | {after['virtual_ns'] * scale / 1e9:.1f} "
            f"| {_ratio(kept, scale):.2f} | {slowpath(before):.1%} | {slowpath(after):.1%} |"
        )
    lines.append(
        f"| published | {V3_DEFAULT.wall_s:.0f} | {V3_SERIES.wall_s:.1f} | {published:.3f} "
        f"| {V3_DEFAULT.slowpath:.1%} | {V3_SERIES.slowpath:.1%} |"
    )
    finest = SCALES[-1]
    before, after = (kept[headline(finest, kernel).name] for kernel in ("6.8", "6.9"))
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
            verdict=f"At the finest scale the ratio is {error:+.1%} off: {within} the 25 % that were the aim.",
            busy=100 * busy[1] / before["virtual_ns"],
            hold=busy[1] // busy[0],
            free=100 * before["locks"]["free"][1] / before["virtual_ns"],
            miss=100 * after["locks"]["free"][0] / after["pairs"],
        )
    )


def _no_block(kept: Kept) -> str:
    lines = [NO_BLOCK_HEAD.rstrip("\n")]
    for loops in NO_BLOCK_LOOPS:
        locked, free = (_us_per_loop(kept[f"no-block/{loops}/{way}"]) for way in ("true", "false"))
        lines.append(f"| {loops} | {locked:.1f} | {free:.2f} | {locked / free:.1f} |")
    published = NO_BLOCK_LOCKED_S / NO_BLOCK_S
    lines.append(f"| published, 1,000,000 | {NO_BLOCK_LOCKED_S:.1f} | {NO_BLOCK_S:.2f} | {published:.1f} |")
    tail = NO_BLOCK_TAIL.format(slower=NO_BLOCK_S / free, locked=NO_BLOCK_LOCKED_S / 256, ours=locked / 256)
    return "\n".join(lines) + "\n" + tail


def _once(kept: Kept) -> str:
    lines = [ONCE_HEAD.rstrip("\n")]
    for loops in ONCE_LOOPS:
        twice, once = (_us_per_loop(kept[f"once/{loops}/{kernel}"]) for kernel in ("6.9", "6.10"))
        gain = twice / once - 1
        lines.append(f"| {loops} | {twice:.2f} | {once:.2f} | {gain:.1%} |")
    lines.append(f"| published | - | - | {ONCE_GAIN:.0%} of the whole |")
    return "\n".join(lines) + "\n" + ONCE_TAIL.format(gain=100 * gain, share=min(100, 100 * ONCE_GAIN / gain))
