"""Sharing a CPU: a kworker runs when it is its turn, and threads of its CPU run in between.

Who decides whose turn it is stands above. A kworker asks it before each command that takes time; a wait for a
signal is sleep, and needs no CPU.
"""

from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, Protocol, TypeVar

from actors.world import Attempts, Command, Port

T = TypeVar("T")


class Sharing(Protocol):
    """Who has the CPUs; kworkers are known by their ports, each of which has its CPU and the time."""

    def begin(self, port: Port) -> None:
        """Take note that a kworker has something to do from now on, if it had not already."""
        ...

    def turn(self, port: Port) -> int:
        """Give how long a kworker has to wait at least for its turn; 0 while it has it."""
        ...

    def most(self, port: Port) -> int:
        """Give how long it lets time pass at once: after that it asks for its turn again."""
        ...

    def rest(self, port: Port) -> None:
        """Take note that it sleeps."""
        ...


@coroutine
def sharing(script: Coroutine[Command, Any, T], port: Port, cpus: Sharing) -> Generator[Command, Any, T]:
    """Run `script` on the port's CPU, whenever it is its turn; give what it returns."""
    answer: Any = None
    error: Exception | None = None
    cpus.begin(port)
    yield from _turn(port, cpus)
    while True:
        try:
            command = script.send(answer) if error is None else script.throw(error)
        except StopIteration as end:
            result: T = end.value
            return result
        answer = error = None
        try:
            answer = yield from _carried_out(command, port, cpus)
        except Exception as raised:
            error = raised


def _carried_out(command: Command, port: Port, cpus: Sharing) -> Generator[Command, Any, Any]:
    if not isinstance(command, (tuple, list, int)):
        if not isinstance(command, Attempts) and command.is_set():
            return (yield command)
        cpus.rest(port)
        try:
            answer = yield command
        finally:
            cpus.begin(port)
        yield from _turn(port, cpus)
        return answer
    while True:
        yield from _turn(port, cpus)
        if not isinstance(command, int):
            return (yield command)
        passes_ns = min(command, cpus.most(port))
        yield passes_ns
        command -= passes_ns
        if not command:
            return None


def _turn(port: Port, cpus: Sharing) -> Generator[Command, Any, None]:
    while (wait_ns := cpus.turn(port)) > 0:
        yield wait_ns
