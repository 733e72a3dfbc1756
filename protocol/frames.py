"""Frames: a length, the wire version, and what follows; cut out of a stream that may be cut anywhere."""

from collections.abc import Iterator
from typing import Final

from protocol.errors import ProtocolError

VERSION: Final = 1
"""The wire version, in every frame: raised when a frame of the old one would be misread."""

HEADER_SIZE: Final = 4
"""Bytes of a frame's length."""

MAX_FRAME: Final = 1 << 20
"""The most bytes that may follow a frame's length: 1 MiB.

A bare area takes 19 bytes at most, so 55,000 of them fit, far more than one hold of a lock should cover; one with
flags and a vm some 60 and its caller's name. It is all the memory for unread bytes that one peer can claim.
"""


class Oversized(ProtocolError):
    """A message is longer than a frame may be."""


def framed(name: str, packed: bytes) -> bytes:
    """Put a length and the wire version before `packed`; raises `Oversized` if that is over `MAX_FRAME`."""
    length = 1 + len(packed)
    if length > MAX_FRAME:
        raise Oversized(f"oversized frame: {name} has length {length}, limit {MAX_FRAME}")
    return b"%b%c%b" % (length.to_bytes(HEADER_SIZE, "big"), VERSION, packed)


def frame_size(start: bytes | bytearray, max_frame: int) -> int:
    """Count the bytes of the frame that begins with `start`, or those of its length if that is cut."""
    if len(start) < HEADER_SIZE:
        return HEADER_SIZE
    length = int.from_bytes(start[:HEADER_SIZE], "big")
    if length == 0:
        raise ProtocolError("empty frame: length 0, expected at least the wire version")
    if length > max_frame:
        raise ProtocolError(f"oversized frame: length {length}, limit {max_frame}")
    return HEADER_SIZE + length


class FrameSplitter:
    """Cut a stream of bytes into payloads, what follows each frame's length; it does no I/O of its own.

    Never more than one unfinished frame of at most `max_frame` bytes waits between `feed` and `feed`.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray) -> None:
        """Take the stream's next bytes; the payloads of the earlier ones must have been taken out."""
        assert len(self._buffer) < HEADER_SIZE + self._max_frame, "take payloads out before feeding more"
        self._buffer += data

    def payloads(self) -> Iterator[bytes]:
        """Take out the payloads that are whole, in time linear in their bytes.

        Raises ProtocolError at a length that no frame can have; the stream is good for nothing after that.
        """
        buffer, begin = self._buffer, 0
        try:
            while len(buffer) - begin >= HEADER_SIZE:
                head = begin + HEADER_SIZE
                end = begin + frame_size(buffer[begin:head], self._max_frame)
                if len(buffer) < end:
                    break
                begin = end
                yield bytes(buffer[head:end])
        finally:
            del buffer[:begin]
