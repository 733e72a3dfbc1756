"""Sharing a CPU: what takes time waits for its turn, sleep does not, and errors reach the script."""

from collections.abc import Generator
from types import coroutine
from typing import Any

import pytest

from actors.sharing import sharing
from actors.world import Command, Port


@coroutine
def asks(*commands: Command) -> Generator[Command, Any, None]:
    yield from commands


def port() -> Port:
    return Port(3, lambda _completed: None)


def test_a_command_waits_until_it_is_the_kworkers_turn() -> None:
    """The wait is asked for again after each wait, with the CPU and the time; the answer reaches the script."""
    asked: list[tuple[int, int]] = []
    waits = iter([0, 5, 2, 0])

    def turn(cpu: int, now_ns: int) -> int:
        asked.append((cpu, now_ns))
        return next(waits)

    mine = port()
    mine.now_ns = 11
    run = sharing(asks(("node/0", None)), mine, turn)  # type: ignore[arg-type]
    assert [run.send(None), run.send(None), run.send(None)] == [5, 2, ("node/0", None)]
    assert asked == [(3, 11)] * 4


def test_work_begins_when_it_is_the_kworkers_turn() -> None:
    """What it does before its first command it does not do while it waits: a drain that waits is still pending."""
    begun = []

    @coroutine
    def drain() -> Generator[Command, Any, None]:
        begun.append(True)
        yield 1

    waits = iter([5, 0, 0])
    run = sharing(drain(), port(), lambda _cpu, _now_ns: next(waits))
    assert (run.send(None), begun) == (5, [])
    assert (run.send(None), begun) == (1, [True])


def test_a_wait_for_a_signal_needs_no_cpu() -> None:
    """It is passed on at once: nobody is asked for a turn but at the beginning."""
    signal: Any = object()
    waits = iter([0])
    run = sharing(asks(signal), port(), lambda _cpu, _now_ns: next(waits))
    assert run.send(None) is signal


def test_an_error_is_raised_in_the_script() -> None:
    """At the command that failed; what the script does not catch goes on."""
    caught: list[str] = []

    @coroutine
    def careful() -> Generator[Command, Any, None]:
        try:
            yield 1
        except ValueError as error:
            caught.append(str(error))
        yield 2

    run = sharing(careful(), port(), lambda _cpu, _now_ns: 0)
    assert run.send(None) == 1
    assert run.throw(ValueError("gone")) == 2
    assert caught == ["gone"]
    with pytest.raises(KeyError):
        run.throw(KeyError("unexpected"))
