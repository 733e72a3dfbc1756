"""`docs`: the documentation as a site."""

from pathlib import Path

import click

ROOT = Path(__file__).parents[2]


@click.command(
    name="docs", epilog="Needs MkDocs, which ./dev installs, and no network. Exit codes: 0 done, 2 bad input."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out/site"),
    show_default=True,
    help="Folder for the site.",
)
def command(out: Path) -> int:
    """Build the site of docs/; a page that is missing, or a link to none, is an error."""
    from sim.errors import BadInput

    try:
        from mkdocs.commands.build import build
        from mkdocs.config import load_config
        from mkdocs.exceptions import Abort
    except ImportError:
        raise BadInput("docs", "no package `mkdocs`", "it installed (pip install 'vmapsim[docs]')") from None
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(out.absolute()), strict=True)
    try:
        build(config)
    except Abort as error:
        raise BadInput("docs", str(error), "links that lead to pages") from None
    click.echo(f"the site is in {out}/: open {out / 'index.html'}")
    return 0
