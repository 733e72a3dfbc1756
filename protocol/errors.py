"""Errors, split by who is at fault.

A caller's mistake is a `VmapsimError`; a broken invariant of our own is an `AssertionError`.
"""


class VmapsimError(Exception):
    """Base of every error that a user or a peer can cause."""


class AreaOverlap(VmapsimError):
    """An area was to be inserted where another one already is."""


class BadRange(VmapsimError):
    """A range of addresses that cannot be an area here: empty, reversed, or outside the space."""


class ProtocolError(VmapsimError):
    """A peer sent bytes that are no message; the text says what was wrong with them."""


class UnknownKind(ProtocolError):
    """A well-framed message of a kind or version that is not known here; the frames after it are sound."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.ask_id = 0
        """The id of the request that held it, as far as it could be read."""
