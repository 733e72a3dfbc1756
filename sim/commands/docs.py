"""`docs`: the documentation as a site."""

from pathlib import Path

import click

ROOT = Path(__file__).parents[2]

MADE = ("index.html", "sitemap.xml", "search/search_index.json")
"""Files by which a site is known."""


@click.command(
    name="docs",
    short_help="Build the documentation as a site.",
    epilog="Needs MkDocs, which ./dev installs, and no network. Exit codes: 0 done, 2 bad input.",
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
    if problem := _not_a_site(out):
        raise BadInput(
            "--out", problem, "a folder that is new, or empty, or a site made before: it is emptied first"
        )
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(out.absolute()), strict=True)
    try:
        build(config)
    except Abort as error:
        raise BadInput("docs", str(error), "links that lead to pages") from None
    except OSError as error:
        raise BadInput("--out", f"{out}: {error.strerror or error}", "a folder that can be written") from None
    click.echo(f"the site is in {out}/: open {out / 'index.html'}")
    return 0


def _not_a_site(out: Path) -> str | None:
    """Say what is in the way of a site at `out`: MkDocs deletes all that it finds there."""
    if not out.exists():
        return None
    if not out.is_dir():
        return f"{out}, which is no folder"
    if any(out.iterdir()) and not all((out / file).exists() for file in MADE):
        return f"{out}/ with something else in it"
    return None
