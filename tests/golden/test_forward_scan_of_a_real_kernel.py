"""The forward search against Linux 6.12: the locks that 3,230 calls really took (tests/data/README.md)."""

import gzip
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from protocol.area import ZoneLayout
from protocol.policies import Policy
from protocol.policies.backward import backward
from protocol.policies.forward import forward

RECORDED = Path(__file__).parents[1] / "data" / "deb-smp4-scan.txt.gz"
LAYOUT = ZoneLayout(nr_nodes=4)


@frozen
class Call:
    function: str
    addr: int
    va_start: int
    nodes: tuple[int, ...]


def recorded_calls() -> list[Call]:
    lines = gzip.decompress(RECORDED.read_bytes()).decode().splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return [
        Call(function, int(addr, 16), int(va_start, 16), tuple(map(int, nodes.split(","))))
        for function, addr, va_start, nodes in rows
    ]


def asked(policy: Policy, call: Call) -> tuple[int, ...]:
    """The nodes that a lookup under `policy` asks until it meets the one that has the area."""
    owner = LAYOUT.addr_to_node_id(call.va_start)
    return tuple(until(owner, policy(LAYOUT.addr_to_node_id(call.addr), LAYOUT.nr_nodes)))


def until(owner: int, rounds: tuple[tuple[int, ...], ...]) -> Iterator[int]:
    for nodes in rounds:
        yield from nodes
        if owner in nodes:
            return


def unexplained(policy: Policy) -> list[Call]:
    return [call for call in recorded_calls() if asked(policy, call) != call.nodes]


def test_all_calls_were_recorded() -> None:
    """The data holds as many calls of each kind as its README says."""
    calls = recorded_calls()
    finds = [len(call.nodes) for call in calls if call.function == "find_vmap_area"]
    others = [len(call.nodes) for call in calls if call.function != "find_vmap_area"]

    assert len(calls) == 3_230
    assert [finds.count(nodes) for nodes in (1, 2, 3, 4)] == [1_085, 74, 74, 74]
    assert others == [1] * (989 + 934), "an insert or unlink takes the one lock of its area's node"


def test_the_forward_search_takes_the_kernels_locks() -> None:
    """Every call of a 6.12 kernel locked exactly the nodes that `forward` asks, in that order."""
    assert unexplained(forward) == []


def test_the_backward_search_would_have_taken_others() -> None:
    """`backward` differs on each call that locked more than one node: the data can tell the two apart."""
    several = [call for call in recorded_calls() if len(call.nodes) > 1]

    assert len(several) == 222
    assert unexplained(backward) == several
