"""The shape of a machine: what an actor serves."""

from collections.abc import Iterator
from typing import Any, Protocol, get_args, get_type_hints, runtime_checkable

from protocol.messages import Reply, Request
from protocol.work import Work


class Machine(Protocol):
    """Takes a request, changes what it owns, and gives the reply and the work done.

    It is called by one actor at a time and never waits. An exception that leaves `handle` is a bug of
    the machine: the actor that serves it fails with it.
    """

    def handle(self, request: Any) -> tuple[Reply, Work]:
        """Serve one request."""
        ...


@runtime_checkable
class Rebuildable(Protocol):
    """A machine whose state can have a short way to be made again: what was undone since is left out."""

    def rebuild(self) -> Iterator[Request] | None:
        """Give requests that make a fresh machine, with the same arguments, answer as this one does.

        All but counters of requests; None if what it holds now has no such way. The machine must not be changed
        while they are taken.
        """
        ...


def requests_of(machine: Machine) -> tuple[type, ...]:
    """Give the kinds of requests that `machine` serves, as its `handle` declares them.

    Handing it another one is a bug, and so must not be left to whoever is at the other end of a socket.
    """
    declared = next(hint for name, hint in get_type_hints(machine.handle).items() if name != "return")
    return get_args(declared) or (declared,)
