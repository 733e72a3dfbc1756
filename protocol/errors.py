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
