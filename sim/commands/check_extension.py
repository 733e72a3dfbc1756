"""`check-extension`: a file of anybody's, held to the contract of its kind."""

from pathlib import Path

import click

from sim.commands import CHECK_FAILED, printable, set_option


@click.command(
    name="check-extension",
    short_help="Hold a file of your own to its contract.",
    epilog="Exit codes: 0 it holds, 1 it does not (one line on stderr says how, and for what), 2 bad input.",
)
@click.argument("file", type=click.Path(path_type=Path))
@set_option("Change the scenarios in which a workload is judged; may be repeated.")
@click.pass_context
def command(context: click.Context, file: Path, settings: tuple[str, ...]) -> int:
    """Hold FILE, a policy, strategy, workload, … to the contract that the built-in ones pass."""
    from sim import contracts, extensions
    from sim.errors import BadInput

    context.call_on_close(extensions.unload)
    kind, name = extensions.place_of(file)
    if settings and kind != "workloads":
        raise BadInput("--set", settings[0], "nothing, but for workloads")
    click.echo(f"{printable(str(file))}: {name} of the {kind}")
    try:
        for holds in contracts.check(kind, name, settings):
            click.echo(f"  {holds}")
    except contracts.Breach as breach:
        click.echo(f"vmapsim: {printable(str(file))}: {name} {printable(str(breach))}", err=True)
        return CHECK_FAILED
    for remark in contracts.remarks(kind, name):
        click.echo(f"  note: {remark}")
    return 0
