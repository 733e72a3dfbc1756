"""/proc/lock_stat of a real kernel: what lockdep counted of each class of locks.

The format is version 0.4's (Documentation/locking/lockstat.rst): a line per class with twelve figures after a
colon, then, for classes that somebody waited for, the places in the code, which are skipped. Times are in us.
"""

import gzip
import re
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from sim.errors import BadInput

HEAD = "lock_stat version 0.4"

_CLASS = re.compile(r"\s*(\S.*):((?:\s+\d+(?:\.\d\d)?){12})\s*")


@frozen
class ClassStatistics:
    """What was counted of one class of locks."""

    acquisitions: int
    contentions: int
    """Acquisitions that had to wait."""
    hold_total_us: float
    wait_total_us: float
    hold_max_us: float


def read_lock_stat(path: Path) -> Mapping[str, ClassStatistics]:
    """Read a file as /proc/lock_stat printed it, or one compressed by gzip; gives its classes by name.

    Of several classes of one name (subclasses of a key) the first is given. Raises `BadInput`.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", "replace")
    except (OSError, EOFError) as error:
        raise BadInput(str(path), " ".join(str(error).lower().split()), "a readable /proc/lock_stat") from None
    lines = text.splitlines()
    if not lines or lines[0].strip() != HEAD:
        raise BadInput(f"{path}: line 1", repr(lines[0][:40]) if lines else "nothing", repr(HEAD))
    classes: dict[str, ClassStatistics] = {}
    for line in lines:
        found = _CLASS.fullmatch(line)
        if found is not None:
            figures = found[2].split()
            statistics = ClassStatistics(
                acquisitions=int(figures[7]),
                contentions=int(figures[1]),
                hold_total_us=float(figures[10]),
                wait_total_us=float(figures[4]),
                hold_max_us=float(figures[9]),
            )
            classes.setdefault(found[1], statistics)
    if not classes:
        raise BadInput(str(path), "no class of locks", "a line of twelve figures for each")
    return classes
