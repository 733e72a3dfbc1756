"""Who runs replications: processes of this machine, or the workers of a Dask cluster.

Both are executors in the sense of `concurrent.futures`, and neither decides anything: what is run comes from a
queue that its owner may fill while it is worked on, and what is done is given back in whatever order it ends.

A worker that dies takes its task with it, and the task is run again. A cluster does that by itself, up to
`RETRIES` times. A process pool breaks as a whole when one of its processes dies, and does not say whose task was
the end of it; so those under way are run again one at a time in a new pool, where a task that ends its process is
known by it, and is given up after `RETRIES` deaths.
"""

import importlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeAlias

from attrs import define, field

from sim.errors import BadInput, one_line
from sim.study.replication import Failure, Task
from sim.study.store import Record

RETRIES = 2
"""How often a task is run again after its worker died."""

CONNECT_S = 10
"""Seconds to wait for a scheduler's answer."""

Work: TypeAlias = Callable[[Task], Record | Failure]


class Runner(Protocol):
    """The shape of a runner."""

    def results(self, queue: deque[Task], work: Work) -> Iterator[tuple[Task, Record | Failure]]:
        """Do `work` on all of `queue`, also on what is added meanwhile; give results as they come."""
        ...


def all_cores() -> int:
    """Give the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Here:
    """Runs tasks one after the other, in this process."""

    def results(self, queue: deque[Task], work: Work) -> Iterator[tuple[Task, Record | Failure]]:
        """See `Runner.results`."""
        while queue:
            task = queue.popleft()
            yield task, work(task)


@define
class Pool:
    """Runs tasks in processes of this machine."""

    jobs: int
    _suspects: deque[Task] = field(factory=deque)
    """Tasks that were under way when a pool broke: each is tried alone."""
    _deaths: dict[tuple[str, int], int] = field(factory=dict)
    _keeps: bool = False
    _kept: ExitStack = field(factory=ExitStack)
    """Ends the processes that are kept."""
    _executor: ProcessPoolExecutor | None = None

    @contextmanager
    def kept(self) -> Iterator["Pool"]:
        """Keep the processes from one call of `results` to the next, while the body lasts."""
        self._keeps = True
        try:
            with self._kept:
                yield self
        finally:
            self._keeps, self._executor = False, None

    def results(self, queue: deque[Task], work: Work) -> Iterator[tuple[Task, Record | Failure]]:
        """See `Runner.results`."""
        while queue or self._suspects:
            alone = bool(self._suspects)
            source = deque([self._suspects.popleft()]) if alone else queue
            with self._pool(1 if alone else self.jobs) as executor:
                running: dict[Future[Record | Failure], Task] = {}
                try:
                    yield from _results(executor, source, running, self.jobs + 1, work)
                except BrokenProcessPool:
                    self._kept.close()
                    self._executor = None
                    yield from self._bury(list(running.values()), alone)

    def _bury(self, victims: list[Task], alone: bool) -> Iterator[tuple[Task, Failure]]:
        """See what becomes of the tasks that were under way when the pool broke."""
        for task in victims:
            deaths = self._deaths[task.key] = self._deaths.get(task.key, 0) + alone
            if deaths > RETRIES:
                yield task, Failure(f"its process died, {deaths} times")
            else:
                self._suspects.append(task)

    @contextmanager
    def _pool(self, jobs: int) -> Iterator[Executor]:
        if self._keeps and jobs == self.jobs:
            self._executor = self._executor or self._kept.enter_context(_processes(jobs))
            yield self._executor
            return
        with _processes(jobs) as executor:
            yield executor


@contextmanager
def _processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Have processes while the body lasts; when it fails they end at once, whatever they are at."""
    # Spawned: a fork of a process with threads (the progress bar has one) may hang.
    context = multiprocessing.get_context("spawn")
    end, last = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin_worker, initargs=(end,))
    try:
        yield executor
    except BaseException:
        last.close()
        raise
    finally:
        executor.shutdown(cancel_futures=True)
        last.close()
        end.close()


def processes_start() -> bool:
    """Tell whether a process of a pool can begin: it imports the main program, which may start it over again."""
    with _processes(1) as executor:
        try:
            with _interrupts_kept():
                pid = executor.submit(os.getpid)
            pid.result()
        except BrokenProcessPool:
            return False
    return True


@define
class Cluster:
    """Runs tasks on a Dask cluster, found at `scheduler` or, for "local", started here with `jobs` workers."""

    scheduler: str
    jobs: int

    def results(self, queue: deque[Task], work: Work) -> Iterator[tuple[Task, Record | Failure]]:
        """See `Runner.results`."""
        if not queue:
            return
        with self._executor() as (executor, cores):
            running: dict[Future[Record | Failure], Task] = {}
            try:
                yield from _results(executor, queue, running, 2 * cores, work)
            except CancelledError:
                raise BadInput(
                    f"--scheduler {self.scheduler}",
                    "a scheduler that went away",
                    "one that stays; finished cells are kept",
                ) from None

    @contextmanager
    def _executor(self) -> Iterator[tuple[Executor, int]]:
        try:
            distributed: Any = importlib.import_module("distributed")  # an extra, and untyped
        except ImportError:
            allowed = "Dask's distributed installed (pip install 'vmapsim[cluster]'), or no --scheduler"
            raise BadInput("--scheduler", "no package `distributed`", allowed) from None
        with ExitStack() as stack:
            if self.scheduler == "local":
                cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=self.jobs,
                        threads_per_worker=1,
                        dashboard_address="127.0.0.1:0",
                        silence_logs="ERROR",
                    )
                )
                client = stack.enter_context(distributed.Client(cluster))
            else:
                try:
                    client = stack.enter_context(distributed.Client(self.scheduler, timeout=CONNECT_S))
                except (OSError, ValueError, TypeError) as error:
                    found = f"nobody who answers ({' '.join(str(error).split())})"
                    raise BadInput(f"--scheduler {self.scheduler}", found, "local, or tcp://HOST:PORT") from None
            cores = sum(client.ncores().values())
            if not cores:
                raise BadInput(f"--scheduler {self.scheduler}", "a cluster without workers", "at least one worker")
            yield client.get_executor(pure=False, retries=RETRIES), cores


def _results(
    executor: Executor, queue: deque[Task], running: dict["Future[Record | Failure]", Task], width: int, work: Work
) -> Iterator[tuple[Task, Record | Failure]]:
    """Keep up to `width` tasks under way; what is left in `running` after an error was under way then."""
    while queue or running:
        while queue and len(running) < width:
            task = queue[0]
            with _interrupts_kept():
                running[executor.submit(work, task)] = task
            queue.popleft()
        done, _pending = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            result = _result_of(future)
            yield running.pop(future), result


def _result_of(future: "Future[Record | Failure]") -> Record | Failure:
    """Give what a task came to; an executor that cannot go on raises."""
    try:
        return future.result()
    except (BrokenProcessPool, CancelledError):
        raise
    except Exception as error:  # for one, Dask's KilledWorker
        return Failure(one_line(error))


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Keep interrupts until the body is over: a process that it starts gets none, not while it imports either."""
    resource_tracker.ensure_running()  # it would let interrupts through again, before the first process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(end: Connection) -> None:
    """Leave interrupts to the parent, and end when it does, however, or when it closes the other end of `end`.

    Left to itself a pool's workers would wait for ever for a parent that is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, args=(end,), daemon=True).start()


def _end_with_the_parent(end: Connection) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    connection.wait([parent.sentinel, end])
    os._exit(1)
