"""`serve`: host node actors in this process."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.commands import Whole, with_extensions

if TYPE_CHECKING:
    from actors.cluster.endpoint import Certificates


@click.command(
    name="serve",
    short_help="Host node actors for a cluster.",
    epilog="Logs JSON lines to stderr; stops at SIGTERM or SIGINT. The protocol: docs/reference/protocol.md. "
    "Exit codes: 0 stopped, 2 bad input.",
)
@click.option("--nodes", required=True, metavar="IDS/COUNT", help="Nodes to host, of how many: 0-3/8.")
@click.option("--listen", "where", required=True, metavar="ENDPOINT", help="unix:PATH or tcp:HOST:PORT.")
@click.option("--state", type=click.Path(path_type=Path), help="Folder for state: acknowledged means on disk.")
@click.option("--zone-size", type=Whole(1), default=65536, show_default=True, help="Bytes in a zone.")
@click.option("--page-size", type=Whole(1), default=4096, show_default=True, help="Bytes in a page.")
@click.option("--kernel", default="6.16", show_default=True, help="Whose pools and lazy trees nodes have.")
@click.option("--choose", "choices", multiple=True, metavar="NAME=VALUE", help="Make one of its choices otherwise.")
@click.option("--one-lock", is_flag=True, help="One actor for all nodes, as the strategy global needs.")
@click.option("--free", is_flag=True, help="Host the free space and the counter of lazy pages.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="This side's certificate (PEM).")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key (PEM).")
@click.option("--client-ca", type=click.Path(path_type=Path), help="Who signs clients' certificates (PEM).")
@click.option("--connections", type=Whole(1), default=64, show_default=True, help="Connections at once.")
@click.option("--in-flight", type=Whole(1), default=256, show_default=True, help="Requests of each.")
@click.option("--areas", type=Whole(1, 32768), default=4096, show_default=True, help="Areas in a request.")
@click.option("--until-eof", is_flag=True, help="Stop when standard input ends.")
@with_extensions
def command(
    nodes: str,
    where: str,
    state: Path | None,
    zone_size: int,
    page_size: int,
    kernel: str,
    choices: tuple[str, ...],
    one_lock: bool,
    free: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
    connections: int,
    in_flight: int,
    areas: int,
    until_eof: bool,
) -> int:
    """Host node actors and serve them at ENDPOINT."""
    from functools import partial

    from actors.cluster.endpoint import parse_endpoint
    from protocol.area import ZoneLayout
    from protocol.connection import Limits
    from sim.cluster.hosting import Hosting, new_log, parse_nodes, serve
    from sim.errors import BadInput
    from sim.scenario.file import choose_kernel

    node_ids, nr_nodes = parse_nodes(nodes, "--nodes")
    if one_lock and len(node_ids) != nr_nodes:
        raise BadInput("--one-lock", f"{len(node_ids)} of {nr_nodes} nodes", "all nodes in one process")
    space = choose_kernel(kernel, page_size, choices)
    hosting = Hosting(
        ZoneLayout(nr_nodes, zone_size), node_ids, one_lock, free, space.chosen_kernel, space.space.page_size
    )
    serving = partial(
        serve,
        hosting,
        parse_endpoint(where, "--listen"),
        state,
        _certificates(tls_cert, tls_key, client_ca),
        limits=Limits(asks=in_flight, areas=areas),
        connections=connections,
        until_eof=until_eof,
        log=new_log(),
    )
    _run_until_stopped(serving)
    return 0


def _certificates(cert: Path | None, key: Path | None, client_ca: Path | None) -> "Certificates | None":
    from actors.cluster.endpoint import Certificates
    from sim.errors import BadInput

    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None or client_ca is None:
        raise BadInput("--tls-cert, --tls-key, --client-ca", "some of them", "all three, or none")
    return Certificates(cert, key, client_ca)


def _run_until_stopped(serving: "Callable[[], Awaitable[None]]") -> None:
    """Run a server until a signal stops it; further ones are as good as the one that made it begin to stop."""
    import signal

    import trio

    from sim.garbage import rare_collections

    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with rare_collections():
            trio.run(serving)
    except BaseException:
        for number, handler in before.items():
            signal.signal(number, handler)
        raise
