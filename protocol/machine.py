"""The shape of a machine: what an actor serves."""

from typing import Any, Protocol

from protocol.messages import Reply
from protocol.work import Work


class Machine(Protocol):
    """Takes a request, changes what it owns, and gives the reply and the work done.

    It is called by one actor at a time and never waits. An exception that leaves `handle` is a bug of
    the machine: the actor that serves it fails with it.
    """

    def handle(self, request: Any) -> tuple[Reply, Work]:
        """Serve one request."""
        ...
