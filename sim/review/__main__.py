"""`python -m sim.review OUT FOLDER`: take the studies' tables from OUT, write page and pictures into FOLDER."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from sim.files import write_whole
from sim.review.answers import STUDIES
from sim.review.page import DATA, page, pictures
from sim.review.pictures import draw
from sim.review.tables import TABLES, read


def main(out: Path, folder: Path) -> None:
    """Take the tables of all studies from `out`, and make the page of them in `folder`."""
    data = folder / DATA
    for name in STUDIES:
        (data / name).mkdir(parents=True, exist_ok=True)
        for table in TABLES:
            if (out / name / table).exists():
                shutil.copyfile(out / name / table, data / name / table)
    tables = {name: read(data, name) for name in STUDIES}
    texts: Mapping[Path, str] = {
        folder / f"{DATA}.md": page(tables),
        **{data / name: draw(picture) for name, picture in pictures(tables).items()},
    }
    write_whole(texts)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
