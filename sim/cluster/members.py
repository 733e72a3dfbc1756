"""Members: the processes of a cluster, where they listen and what they host, as a TOML file.

    [[member]]
    address = "unix:/run/vmapsim/0.sock"
    nodes = "0-3/8"
    free = true
    [[member]]
    address = "tcp:10.0.0.7:7411"
    nodes = "4-7/8"
    [tls]
    certificate = "client.pem"
    key = "client.key"
    authority = "ca.pem"

Paths in `[tls]` are looked up beside the file.
"""

from collections.abc import Sequence
from pathlib import Path

from attrs import field, frozen

from actors.addresses import FREE_SPACE, LAZY_PAGES, node_actors
from actors.cluster.endpoint import Certificates, Endpoint, parse_endpoint
from actors.world import Address
from sim.cluster.hosting import parse_nodes
from sim.errors import BadInput
from sim.scenario.converter import structure_as
from sim.scenario.file import read_toml


@frozen
class Member:
    """`[[member]]`: one process."""

    address: str = ""
    nodes: str = ""
    free: bool = False


@frozen
class Tls:
    """`[tls]`: what this side shows, and who must have signed what the members show."""

    certificate: str = ""
    key: str = ""
    authority: str = ""


@frozen
class _File:
    member: list[Member] = field(factory=list)
    tls: Tls = field(factory=Tls)


@frozen
class Hosted:
    """A member as the clients' side sees it."""

    endpoint: Endpoint
    node_ids: tuple[int, ...]
    free: bool

    def addresses(self, one_lock: bool) -> list[Address]:
        """Give where its actors are asked."""
        nodes = [actor.address for actor in node_actors(self.node_ids, one_lock=one_lock)]
        return [*nodes, *([FREE_SPACE, LAZY_PAGES] if self.free else [])]


@frozen
class Members:
    """All members, every node in exactly one of them."""

    hosted: Sequence[Hosted]
    certificates: Certificates | None


def load_members(path: Path, nr_nodes: int, needs_free: bool) -> Members:
    """Read a members file for a scenario with `nr_nodes`. Raises `BadInput`."""
    file = structure_as(_File, read_toml(path), str(path))
    hosted = []
    for index, member in enumerate(file.member):
        where = f"{path}: member.{index}"
        ids, total = parse_nodes(member.nodes, f"{where}.nodes") if member.nodes else ((), nr_nodes)
        if total != nr_nodes:
            raise BadInput(f"{where}.nodes", f"{total} nodes in all", f"{nr_nodes}, as the scenario has")
        hosted.append(Hosted(parse_endpoint(member.address, f"{where}.address"), ids, member.free))
    check_members(hosted, nr_nodes, needs_free, str(path))
    return Members(hosted, _certificates(file.tls, path))


def check_members(hosted: Sequence[Hosted], nr_nodes: int, needs_free: bool, where: str) -> None:
    """Raise `BadInput` unless every node, and the free space where it is needed, is hosted once."""
    times = [0] * nr_nodes
    for member in hosted:
        for node_id in member.node_ids:
            times[node_id] += 1
    for node_id, often in enumerate(times):
        if often != 1:
            raise BadInput(f"{where}: member", f"node {node_id} in {often} members", "each node in one member")
    if needs_free and sum(member.free for member in hosted) != 1:
        often = sum(member.free for member in hosted)
        raise BadInput(f"{where}: member", f"free = true in {often} members", "in one, for this workload")


def _certificates(tls: Tls, path: Path) -> Certificates | None:
    given = [tls.certificate, tls.key, tls.authority]
    if not any(given):
        return None
    if not all(given):
        raise BadInput(f"{path}: tls", "some of certificate, key, authority", "all three, or none")
    return Certificates(*(path.parent / name for name in given))
