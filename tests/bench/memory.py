"""Memory per area and per operation: peak memory of runs of the peer model with more of one of them."""

from collections.abc import Mapping
from functools import partial

from tests.bench.growth import run_mix
from tests.bench.suite import Bench, Case, Measured, Options, Runs, peak_mib

FEW_AREAS, MANY_AREAS = 10_000, 210_000
FEW_OPERATIONS, MANY_OPERATIONS = 400_000, 2_000_000

LONG = (2_000_000, 20_000_000, 100_000_000)
"""Where the long run's peak is taken: the last is its end."""


def run(options: Options, *, areas: int, operations: int) -> Measured:
    """Run the peer model."""
    scale = options.scale
    measured = run_mix(8, 16, int(areas * scale), int(operations * scale))
    return {**measured, "areas": int(areas * scale)}


def run_long(options: Options) -> Measured:
    """Run the peer model for long, and take the peak on the way."""
    marks = [int(operations * options.scale) for operations in LONG]
    peaks: dict[int, float] = {}

    def watch(done: int) -> None:
        if len(peaks) < len(marks) and done >= marks[len(peaks)]:
            peaks[marks[len(peaks)]] = peak_mib()

    return {**run_mix(8, 16, int(FEW_AREAS * options.scale), marks[-1], watch), "peaks": list(peaks.items())}


def cases(options: Options) -> Mapping[str, Case]:
    """Few and many, and very many where they are asked for."""
    short = {
        "few": partial(run, areas=FEW_AREAS, operations=FEW_OPERATIONS),
        "many areas": partial(run, areas=MANY_AREAS, operations=FEW_OPERATIONS),
        "many operations": partial(run, areas=FEW_AREAS, operations=MANY_OPERATIONS),
    }
    return {**short, "a long run": run_long} if options.long else short


def per_one(runs: Runs) -> str:
    """Divide what is more by what there is more of; say how the long run's peak grew."""
    few, areas, operations = (runs[name][0] for name in ("few", "many areas", "many operations"))
    per_area = (areas["peak_mib"] - few["peak_mib"]) * 2**20 / (areas["areas"] - few["areas"])
    per_operation = (operations["peak_mib"] - few["peak_mib"]) * 2**20 / (operations["items"] - few["items"])
    text = f"Per area {per_area:,.0f} bytes, per operation {per_operation:,.1f}."
    if "a long run" in runs:
        peaks = [f"{mib:,.1f} MiB after {done:,} operations" for done, mib in runs["a long run"][0]["peaks"]]
        begun = f"{FEW_AREAS:,} areas at its beginning, {runs['a long run'][0]['left']:,} at its end"
        text += f" The long run had {begun}; its peak was {', '.join(peaks)}."
    return text


BENCH = Bench(
    title="Memory",
    about=f"{FEW_AREAS:,} and {MANY_AREAS:,} areas, {FEW_OPERATIONS:,} and {MANY_OPERATIONS:,} operations; with "
    f"`--long` also {LONG[-1]:,}.",
    items="operations",
    cases=cases,
    remark=per_one,
)
