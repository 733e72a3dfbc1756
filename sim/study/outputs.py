"""What a study leaves in its folder: tables, a summary for programs, the report."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from attrs import asdict

from sim.extensions import described, loaded
from sim.files import to_json
from sim.report.study import study_report
from sim.study.campaign import CellResult
from sim.study.cells import code_digest
from sim.study.model import Study
from sim.study.tables import cell_rows, comparison_rows, replication_rows, to_csv, to_parquet

SCHEMA = 1
"""Raised when a key of study.json changes its meaning."""


def outputs_of(study: Study, results: Sequence[CellResult]) -> dict[str, str | bytes]:
    """Give the files of a study that is over, by name; the same for the same study and code."""
    tables = tables_of(study, results)
    files: dict[str, str | bytes] = {}
    for name, rows in tables.items():
        if rows:
            files |= {f"{name}.csv": to_csv(rows), f"{name}.parquet": to_parquet(rows)}
    files["report.html"] = study_report(study, results, tables)
    files["study.json"] = to_json(summary_of(study, tables))
    return files


def tables_of(study: Study, results: Sequence[CellResult]) -> dict[str, Any]:
    """Give the rows of all tables, by name."""
    return {
        "cells": cell_rows(study, results),
        "comparisons": comparison_rows(study, results),
        "replications": replication_rows(results),
    }


def summary_of(study: Study, tables: dict[str, Any]) -> dict[str, Any]:
    """Give the contents of study.json: what was asked, and the tables of cells and comparisons."""
    return {
        "schema": SCHEMA,
        "version": version("vmapsim"),
        "code": f"sha256:{code_digest()}",
        **({"extensions": known} if (known := described(loaded())) else {}),
        "study": {
            **asdict(study.plan),
            "set": study.changes,
            "factors": {factor.name: [level.value for level in factor.levels] for factor in study.factors},
            "compare": asdict(study.compare) if study.compare else None,
        },
        "cells": tables["cells"],
        "comparisons": tables["comparisons"],
    }
