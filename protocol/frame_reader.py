"""Messages out of a stream that may be cut anywhere."""

from collections.abc import Iterator

from protocol.codec import read_payload
from protocol.errors import ProtocolError
from protocol.frames import HEADER_SIZE, MAX_FRAME, frame_size
from protocol.messages import Message


class FrameReader:
    """Turn the bytes of a stream, cut anywhere, into messages; it does no I/O of its own.

    After each `feed`, iterate: the whole messages come out in order, the rest waits for more bytes. The
    messages, and the error after them, are the same for every cut of the same bytes. A length over
    `max_frame` is refused at once, so never more than one unfinished frame waits. After an error there
    is no telling where the next frame begins: the reader stays broken and repeats the error.

        reader.feed(data)
        for message in reader: ...
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._buffer = bytearray()
        self._broken: str | None = None

    def feed(self, data: bytes) -> None:
        """Take the stream's next bytes; the messages of the earlier ones must have been iterated.

        Raises ProtocolError if the reader is broken.
        """
        self._refuse_if_broken()
        assert len(self._buffer) < HEADER_SIZE + self._max_frame, "iterate before feeding more"
        self._buffer += data

    def __iter__(self) -> Iterator[Message]:
        """Take out the messages that are whole, in time linear in their bytes.

        The loop may be left at any message and begun anew. Raises ProtocolError at the first bytes that
        are no message, after all messages before them.
        """
        return iter(self._next, None)

    def close(self) -> None:
        """Tell the reader that the stream ended; its messages must have been iterated.

        Raises ProtocolError if the stream ended within a frame or the reader is broken.
        """
        unread = self._next()
        assert unread is None, "iterate before closing"
        if self._buffer:
            have, want = len(self._buffer), frame_size(self._buffer, self._max_frame)
            self._break(f"stream ended within a frame: have {have} of {want} bytes")
            self._refuse_if_broken()

    def _next(self) -> Message | None:
        """Take out one message; None while there is no whole frame."""
        self._refuse_if_broken()
        try:
            size = frame_size(self._buffer, self._max_frame)
            if len(self._buffer) < size:
                return None
            payload = bytes(self._buffer[HEADER_SIZE:size])
            del self._buffer[:size]
            return read_payload(payload)
        except ProtocolError as error:
            self._break(str(error))
            raise

    def _break(self, reason: str) -> None:
        self._broken = reason
        self._buffer.clear()

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise ProtocolError(self._broken)
