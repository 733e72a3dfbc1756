"""Sharing a CPU: what takes time waits for its turn, sleep does not, and errors reach the script."""

from collections.abc import Generator
from types import coroutine
from typing import Any

import pytest

from actors.sharing import sharing
from actors.world import Command, Port
from tests.twins.at_once import Flag

CALL: Any = ("node/0", None)
"""A request."""


class Cpus:
    """Gives turns as it was told to, and notes what it is asked."""

    def __init__(self, *waits: int, most: int = 10**9) -> None:
        self._waits = iter(waits)
        self._most = most
        self.asked: list[str] = []

    def begin(self, port: Port) -> None:
        self.asked.append(f"begin {port.cpu}")

    def turn(self, port: Port) -> int:
        self.asked.append(f"turn {port.cpu} at {port.now_ns}")
        return next(self._waits, 0)

    def most(self, port: Port) -> int:  # noqa: ARG002 (the shape of `Sharing`)
        return self._most

    def rest(self, port: Port) -> None:
        self.asked.append(f"rest {port.cpu}")


@coroutine
def asks(*commands: Command) -> Generator[Command, Any, str]:
    answers = []
    for command in commands:
        answers.append((yield command))
    return str(answers)


def port() -> Port:
    return Port(3, lambda _completed: None)


def test_a_command_waits_until_it_is_the_kworkers_turn() -> None:
    """The wait is asked for again after each wait; the answer reaches the script, and what that gives is given."""
    mine, cpus = port(), Cpus(0, 5, 2, 0)
    mine.now_ns = 11
    run = sharing(asks(CALL), mine, cpus)
    assert [run.send(None), run.send(None), run.send(None)] == [5, 2, CALL]
    assert cpus.asked == ["begin 3", *["turn 3 at 11"] * 4]
    with pytest.raises(StopIteration) as end:
        run.send("reply")
    assert end.value.value == "['reply']"


def test_work_begins_when_it_is_the_kworkers_turn() -> None:
    """What it does before its first command it does not do while it waits: a drain that waits is still pending."""
    begun = []

    @coroutine
    def drain() -> Generator[Command, Any, None]:
        begun.append(True)
        yield 1

    run = sharing(drain(), port(), Cpus(5, 0, 0))
    assert (run.send(None), begun) == (5, [])
    assert (run.send(None), begun) == (1, [True])


def test_a_wait_for_a_signal_needs_no_cpu_and_a_turn_after_it() -> None:
    """It is passed on at once; who is woken has something to do again, and waits for its turn."""
    signal = Flag()
    cpus = Cpus(0, 7, 0)
    run = sharing(asks(signal), port(), cpus)
    assert run.send(None) is signal
    assert cpus.asked == ["begin 3", "turn 3 at 0", "rest 3"]
    assert run.send("set") == 7
    assert cpus.asked[3:] == ["begin 3", "turn 3 at 0"]
    with pytest.raises(StopIteration, match="set"):
        run.send(None)


def test_who_waits_for_what_has_been_set_does_not_sleep() -> None:
    """As `wait_for_completion()` of what is complete does not."""
    signal, cpus = Flag(), Cpus()
    signal.set()
    run = sharing(asks(signal), port(), cpus)
    assert run.send(None) is signal
    assert "rest 3" not in cpus.asked


def test_time_passes_in_pieces_and_between_them_others_may_have_their_turn() -> None:
    """Of 25 there pass 10, then it waits for 3, then 10 and 5 pass."""
    run = sharing(asks(25), port(), Cpus(0, 0, 3, 0, 0, most=10))
    assert [run.send(None) for _ in range(4)] == [10, 3, 10, 5]
    with pytest.raises(StopIteration):
        run.send(None)


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

    run = sharing(careful(), port(), Cpus())
    assert run.send(None) == 1
    assert run.throw(ValueError("gone")) == 2
    assert caught == ["gone"]
    with pytest.raises(KeyError):
        run.throw(KeyError("unexpected"))
