"""Shared memory: what holds take, by who was there before; who gets a lock next; the checks under it."""

from pathlib import Path
from typing import Any

import pytest

from actors.errors import expect
from actors.system import Driver, Server, run_system
from actors.world import Port, Script
from protocol.area import VmapArea
from protocol.messages import (
    AddLazyPages,
    Adopt,
    Find,
    FindUnlink,
    Forget,
    Insert,
    Inserted,
    LazyPages,
    Migrate,
    NotFound,
    Refer,
    Reply,
    Request,
    SetupVm,
    TryFind,
    Unlinked,
)
from protocol.work import Work, without_lock
from sim.costs import cost_model
from sim.costs._touched import INSERTED, READ, UNLINKED
from sim.costs.shared_memory import SharedMemory, path_ns
from sim.errors import BadInput
from sim.results import results_of
from sim.scenario.costs import Costs
from sim.scenario.file import structure
from sim.simulation import simulate
from sim.virtual import VirtualWorld
from tests.unit.actors import Seen

HERE = Path()
FAR, NEAR = 100, 10
MATRIX = [[0, NEAR, FAR, FAR], [NEAR, 0, FAR, FAR], [FAR, FAR, 0, NEAR], [FAR, FAR, NEAR, 0]]
"""Two complexes of two CPUs."""

LOCK_NS, LINES, LEVEL_NS = 7, 2, 3
COSTS = {"model": "shared-memory", "lock_ns": LOCK_NS, "lock_lines": LINES, "l2_ns": LEVEL_NS, "node_lines": 1}
AREA = VmapArea(0x10000, 0x12000)
BUSY = Work("busy/0", 4, 1)


def memory(**costs: Any) -> SharedMemory:
    """Make the cost model of four CPUs."""
    machine = {"cpus": 4, "topology": "matrix", "matrix": {"ns": MATRIX}}
    model = cost_model(structure({"machine": machine, "costs": {**COSTS, **costs}}, "test"), HERE)
    assert isinstance(model, SharedMemory)
    return model


# -- holds by hand --------------------------------------------------------------------------------


def test_alone_a_hold_is_the_lock_and_the_search() -> None:
    """No line moves from a CPU to itself, however often it comes."""
    alone = memory()
    expected = LOCK_NS + 4 * LEVEL_NS
    assert [alone.hold_ns(2, BUSY, Insert(AREA), Inserted(1)) for _ in range(3)] == [expected] * 3


def test_the_lock_and_the_neighbourhood_come_from_who_was_there() -> None:
    """Lines of the lock and those beside the area, as far as the CPU before."""
    model = memory()
    model.hold_ns(0, BUSY, Insert(AREA), Inserted(1))
    near = model.hold_ns(1, BUSY, FindUnlink(0, AREA.va_start), Unlinked(AREA))
    far = model.hold_ns(2, BUSY, Insert(AREA), Inserted(1))
    assert near == LOCK_NS + 4 * LEVEL_NS + (LINES + UNLINKED) * NEAR
    assert far == LOCK_NS + 4 * LEVEL_NS + (LINES + INSERTED) * FAR


def test_areas_elsewhere_share_the_lock_only() -> None:
    """An area a mebibyte away has other neighbours."""
    model = memory()
    model.hold_ns(0, BUSY, Insert(AREA), Inserted(1))
    away = VmapArea(0x110000, 0x112000)
    assert model.hold_ns(3, BUSY, Insert(away), Inserted(1)) == LOCK_NS + 4 * LEVEL_NS + LINES * FAR


def test_a_lookup_leaves_the_lines_where_they_are() -> None:
    """Two lookups by one CPU each read what a third wrote; a copy is not counted as moved."""
    model = memory()
    model.hold_ns(0, BUSY, Insert(AREA), Inserted(1))
    find = Find(0, AREA.va_start)
    first = model.hold_ns(2, BUSY, find, NotFound())
    second = model.hold_ns(2, BUSY, find, NotFound())
    assert first == LOCK_NS + 4 * LEVEL_NS + (LINES + READ) * FAR
    assert second == LOCK_NS + 4 * LEVEL_NS + READ * FAR


