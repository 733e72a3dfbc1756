"""kworkers: who does which work, helpers of a sleeping worker, the end."""

from actors.workqueue import WORKERS, Job, Workqueue
from actors.world import Port
from tests.twins.at_once import AtOnce, Flag


class Bench:
    """A workqueue of three CPUs and a log of what ran where."""

    def __init__(self, clients: int = 1) -> None:
        self.world = AtOnce({})
        self.queue = Workqueue(Flag, range(3), clients)
        self.log: list[tuple[int, str]] = []
        for cpu in range(3):
            for _ in range(WORKERS):
                self.world.start(cpu, self.queue.work)

    def job(self, name: str, *awaits: Flag) -> Job:
        async def run(port: Port) -> None:
            for flag in awaits:
                await port.wait(flag)
            self.log.append((port.cpu, name))

        return run

    @property
    def workers(self) -> int:
        return len(self.world._others)


def test_work_runs_on_its_cpu_in_order() -> None:
    bench = Bench()
    done = [bench.queue.queue_on(cpu, bench.job(name)) for cpu, name in ((1, "a"), (2, "b"), (1, "c"))]
    bench.world._run_others()
    assert sorted(bench.log) == [(1, "a"), (1, "c"), (2, "b")]
    assert all(signal.is_set() for signal in done)


def test_while_a_worker_sleeps_another_one_of_its_cpu_works() -> None:
    """A purge that waits for its helpers: their work may be queued on the very same CPU."""
    bench = Bench()
    flag = Flag()
    bench.queue.queue_on(1, bench.job("sleeper", flag))
    bench.queue.queue_on(1, bench.job("helper"))
    bench.world._run_others()
    assert bench.log == [(1, "helper")]
    flag.set()
    bench.world._run_others()
    assert bench.log == [(1, "helper"), (1, "sleeper")]


class Always:
    """Shares a CPU with nobody: everybody always has their turn."""

    def begin(self, port: Port) -> None:
        pass

    def turn(self, port: Port) -> int:  # noqa: ARG002 (the shape of `Sharing`)
        return 0

    def most(self, port: Port) -> int:  # noqa: ARG002
        return 10**9

    def rest(self, port: Port) -> None:
        pass


class Noted(Always):
    """Notes who begins and rests."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def begin(self, port: Port) -> None:
        self.asked.append(f"begin {port.cpu}")

    def rest(self, port: Port) -> None:
        self.asked.append(f"rest {port.cpu}")


def test_a_kworker_rests_when_nothing_is_left_to_do() -> None:
    """Once, not between two works, nor when it was woken for nothing."""
    bench, noted = Bench(), Noted()
    bench.queue.sharing = noted
    for name in "ab":
        bench.queue.queue_on(1, bench.job(name))
    bench.world._run_others()
    assert noted.asked == ["begin 1", "begin 1", "rest 1"]


def test_one_kworker_of_a_cpu_at_a_time_is_at_work_where_they_share_it_with_threads() -> None:
    """Another one begins when it sleeps, or when it has done; work that is not managed does not wait for that."""
    bench = Bench()
    bench.queue.sharing = Always()
    flag = Flag()

    async def begins(port: Port) -> None:
        bench.log.append((port.cpu, "first begins"))
        bench.queue.queue_on(1, bench.job("second"))
        bench.queue.queue_on(1, bench.job("unmanaged"), managed=False)
        await port.sleep(1000)
        bench.log.append((port.cpu, "first sleeps"))
        await port.wait(flag)

    bench.queue.queue_on(1, begins)
    bench.world._run_others()
    assert [name for _cpu, name in bench.log] == ["first begins", "unmanaged", "first sleeps", "second"]
    flag.set()
    bench.world._run_others()
    bench.queue.queue_on(1, bench.job("third"))
    bench.world._run_others()
    assert bench.log[4:] == [(1, "third")]


def test_of_kworkers_with_nothing_to_do_the_last_one_at_work_is_woken() -> None:
    """What it is owed, or owes, is still its own when the next work comes."""
    bench = Bench()
    flag = Flag()
    ports: list[Port] = []

    async def note(port: Port) -> None:
        ports.append(port)

    async def sleep(port: Port) -> None:
        await port.wait(flag)
        ports.append(port)

    bench.queue.queue_on(1, sleep)
    bench.queue.queue_on(1, note)
    bench.world._run_others()
    flag.set()
    bench.world._run_others()
    bench.queue.queue_on(1, note)
    bench.world._run_others()
    other, sleeper, last = ports
    assert last is sleeper is not other


def test_an_unbound_queue_takes_the_cpu_with_the_least_to_do() -> None:
    bench = Bench()
    flag = Flag()
    bench.queue.queue_on(0, bench.job("long", flag))
    bench.world._run_others()
    for name in "ab":
        bench.queue.queue_unbound(bench.job(name))
    flag.set()
    bench.world._run_others()
    assert sorted(bench.log) == [(0, "long"), (1, "a"), (2, "b")]
    assert bench.queue.has_cpu(2)
    assert not bench.queue.has_cpu(3)


def test_workers_end_when_the_clients_are_over_and_nothing_is_left_to_do() -> None:
    bench = Bench(clients=2)
    flag = Flag()
    bench.queue.queue_on(1, bench.job("late", flag))
    bench.queue.client_is_over()
    bench.queue.client_is_over()
    bench.world._run_others()
    assert bench.workers == 3 * WORKERS, "the work is not done"
    flag.set()
    bench.world._run_others()
    assert bench.log == [(1, "late")]
    assert bench.workers == 0
