"""What a study left, read again: its cells by their levels, with the intervals of their metrics."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

TABLES = ("cells.csv", "comparisons.csv")
"""The files of a study that are taken; the second one only studies that compare have."""


@frozen
class Figure:
    """A mean with the ends of its interval, in the metric's own unit."""

    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2

    def ns(self) -> str:
        """Give it as nanoseconds: "1,147 ± 87"."""
        return f"{self.mean:,.0f} ± {self.half:,.0f}"

    def share(self) -> str:
        """Give it as a share: "12.3 ± 0.4 %"; without an interval where there is none."""
        return f"{self.mean:.1%} ± {100 * self.half:.1f}".replace("%", " %") if self.half else self.bare_share()

    def bare_share(self) -> str:
        """Give it as a share without its interval: "12 %"."""
        return f"{self.mean:.1%}".replace(".0%", "%").replace("%", " %")

    def count(self) -> str:
        """Give it as a count: "2.16"."""
        return f"{self.mean:.2f}"


@frozen
class Change:
    """A difference to the baseline, relative to it, and whether the study can tell it from none."""

    relative: float
    half: float
    """Half the width of the interval that decides."""
    decided: bool

    def __str__(self) -> str:
        if not self.relative and not self.half:
            return "same"
        return f"{'' if self.decided else '~'}{100 * self.relative:+.1f} ± {100 * self.half:.1f} %"


@frozen
class StudyTables:
    """The tables of one study."""

    name: str
    cells: list[Mapping[str, str]]
    comparisons: list[Mapping[str, str]]

    def figure(self, metric: str, **levels: object) -> Figure:
        """Give a metric of the cell with these levels; raises `LookupError` if it is not the only one."""
        row = _only(self.cells, levels)
        return Figure(float(row[metric]), float(row[f"{metric}.ci_low"]), float(row[f"{metric}.ci_high"]))

    def change(self, metric: str, **levels: object) -> Change:
        """Give how a cell's metric differs from the baseline's."""
        row = _only(self.comparisons, {**levels, "metric": metric})
        difference = float(row["difference"])
        relative = float(row["relative"])
        half = (float(row["verdict_high"]) - float(row["verdict_low"])) / 2
        scale = abs(relative / difference) if difference else 0.0
        return Change(relative, half * scale, row["verdict"] in ("more", "less"))

    def command(self, **levels: object) -> str:
        """Give the command that runs the first replication of a cell again."""
        return _only(self.cells, levels)["command"]


def read(folder: Path, name: str) -> StudyTables:
    """Read the tables of the study `name` in `folder`; raises `OSError`."""
    tables = {table: _rows(folder / name / table) for table in TABLES if (folder / name / table).exists()}
    return StudyTables(name, tables["cells.csv"], tables.get("comparisons.csv", []))


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a table in Markdown: the first column is text, the others are figures."""
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rows(path: Path) -> list[Mapping[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _only(rows: Iterable[Mapping[str, str]], levels: Mapping[str, object]) -> Mapping[str, str]:
    found = [row for row in rows if all(row[name] == str(level) for name, level in levels.items())]
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows with {levels}")
    return found[0]
