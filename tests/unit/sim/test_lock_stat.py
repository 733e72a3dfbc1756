"""Reading /proc/lock_stat: every class with its figures, whatever stands between; mistakes are one line."""

import gzip
from pathlib import Path

import pytest

from sim.errors import BadInput
from sim.lock_stat import ClassStatistics, read_lock_stat

TEXT = """lock_stat version 0.4
-----------------
  class name    con-bounces    contentions   waittime-min
-----------------

     &vn->busy.lock:   5545  5632  0.51  7948.50  79551.79  14.12  45573  96048  0.54  949.15  220844.03  2.30
     --------------
     &vn->busy.lock   3117   [<ffffffff811ba84b>] find_unlink_vmap_area+0x5b/0x110

.................

  mm/vmstat.c:2079:      0     0  0.00     0.00      0.00   0.00      0      1  1.00    1.00       1.00  1.00
"""


@pytest.mark.parametrize("packed", [False, True])
def test_classes_have_their_figures(tmp_path: Path, packed: bool) -> None:
    """Columns are told by their order, names may hold colons, places in the code are skipped; also in a gzip."""
    path = tmp_path / "lock_stat"
    path.write_bytes(gzip.compress(TEXT.encode()) if packed else TEXT.encode())
    assert read_lock_stat(path) == {
        "&vn->busy.lock": ClassStatistics(96048, 5632, 220844.03, 79551.79, 949.15),
        "mm/vmstat.c:2079": ClassStatistics(1, 0, 1.0, 0.0, 1.0),
    }


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "line 1: found nothing"),
        (b"lock_stat version 0.3\n", "line 1: found 'lock_stat version 0.3'"),
        (b"lock_stat version 0.4\n", "no class of locks"),
        (b"\x1f\x8b\x08", "lock_stat: found"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, data: bytes, line: str) -> None:
    """What is no lock_stat, or a torn archive, is named."""
    path = tmp_path / "lock_stat"
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        read_lock_stat(path)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    """Its name is in the line."""
    with pytest.raises(BadInput, match="nowhere"):
        read_lock_stat(tmp_path / "nowhere")
