"""Sharing a CPU: a kworker runs when it is its turn, and threads of its CPU run in between.

Who decides whose turn it is stands above: a function of the CPU and the time. A kworker asks it before it begins,
and before each command that takes time; a wait for a signal is sleep, and needs no CPU.
"""

from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeAlias

from actors.world import Command, Port

Turn: TypeAlias = Callable[[int, int], int]
"""Gives how long a kworker of a CPU has to wait now for its turn; 0 while it has it."""


@coroutine
def sharing(script: Coroutine[Command, Any, None], port: Port, turn: Turn) -> Generator[Command, Any, None]:
    """Run `script` on the port's CPU, whenever it is its turn."""
    answer: Any = None
    error: Exception | None = None
    yield from _its_turn(port, turn)
    while True:
        try:
            command = script.send(answer) if error is None else script.throw(error)
        except StopIteration:
            return
        if isinstance(command, (tuple, list, int)):
            yield from _its_turn(port, turn)
        answer = error = None
        try:
            answer = yield command
        except Exception as raised:
            error = raised


def _its_turn(port: Port, turn: Turn) -> Generator[Command, Any, None]:
    while (wait_ns := turn(port.cpu, port.now_ns)) > 0:
        yield wait_ns
