"""The mutex: first come, first served, in virtual time."""

from actors.lock import FifoLock
from actors.mutex import Mutex
from actors.system import Driver, run_system
from actors.world import Observer, Port
from sim.virtual import VirtualWorld
from tests.unit.actors import VisitCosts


async def test_who_comes_first_is_served_first_and_waiting_is_queueing() -> None:
    """Three CPUs want it at 0, 1 and 2 ns and hold it for 10 ns each."""
    completed: list[tuple[object, ...]] = []
    observer = Observer(completed=completed.append, left=lambda _cpu: None, lock=FifoLock)
    world = VirtualWorld(VisitCosts(), 3, observer, lambda: None)
    statistics = FifoLock("purge")
    mutex = Mutex(world.signal, statistics)

    async def script(port: Port) -> None:
        await port.sleep(port.cpu)
        begin_ns = port.now_ns
        await mutex.acquire(port)
        await port.sleep(10)
        mutex.release(port)
        port.complete("held", begin_ns, 0, None)

    await run_system(world, [], [Driver(cpu, script) for cpu in (2, 0, 1)])
    assert [(row[1], row[2], row[3], row[5]) for row in completed] == [(0, 0, 10, 0), (1, 1, 20, 9), (2, 2, 30, 18)]
    assert (statistics.acquisitions, statistics.contended, statistics.handoffs) == (3, 2, 2)
    assert (statistics.hold_ns, statistics.wait_ns, statistics.wait_max_ns) == (30, 27, 18)
    assert not mutex.is_held
