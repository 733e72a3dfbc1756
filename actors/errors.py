"""Errors of actors: a machine that broke, a request that was refused, somebody who is not there."""

from typing import TypeVar

from protocol.errors import VmapsimError
from protocol.messages import Refused, Reply, Request
from protocol.sessions import Numbered


class ActorFailed(Exception):
    """An actor's machine raised while it served `request`; the machine's exception is the cause."""

    def __init__(self, address: str, request: Request | Numbered, cause: BaseException) -> None:
        super().__init__(f"{address} failed with {type(cause).__name__}: {cause}, serving {request!r}")
        self.address = address
        self.request = request
        self.__cause__ = cause


class ActorGone(VmapsimError):
    """A request was sent to an address where nobody serves, or nobody served it any more."""

    def __init__(self, address: str) -> None:
        super().__init__(f"nobody serves at {address!r}")
        self.address = address


class RequestRefused(VmapsimError):
    """A machine refused a request that a client had no reason to think wrong."""

    def __init__(self, reply: Reply) -> None:
        assert isinstance(reply, Refused), f"{reply!r} answers another request"
        super().__init__(f"refused as {reply.reason}: {reply.detail}")
        self.reason = reply.reason


class ActorCrashed(VmapsimError):
    """A fault ended an actor; it may serve again after `down_ns`."""

    def __init__(self, address: str, down_ns: int) -> None:
        super().__init__(f"{address} crashed, for {down_ns} ns")
        self.address = address
        self.down_ns = down_ns


class NoAnswer(VmapsimError):
    """A request had no reply by its deadline: nobody knows whether it was served."""

    def __init__(self, address: str, request: Request, attempts: int, deadline_ns: int, last: str) -> None:
        super().__init__(
            f"{address} did not answer {type(request).__name__} within {deadline_ns / 1e6:g} ms "
            f"({attempts} attempts{f'; last: {last}' if last else ''})"
        )
        self.address = address


class NotServed(VmapsimError):
    """A server told that it will not serve a request, however often it is asked."""

    def __init__(self, address: str, reason: str, detail: str) -> None:
        super().__init__(f"{address} does not serve this: {reason}: {detail}")


class NotACommand(TypeError):
    """A script awaited something that is not its port's; a mistake in the script."""

    def __init__(self, found: object) -> None:
        super().__init__(f"a script may await its port and nothing else, not {found!r}")


R = TypeVar("R")


def expect(reply: Reply, kind: type[R]) -> R:
    """Give `reply` as the kind that it has to be; raises `RequestRefused` when it is a refusal."""
    if not isinstance(reply, kind):
        raise RequestRefused(reply)
    return reply
