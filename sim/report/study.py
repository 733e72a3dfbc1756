"""The report of a study."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from sim.report.figures import shared_figures
from sim.report.page import Page, render, table_of
from sim.report.sweeps import groups_of, study_figures
from sim.scenario.converter import unstructure
from sim.study.campaign import CellResult, left_out
from sim.study.cells import code_digest, study_command
from sim.study.model import Study


def study_report(
    study: Study, results: Sequence[CellResult], rows: Mapping[str, Sequence[Mapping[str, Any]]]
) -> str:
    """Give the page of a study; `rows` are those of its tables."""
    groups = groups_of(study, results)
    counts = [len(result.records) for result in results]
    dropped, of = left_out(results)
    plan = study.plan
    facts = [
        ("seed", str(plan.seed)),
        ("version", version("vmapsim")),
        ("code", f"sha256:{code_digest()[:16]}…"),
        ("factors", "; ".join(_factor_words(study)) or "none"),
        ("replications", f"{sum(counts):,}, {min(counts)} to {max(counts)} per cell, {_seeds(study)} seeds"),
        ("stop", f"at ±{plan.precision.relative:.1%} of {plan.precision.metric}, or {plan.replications.most}"),
        ("warm-up", f"{plan.warmup}: {dropped / max(1, of):.1%} of {of:,} operations dropped"),
        ("command", study_command(study)),
    ]
    figures = [*study_figures(study, results), *(shared_figures(groups, "Of") if groups else ())]
    return render(
        Page(
            title=f"{study.path.stem}: {len(results):,} cells",
            facts=facts,
            warnings=[f"failed: {result.cell.named()}: {result.failure}" for result in results if result.failure],
            tables=[
                table_of("Cells, with the command that runs each again", rows["cells"], folded=True),
                *([table_of("Comparisons", rows["comparisons"], folded=True)] if rows["comparisons"] else []),
            ],
            figures=figures,
            scenario=unstructure(results[0].cell.scenario),
        )
    )


def _factor_words(study: Study) -> list[str]:
    return [
        f"{factor.name}: {', '.join(str(level.value) for level in factor.levels[:12])}"
        f"{', …' if len(factor.levels) > 12 else ''}"
        for factor in study.factors
    ]


def _seeds(study: Study) -> str:
    return "common" if study.plan.replications.common else "independent"
