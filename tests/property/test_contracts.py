"""Contracts: every file of every folder of ideas holds to its own, and each clause finds who does not."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol import registry
from protocol.area import VMALLOC_START
from sim import contracts, extensions
from sim.contracts import Breach, Clause, contract_of

CLAUSES = [
    (kind, name, clause)
    for kind in extensions.KINDS
    for name in registry.names(extensions.folder_of(kind))
    for clause in contract_of(kind).CLAUSES
]

HEAD = "init-1 [000] ..... 1.0:"
REQUEST = "size=8192 align=1 vstart=0x0 vend=0xffffffffffffffff failed=0"
TRACE = f"""\
{HEAD} alloc_vmap_area: va_start: {VMALLOC_START} {REQUEST}
{HEAD} alloc_vmap_area: va_start: {VMALLOC_START + 8192} {REQUEST}
{HEAD} free_vmap_area_noflush: va_start={VMALLOC_START:#x} nr_lazy=0 nr_lazy_max=0
"""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, tuple[str, ...]]:
    """Give what the workloads need that do not do with a number of operations."""
    trace = tmp_path / "trace.txt.gz"
    trace.write_bytes(gzip.compress(TRACE.encode()))
    test = ("workload.test_vmalloc.run_test_mask=1", "workload.test_vmalloc.test_loop_count=3")
    load = ('workload.modprobe.load=[{name="a", run_test_mask=1, test_loop_count=3}]', "space.kernel=6.10")
    return {"trace": (f"workload.file={trace}",), "test_vmalloc": test, "modprobe": load}


@pytest.fixture(autouse=True)
def no_extensions_left() -> Iterator[None]:
    """Take back what a test has loaded."""
    yield
    extensions.unload()


@pytest.mark.parametrize(("kind", "name", "clause"), CLAUSES, ids=lambda value: getattr(value, "__name__", value))
def test_every_file_holds_to_the_contract_of_its_folder(
    kind: str, name: str, clause: Clause, settings: dict[str, tuple[str, ...]]
) -> None:
    """Whatever its parameters."""
    if kind == "workloads":
        contract_of(kind).hold(name, clause, settings.get(name, ()))
    else:
        contract_of(kind).hold(name, clause)


def test_no_check_passes_all_planted_errors() -> None:
    """Each of the folder's own checks finds something that it is for."""
    for name in registry.names(extensions.folder_of("checks")):
        assert contracts.remarks("checks", name) == []


POLICY = "def wrong(home, nr_nodes):\n    {}\n"
STRATEGY = "from protocol.strategies import LockSession, group_by_node\n\ndef wrong(areas, layout):\n    {}\n"
CHECK = "from sim.checks import Verdict\n\ndef wrong(evidence):\n    {}\n"
WORKLOAD = """
from protocol.area import VMALLOC_START, VmapArea
from sim.workloads import Plan

async def run(client):
    {}

def wrong(scenario, beside) -> Plan:
    return Plan([0], [], 1, False, lambda world: {{0: run}})
"""

WRONG = {
    "never stops": (
        POLICY.format("while True: pass"),
        "wrong does not stop, from home node 0 of 1: more than 100,000 steps of Python",
    ),
    "never stops asking": (
        POLICY.format("step = 0\n    while home + 1: step += 1"),
        "wrong does not stop, from home node 0 of 1: more than 100,000 steps of Python",
    ),
    "asks a node twice": (
        POLICY.format("return ((home,), *(((home - step) % nr_nodes,) for step in range(nr_nodes)))"),
        "wrong asks node 0 twice, from home node 0 of 1: ((0,), (0,))",
    ),
    "skips the home node": (
        POLICY.format("return tuple(((home - step) % nr_nodes,) for step in range(1, nr_nodes + 1))"),
        "wrong begins with node 1, not with the home node, from home node 0 of 2: ((1,), (0,))",
    ),
    "asks who is not there": (
        POLICY.format("return ((home,), (home + 1,))"),
        "wrong asks node 1, which does not exist, from home node 0 of 1: ((0,), (1,))",
    ),
    "raises": (
        POLICY.format("return ((home,), (1 // (nr_nodes - 2),))"),
        "wrong raises ZeroDivisionError: integer division or modulo by zero, from home node 0 of 2",
    ),
    "remembers": (
        "seen = []\n" + POLICY.format("seen.append(1)\n    return ((home,),) if len(seen) % 2 else [home]"),
        "wrong gives no tuple of rounds, each a tuple of node ids, from home node 0 of 1: [0]",
    ),
    "loses an area": (
        STRATEGY.format("return tuple((session,) for session in group_by_node(areas[1:], layout))"),
        "wrong loses the area [0x0, 0x1), for [[0x0, 0x1)], 1 nodes, zones of 1 bytes: ()",
    ),
    "holds two locks": (
        STRATEGY.format(
            "home = layout.addr_to_node_id\n"
            "    return ((LockSession(home(areas[0].va_start), tuple(areas)),),) if areas else ()"
        ),
        "wrong holds two locks in one session, node 0's and node 1's, for [[0x0, 0x1), [0x1, 0x2)], 2 nodes, "
        "zones of 1 bytes: ((LockSession(node_id=0, areas=([0x0, 0x1), [0x1, 0x2))),),)",
    ),
    "inserts twice": (
        STRATEGY.format("return tuple((session,) for session in group_by_node([*areas, *areas[:1]], layout))"),
        "wrong inserts twice the area [0x0, 0x1), for [[0x0, 0x1)], 1 nodes, zones of 1 bytes: "
        "((LockSession(node_id=0, areas=([0x0, 0x1), [0x0, 0x1))),),)",
    ),
    "goes to another node": (
        STRATEGY.format(
            "sessions, nodes = group_by_node(areas, layout), layout.nr_nodes\n"
            "    return tuple((LockSession((s.node_id + 1) % nodes, s.areas),) for s in sessions)"
        ),
        "wrong makes a session with node 1 for areas of node 0, for [[0x0, 0x1)], 2 nodes, zones of 1 bytes: "
        "((LockSession(node_id=1, areas=([0x0, 0x1),)),),)",
    ),
    "never stops inserting": (
        STRATEGY.format("while areas: pass\n    return ()"),
        "wrong does not stop, for [[0x0, 0x1)], 1 nodes, zones of 1 bytes: more than 100,000 steps of Python",
    ),
    "objects to everybody": (
        CHECK.format("return Verdict(1, 'I do not like it')"),
        "wrong objects to a sound run: I do not like it",
    ),
    "counts without words": (
        CHECK.format("return Verdict(len(evidence.nodes))"),
        "wrong gives Verdict(count=2, first=None), whose count and first do not agree, for a sound run",
    ),
    "does nothing": (WORKLOAD.format("pass"), "wrong completes no operation, on 1 CPUs and 1 nodes"),
    "inserts where something is": (
        WORKLOAD.format("for _ in range(2): await client.insert(VmapArea(VMALLOC_START, VMALLOC_START + 4096))"),
        "wrong raises RequestRefused: ",
    ),
    "sleeps for ever": (
        WORKLOAD.format("while True: await client.sleep(1)"),
        "wrong does not",
    ),
    "draws from somewhere else": (
        "import random\n"
        + WORKLOAD.format("await client.sleep(random.randrange(1, 10**9)); await client.find(VMALLOC_START)"),
        "wrong differs from run to run, on 1 CPUs and 1 nodes",
    ),
}
"""Extensions that break their contract, and what is said of each."""


@pytest.mark.parametrize("what", WRONG)
def test_who_breaks_a_contract_is_told_how_and_for_what(what: str, tmp_path: Path) -> None:
    """By the smallest example there is, in one line."""
    source, said = WRONG[what]
    path = tmp_path / "wrong.py"
    path.write_text(source)
    extension = extensions.load(path)
    with pytest.raises(Breach) as caught:
        list(contracts.check(extension.kind, extension.name))
    text = f"wrong {caught.value}"
    assert "\n" not in text
    assert text.startswith(said)
