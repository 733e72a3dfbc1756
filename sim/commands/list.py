"""`list`: what scenarios can name."""

import click

from sim.commands import with_extensions

WHAT = ("kernels", "policies", "strategies", "workloads", "costs", "topologies", "presets", "faults", "checks")
"""The catalogues that there are (`sim.catalogue`), without importing them."""


@click.command(name="list", short_help="List what scenarios can name.")
@click.argument("what", type=click.Choice(WHAT))
@with_extensions
def command(what: str) -> None:
    """List what scenarios can name, each with a line of explanation."""
    from sim.catalogue import CATALOGUES

    entries = CATALOGUES[what]()
    width = max(len(name) for name in entries)
    for name, summary in entries.items():
        click.echo(f"{name:<{width}}  {summary}")
