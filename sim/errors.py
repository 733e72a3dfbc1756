"""Errors that people cause: each is one line that says where, what was found and what is allowed."""

from protocol.errors import VmapsimError


class BadInput(VmapsimError):
    """A file, a value or an argument is not what it has to be; the program exits with code 2."""

    def __init__(self, where: str, found: str, allowed: str) -> None:
        super().__init__(f"{where}: found {found}; allowed: {allowed}")


def first_of(error: BaseException) -> BaseException:
    """Give the first error of a group, of whatever depth, or the error itself: actors raise theirs together."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def is_interrupt(error: BaseException) -> bool:
    """Tell whether somebody interrupted: alone, or among what the actors raised meanwhile."""
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt) is not None
    )


def one_line(error: BaseException) -> str:
    """Say in a line what went wrong: of several errors, the first."""
    first = first_of(error)
    return " ".join(f"{type(first).__name__}: {first}".split())
