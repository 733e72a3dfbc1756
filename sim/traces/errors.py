"""The errors of what was recorded: always the user's file, never ours."""

from sim.errors import BadInput

_SHOWN = 60


class TraceError(BadInput):
    """A file that cannot be read; one line names file and line, what was found and what is allowed."""


class Unprintable(Exception):
    """What no kernel and no tool prints, found in a line; who knows the line makes a `TraceError` of it."""

    def __init__(self, found: str, allowed: str) -> None:
        super().__init__(f"found {found}; allowed: {allowed}")
        self.found = found
        self.allowed = allowed


def shortened(text: str) -> str:
    """Cut a text to what fits into a message."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def quoted(text: str) -> str:
    """Quote a text for a message, cut to what fits."""
    return repr(shortened(text))
