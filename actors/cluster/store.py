"""An actor's journal on disk: one SQLite file, committed a batch at a time.

The journal is a sequence of frames (`protocol.envelopes.Entry`), kept in rows of a table, a row per commit. SQLite
gives what is hard: a transaction is on disk entirely or not at all (WAL), and when `commit` returns it is there
(synchronous=FULL). The file is locked exclusively, so no second process serves the same actor.

Everything here blocks; call it in a worker thread, one call at a time.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from protocol.codec import decode_envelopes, encode_envelope
from protocol.envelopes import Entry, Journaled, Kept, Rebuilt
from protocol.errors import ProtocolError, VmapsimError

FORMAT: Final = 1
"""Raised when a journal of the old format would be misread."""

APPLICATION_ID: Final = 0x766D6170
"""Marks the file as ours: "vmap" in ASCII."""

ROW: Final = 1 << 20
"""About how many bytes a row of a checkpoint has."""

CHECKPOINT_BYTES: Final = 4 << 20
"""A journal smaller than this is never replaced by a checkpoint."""

GROWTH: Final = 4
"""A journal is replaced when it is so many times as large as the last checkpoint."""


class StateRefused(VmapsimError):
    """A state file is not this actor's, or is damaged; nothing in it was changed."""

    def __init__(self, path: Path, found: str, allowed: str) -> None:
        super().__init__(f"{path}: found {found}; allowed: {allowed}")


class StorageFailed(VmapsimError):
    """The disk did not take a commit; nothing of it is in the journal."""


class Store:
    """The journal of one actor."""

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        """Open the journal at `path`, or begin one there for an actor that `identity` describes.

        Raises `StateRefused` when the file belongs to another actor or layout, is damaged or in use, and
        `StorageFailed` when the disk has no room for it.
        """
        self.path = path
        self._size = self._checkpoint_size = 0
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=0.5)
        except sqlite3.Error as error:
            raise StateRefused(path, str(error), "a file that can be opened") from None
        try:
            self._open(identity)
        except BaseException:
            self._database.close()
            raise

    def _open(self, identity: Mapping[str, str]) -> None:
        expected = {"format": str(FORMAT), **identity}
        try:
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            if self._is_new():
                self._create(expected)
            self._check(expected)
            (self._size,) = self._database.execute("SELECT total(length(frames)) FROM journal").fetchone()
        except sqlite3.DatabaseError as error:
            if _is_storage(error):
                raise StorageFailed(f"{self.path}: {error}") from None
            raise StateRefused(self.path, str(error), "this actor's journal, used by nobody else") from None

    def _is_new(self) -> bool:
        (objects,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return bool(objects == 0)

    def _create(self, identity: Mapping[str, str]) -> None:
        with self._transaction():
            self._database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._database.execute("CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            self._database.execute("CREATE TABLE journal (position INTEGER PRIMARY KEY, frames BLOB NOT NULL)")
            self._database.executemany("INSERT INTO identity VALUES (?, ?)", identity.items())

    def _check(self, expected: Mapping[str, str]) -> None:
        (mark,) = self._database.execute("PRAGMA application_id").fetchone()
        if mark != APPLICATION_ID:
            raise StateRefused(self.path, "another program's database", "this actor's journal")
        found = dict(self._database.execute("SELECT name, value FROM identity"))
        for name, value in expected.items():
            if found.get(name) != value:
                raise StateRefused(self.path, f"{name} {found.get(name)}", f"{value}, as asked for")
        (soundness,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if soundness != "ok":
            raise StateRefused(self.path, f"damage ({soundness})", "a sound file")

    def entries(self) -> Iterator[Entry]:
        """Read the journal from its beginning. Raises `StateRefused` when it cannot be read."""
        try:
            for position, frames in self._database.execute(
                "SELECT position, frames FROM journal ORDER BY position"
            ):
                for entry in decode_envelopes(frames):
                    if not isinstance(entry, Journaled | Kept | Rebuilt):
                        raise StateRefused(self.path, f"{type(entry).__name__} in row {position}", "a journal")
                    yield entry
        except (sqlite3.DatabaseError, ProtocolError) as error:
            raise StateRefused(self.path, f"damage ({error})", "a sound file") from None

    def commit(self, frames: bytes) -> None:
        """Append encoded entries; on disk when this returns. Raises `StorageFailed`, and nothing was appended."""
        with self._storing():
            self._database.execute("INSERT INTO journal (frames) VALUES (?)", (frames,))
        self._size += len(frames)

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the journal has grown enough to be worth replacing."""
        return self._size > max(CHECKPOINT_BYTES, GROWTH * self._checkpoint_size)

    def checkpoint(self, entries: Iterable[Entry]) -> None:
        """Replace the journal by entries that replay to the same state. Raises `StorageFailed`, and it stands."""
        size = 0
        with self._storing():
            self._database.execute("DELETE FROM journal")
            for row in _rows(entries):
                self._database.execute("INSERT INTO journal (frames) VALUES (?)", (row,))
                size += len(row)
        self._size = self._checkpoint_size = size

    def close(self) -> None:
        """Close the file; the journal stands."""
        with suppress(sqlite3.Error):
            self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Make all statements of the body or none of them."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # what went wrong first is told
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Make all statements of the body or none of them; a failure is the storage's."""
        try:
            with self._transaction():
                yield
        except sqlite3.Error as error:
            raise StorageFailed(f"{self.path}: {error}") from None


def _rows(entries: Iterable[Entry]) -> Iterator[bytes]:
    row = bytearray()
    for entry in entries:
        row += encode_envelope(entry)
        if len(row) >= ROW:
            yield bytes(row)
            row.clear()
    if row:
        yield bytes(row)


def _is_storage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR"))