def test_setup_searches_nothing_and_the_counter_is_one_line() -> None:
    """setup_vmalloc_vm() has the area at hand; vmap_lazy_nr is an atomic and no queue."""
    model = memory()
    model.hold_ns(0, BUSY, Insert(AREA), Inserted(1))
    setup = SetupVm(AREA.va_start, None)  # type: ignore[arg-type]  # the vm does not matter
    assert model.hold_ns(1, BUSY, setup, NotFound()) == LOCK_NS + LINES * NEAR
    counter = Work("vmap_lazy_nr", 0, 1)
    model.hold_ns(0, counter, AddLazyPages(2), LazyPages(2))
    assert model.hold_ns(2, counter, AddLazyPages(2), LazyPages(4)) == LOCK_NS + FAR


@pytest.mark.parametrize(
    ("request_", "lines"),
    [
        (Adopt(1, AREA), INSERTED),
        (Refer(1, (AREA,)), INSERTED),
        (Forget(1, AREA.va_start), UNLINKED),
        (Migrate(1, AREA.va_start, 2), UNLINKED + INSERTED),
    ],
    ids=repr,
)
def test_areas_that_are_elsewhere_have_neighbours_too(request_: Request, lines: int) -> None:
    """Whoever comes after it gets the lock's lines and those beside the area."""
    model = memory()
    model.hold_ns(0, BUSY, Insert(AREA), Inserted(1))
    assert model.hold_ns(1, BUSY, request_, Inserted(1)) == LOCK_NS + 4 * LEVEL_NS + (LINES + lines) * NEAR
    assert (
        model.hold_ns(3, BUSY, Find(1, AREA.va_start), NotFound()) == LOCK_NS + 4 * LEVEL_NS + (LINES + READ) * FAR
    )


def test_work_without_a_lock_moves_no_lock() -> None:
    """It costs what it visits, here nothing."""
    assert memory().hold_ns(1, without_lock(1), SetupVm(1, None), NotFound()) == 0  # type: ignore[arg-type]


def test_deep_levels_come_from_the_cache_that_the_tree_fits() -> None:
    """Nodes of 64 bytes: 2 levels (192 bytes) fit L2, a third (448) L3, the rest neither."""
    costs = Costs(node_bytes=64, node_lines=1, l2_bytes=200, l3_bytes=500, l2_ns=1, l3_ns=10, dram_ns=100)
    assert path_ns(costs)[:6] == [0, 1, 2, 12, 112, 212]


def test_scaled_trees_are_deeper_by_the_logarithm() -> None:
    """With each area for 8, a tree of 2 levels is one of 5; an empty one stays empty."""
    costs, plain = Costs(tree_scale=8), Costs()
    assert path_ns(costs)[2] == path_ns(plain)[5]
    assert path_ns(costs)[0] == 0


# -- who is next ----------------------------------------------------------------------------------


class Held:
    """A machine with one lock, whose work says which request it was."""

    def handle(self, request: Request) -> tuple[Reply, Work]:
        """Find nothing."""
        return NotFound(), Work("busy/0", 0, 1, attempt=isinstance(request, TryFind))


async def order(arbitration: str, starts: list[tuple[int, int]]) -> tuple[list[int], Seen]:
    """Give the CPUs in the order in which they got the lock, of those that ask at (cpu, time)."""
    seen = Seen()
    world = VirtualWorld(memory(arbitration=arbitration, lock_ns=50), 4, seen.observer(), lambda: None)

    def script(start_ns: int) -> Script:
        async def ask(port: Port) -> None:
            await port.sleep(start_ns)
            await port.call("a", Find(0, 0))
            port.complete("ask", start_ns, 0, None)

        return ask

    await run_system(world, [Server("a", Held())], [Driver(cpu, script(at)) for cpu, at in starts])
    return [row[1] for row in seen.completed], seen


async def test_fifo_is_the_order_of_arrival() -> None:
    """Whatever the distance."""
    assert (await order("fifo", [(0, 0), (2, 1), (1, 2), (3, 3)]))[0] == [0, 2, 1, 3]


async def test_nearest_takes_those_of_the_same_complex_first() -> None:
    """CPU 1 is next to 0, and 3 to 2, though 2 came before 1."""
    assert (await order("nearest", [(0, 0), (2, 1), (1, 2), (3, 3)]))[0] == [0, 1, 2, 3]


