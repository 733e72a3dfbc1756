"""`list`: what scenarios can name."""

import click


@click.command(name="list")
@click.argument(
    "what",
    type=click.Choice(["kernels", "policies", "strategies", "workloads", "costs", "topologies", "presets"]),
)
def command(what: str) -> None:
    """List what scenarios can name, each with a line of explanation."""
    from sim.catalogue import CATALOGUES

    entries = CATALOGUES[what]()
    width = max(len(name) for name in entries)
    for name, summary in entries.items():
        click.echo(f"{name:<{width}}  {summary}")
