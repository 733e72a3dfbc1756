"""Errors that people cause: each is one line that says where, what was found and what is allowed."""

from protocol.errors import VmapsimError


class BadInput(VmapsimError):
    """A file, a value or an argument is not what it has to be; the program exits with code 2."""

    def __init__(self, where: str, found: str, allowed: str) -> None:
        super().__init__(f"{where}: found {found}; allowed: {allowed}")
