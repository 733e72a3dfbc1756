"""Results as tables: rows of plain values, an Arrow table, or a pandas frame where pandas is installed."""

from collections.abc import Mapping
from typing import Any

from sim.errors import BadInput


class Framed:
    """Something that has rows."""

    __slots__ = ()

    def rows(self) -> list[dict[str, Any]]:
        """Give the rows, all with the same keys."""
        raise NotImplementedError

    def to_arrow(self) -> Any:
        """Give the rows as a `pyarrow.Table`."""
        import pyarrow

        return pyarrow.Table.from_pylist(self.rows())

    def to_frame(self) -> Any:
        """Give the rows as a `pandas.DataFrame`. Raises `BadInput` where there is no pandas, which is an extra."""
        try:
            import pandas
        except ImportError:
            raise BadInput(
                "to_frame", "no package `pandas`", "pip install 'vmapsim[notebook]', or to_arrow()"
            ) from None
        return pandas.DataFrame(self.rows())


def flat(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Give the figures of a latency in one row: its parts by name, and no distributions."""
    row = {name: value for name, value in figures.items() if not isinstance(value, Mapping)}
    return {**row, **{f"{part}_ns": value for part, value in figures["parts_ns"].items()}}
