"""Lines of a text that somebody recorded: plain or gzip, a file or standard input, with their numbers.

gzip is told by its first bytes, never by the name. What cannot be read is one `TraceError`. A line has less
than 64 Ki characters; no more than a few blocks of a file are in memory at any time.
"""

import gzip
import io
import stat
import sys
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from sim.traces.errors import TraceError

STANDARD_INPUT = Path("-")
"""The path that stands for standard input."""

_BLOCK = 128 * 1024
_LONGEST_LINE = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"


def numbered_lines(path: Path, allowed: str) -> Generator[tuple[int, str], None, None]:
    """Yield the lines of `path` with their numbers, from 1, without the white space at their ends.

    `allowed` says in words what the file should have been. Raises `TraceError`.
    """
    number = 0
    try:
        with _opened(path, allowed) as file:
            for block in _whole_lines(file):
                text = _decoded(block, path, number, allowed)
                for line in text.split("\n"):
                    number += 1
                    if len(line) >= _LONGEST_LINE:
                        raise _too_long(path, number)
                    yield number, line.rstrip()
    except _TooLong:
        raise _too_long(path, number + 1) from None
    except (EOFError, OSError, ValueError, zlib.error) as error:  # ValueError: a path with a NUL
        place = f"{place_of(path)}: after line {number}" if number else place_of(path)
        raise TraceError(place, _why_unreadable(error), allowed) from error


def place_of(path: Path, number: int | None = None) -> str:
    """Give the words for a file, or for one of its lines."""
    name = "standard input" if path == STANDARD_INPUT else str(path)
    return name if number is None else f"{name}: line {number}"


class _TooLong(Exception):
    """The line after those that were given is too long."""


def _too_long(path: Path, number: int) -> TraceError:
    return TraceError(place_of(path, number), "no end of the line", "64 KiB at most")


@contextmanager
def _opened(path: Path, allowed: str) -> Iterator[io.BufferedReader]:
    """Open a regular file or standard input, unpacked."""
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise OSError("it is closed")
        yield _unpacked(sys.stdin.buffer)  # type: ignore[arg-type]  # a BufferedReader, says the io module
        return
    if not stat.S_ISREG(path.stat().st_mode):  # opening a FIFO waits for its writer
        raise TraceError(place_of(path), "no regular file", allowed)
    with path.open("rb") as file:
        yield _unpacked(file)


def _unpacked(file: io.BufferedReader) -> io.BufferedReader:
    packed = file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
    return io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file


def _whole_lines(file: io.BufferedReader) -> Iterator[bytes]:
    """Cut a file into blocks of whole lines, without the last line break of each."""
    begun = b""
    while block := file.read1(_BLOCK):
        lines, line_break, rest = block.rpartition(b"\n")
        if line_break:
            yield begun + lines
            begun = rest
        else:
            begun += rest
        if len(begun) > _LONGEST_LINE:
            raise _TooLong
    if begun:
        yield begun


def _decoded(block: bytes, path: Path, number: int, allowed: str) -> str:
    """Decode lines, of which the first comes after line `number`."""
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        place = place_of(path, number + 1 + block.count(b"\n", 0, error.start))
        raise TraceError(place, f"bytes that are not UTF-8 ({error.reason})", allowed) from error


def _why_unreadable(error: Exception) -> str:
    match error:
        case EOFError():
            return "a gzip file that ends early"
        case gzip.BadGzipFile() | zlib.error():
            return f"a corrupt gzip file ({error})"
        case _:
            return f"no readable file ({getattr(error, 'strerror', None) or error})"