async def test_nobody_is_overtaken_by_those_of_the_next_round() -> None:
    """CPU 1 comes when a round of 2 and 3 has begun: it waits for both, near as it is to 0."""
    assert (await order("nearest", [(0, 0), (2, 1), (3, 2), (1, 51), (0, 52)]))[0] == [0, 2, 3, 1, 0]


async def test_waits_holds_and_handoffs_are_those_of_the_holds() -> None:
    """Two CPUs of one complex: the second waits for 49 of 50 ns, and its lines move."""
    _order, seen = await order("nearest", [(0, 0), (1, 1)])
    lock = seen.locks["busy/0"]
    assert (lock.acquisitions, lock.contended, lock.handoffs) == (2, 1, 1)
    moved_ns = 50 + LINES * NEAR
    assert (lock.wait_ns, lock.hold_ns, lock.hold_max_ns) == (49, 50 + moved_ns, moved_ns)
    assert [(row[5], row[6]) for row in seen.completed] == [(0, 50), (49, moved_ns)]


async def test_a_lock_that_is_only_tried_is_found_held() -> None:
    """The one who tries goes on at once, and leaves no trace in the statistics."""
    seen = Seen()
    world = VirtualWorld(memory(lock_ns=50), 4, seen.observer(), lambda: None)
    replies: list[Reply] = []

    async def holds(port: Port) -> None:
        expect(await port.call("a", Find(0, 0)), NotFound)

    async def tries(port: Port) -> None:
        await port.sleep(1)
        replies.append(await port.call("a", TryFind(0, 0)))
        assert port.now_ns == 1
        await port.sleep(100)
        replies.append(await port.call("a", TryFind(0, 0)))

    await run_system(world, [Server("a", Held())], [Driver(0, holds), Driver(1, tries)])
    assert [type(reply).__name__ for reply in replies] == ["Busy", "NotFound"]
    assert seen.locks["busy/0"].acquisitions == 2


# -- whole runs -----------------------------------------------------------------------------------

CASES: dict[str, dict[str, Any]] = {
    "near and far": {"costs": {"preset": "threadripper-3970x", "arbitration": "nearest", "page_ns": 100}},
    "first come first served": {"costs": {"preset": "xeon-6242-2s"}},
    "flat memory": {"costs": {"model": "shared-memory"}},
    "messages in one machine": {"machine": {"topology": "cores"}},
    "messages between hosts": {"machine": {"topology": "hosts", "hosts": {"distribution": "lognormal"}}},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kernel", ["6.8", "6.16"])
def test_all_checks_hold_and_a_seed_repeats(case: str, kernel: str) -> None:
    """vmalloc's callers on 8 CPUs, through purges: whatever time things take, nothing is lost, and all repeats."""
    tables = CASES[case]
    asked = {
        **tables,
        "machine": {**tables.get("machine", {}), "cpus": 8},
        "space": {"kernel": kernel},
        "workload": {"kind": "vmalloc", "operations": 1500, "preload_areas": 50, "vmalloc": {"held_areas": 20}},
    }
    first, second = (results_of(simulate(structure(asked, "test"), HERE)) for _ in range(2))
    assert all(check["ok"] for check in first["checks"].values())
    assert first["digest"] == second["digest"]
    assert first["virtual_ns"] == second["virtual_ns"]


@pytest.mark.parametrize(
    ("tables", "found"),
    [
        (
            {"machine": {"topology": "hosts"}},
            "shared-memory, with machine.topology hosts; allowed: message-pass",
        ),
        ({"faults": {"messages": [{"loss": 0.1}]}}, r"shared-memory, with \[faults\]; allowed: message-passing"),
    ],
)
def test_what_has_no_shared_memory_is_refused(tables: dict[str, Any], found: str) -> None:
    """Hosts share no memory, and what is not sent cannot get lost: one line says so."""
    asked = {"workload": {"operations": 10}, "costs": {"model": "shared-memory"}, **tables}
    with pytest.raises(BadInput, match=found):
        simulate(structure(asked, "test"), HERE)
