"""The store: every replication of a study, on disk as soon as it is over.

One file, `replications.jsonl`: a line per replication, its SHA-256 in front. A line is appended and
synchronised before the campaign goes on, so that whatever ends the program (a signal, the power) costs at most the
replications under way. A last line that was cut is seen by its checksum and dropped; a damaged line
elsewhere is an error, since dropping it would hide that the disk or somebody else changed it.

A replication is found by what decides its outcome: its cell's fingerprint and its seed. So a study that was
changed keeps what still belongs to it, and nothing is counted twice. When the study is over the file is
written anew, in order, without what the study has no use for: then it too is the same bytes for the same study.

One program writes at a time: it holds a lock on the file, which the system takes back when it ends, however.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, TypeAlias

from sim.errors import BadInput
from sim.files import cannot_write, write_files

FILE = "replications.jsonl"

Key: TypeAlias = tuple[str, int]
"""Fingerprint and seed."""

Record: TypeAlias = Mapping[str, Any]
"""What a replication leaves (`sim.study.replication`), plain data for JSON."""


class Store:
    """The replications of a folder, by key."""

    def __init__(self, folder: Path, file: FileIO) -> None:
        """Read what `file` holds; see `opened`."""
        self._folder = folder
        self._file = file
        self._records: dict[Key, Record] = {}
        self._read()

    def __contains__(self, key: Key) -> bool:
        return key in self._records

    def __getitem__(self, key: Key) -> Record:
        return self._records[key]

    def __len__(self) -> int:
        return len(self._records)

    def items(self) -> ItemsView[Key, Record]:
        """Give all replications with their keys."""
        return self._records.items()

    def add(self, key: Key, record: Record) -> None:
        """Keep a replication; it is on the disk when this returns. Of equal keys the first is kept."""
        if key in self._records:
            return
        try:
            left = memoryview(_line(key, record))
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self._folder, error) from None
        self._records[key] = record

    def text_of(self, keys: Sequence[Key]) -> str:
        """Give the file's contents with `keys` only, in that order."""
        return b"".join(_line(key, self._records[key]) for key in keys).decode()

    def _read(self) -> None:
        data = self._file.read()
        whole = 0
        for number, line in enumerate(data.splitlines(keepends=True), start=1):
            entry = _entry(line)
            if entry is None and whole + len(line) < len(data):
                raise BadInput(
                    f"{self._folder / FILE}: line {number}", "damage", "the line as written, or no such file"
                )
            if entry is not None:
                self._records.setdefault(*entry)
                whole += len(line)
        self._file.truncate(whole)
        self._file.seek(whole)


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """Open the store of `folder`, a new one where there is none, for this program alone. Raises `BadInput`."""
    path = folder / FILE
    try:
        file = path.open("a+b", buffering=0)  # what a full disk refuses must not wait for the file to be closed
    except OSError as error:
        raise cannot_write(folder, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadInput(str(folder), "a study that is running there", "another --out, or to wait") from None
        file.seek(0)
        try:
            yield Store(folder, file)
        finally:
            if not file.tell():  # nothing was added: leave nothing
                path.unlink(missing_ok=True)


def compacted(folder: Path, store: Store, keys: Sequence[Key], files: Mapping[str, str | bytes]) -> None:
    """Write the results of a study that is over, and its store in order, whole or not at all."""
    write_files(folder, {FILE: store.text_of(keys), **files})


def _line(key: Key, record: Record) -> bytes:
    fingerprint, seed = key
    text = json.dumps(
        {"fingerprint": fingerprint, "seed": seed, "record": record}, separators=(",", ":"), allow_nan=False
    ).encode()
    return hashlib.sha256(text).hexdigest().encode() + b" " + text + b"\n"


def _entry(line: bytes) -> tuple[Key, Record] | None:
    """Read a line; None if it is not as it was written."""
    digest, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    entry = json.loads(text)
    return (entry["fingerprint"], entry["seed"]), entry["record"]
