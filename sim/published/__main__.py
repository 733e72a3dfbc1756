"""`python -m sim.published FOLDER [--run] [--jobs N]`: write the page, after carrying out all runs if told to."""

from pathlib import Path

import click

from sim.files import write_files
from sim.published.page import page
from sim.published.runs import ALL, FOLDER, RESULTS, carry_out, kept, text_of


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--run", is_flag=True, help="Carry out all runs first, instead of taking the figures that are kept.")
@click.option("--only", default="", help="With --run: only runs whose names begin like this.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Processes to run in.")
def main(folder: Path, run: bool, only: str, jobs: int) -> None:
    """Write published-figures.md into FOLDER."""
    figures = kept() if RESULTS.exists() else {}
    if run:
        figures |= carry_out([one for one in ALL if one.name.startswith(only)], jobs)
        write_files(FOLDER, {RESULTS.name: text_of(figures)})
    write_files(folder, {"published-figures.md": page(figures)})


if __name__ == "__main__":
    main()
