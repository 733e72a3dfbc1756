"""The error of traces: always the user's file, never ours."""

from protocol.errors import VmapsimError


class TraceError(VmapsimError):
    """A trace that cannot be read; one line names file and line, what was found and what is allowed."""
