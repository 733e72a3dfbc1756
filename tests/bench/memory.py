"""Memory per area and per operation: peak memory of runs of the peer model with more of one of them."""

from collections.abc import Mapping, Sequence
from functools import partial

from tests.bench.growth import run_mix
from tests.bench.suite import Bench, Case, Measured, Options

FEW_AREAS, MANY_AREAS = 10_000, 210_000
FEW_OPERATIONS, MANY_OPERATIONS = 400_000, 2_000_000


def run(options: Options, *, areas: int, operations: int) -> Measured:
    """Run the peer model."""
    scale = options.scale
    measured = run_mix(8, 16, int(areas * scale), int(operations * scale))
    return {**measured, "areas": int(areas * scale)}


def cases(_options: Options) -> Mapping[str, Case]:
    """Few and many."""
    return {
        "few": partial(run, areas=FEW_AREAS, operations=FEW_OPERATIONS),
        "many areas": partial(run, areas=MANY_AREAS, operations=FEW_OPERATIONS),
        "many operations": partial(run, areas=FEW_AREAS, operations=MANY_OPERATIONS),
    }


def per_one(runs: Mapping[str, Sequence[Measured]]) -> str:
    """Divide what is more by what there is more of."""
    few, areas, operations = (several[0] for several in runs.values())
    per_area = (areas["peak_mib"] - few["peak_mib"]) * 2**20 / (areas["areas"] - few["areas"])
    per_operation = (operations["peak_mib"] - few["peak_mib"]) * 2**20 / (operations["items"] - few["items"])
    return f"Per area {per_area:,.0f} bytes, per operation {per_operation:,.1f}."


BENCH = Bench(
    title="Memory",
    about=f"{FEW_AREAS:,} and {MANY_AREAS:,} areas, {FEW_OPERATIONS:,} and {MANY_OPERATIONS:,} operations.",
    items="operations",
    cases=cases,
    remark=per_one,
)
