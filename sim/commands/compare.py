"""`compare`: two folders of results side by side, with relative differences."""

from pathlib import Path

import click

from sim.commands import Session


@click.command(
    name="compare",
    short_help="Show two results side by side.",
    epilog="Each folder is what `run` or `study` left, both of the same kind. Exit codes: 0 done, 2 bad input.",
)
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON instead of tables.")
@click.pass_obj
def command(session: Session, a: Path, b: Path, as_json: bool) -> None:
    """Show the results in folders A and B side by side, and how much B differs from A."""
    from sim.comparison import compared, show_comparison
    from sim.files import to_json

    found = compared(a, b)
    if as_json:
        click.echo(to_json(found.as_json()), nl=False)
    else:
        show_comparison(session.console(), found)
