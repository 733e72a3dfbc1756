"""Files that a command leaves: whole or not at all, where they can be written before it begins."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sim.errors import BadInput

RESULT_FILES = ("log.jsonl", "results.json", "report.html", "timeline.perfetto-trace")
"""What a run writes into its folder; no variant can have such a name."""


def write_files(folder: Path, texts: Mapping[str, str | bytes]) -> None:
    """Write files of one folder whole or not at all. Raises `BadInput`."""
    write_whole({folder / name: text for name, text in texts.items()})


def write_whole(texts: Mapping[Path, str | bytes]) -> None:
    """Write files whole or not at all: none takes its name before all are on the disk. Raises `BadInput`."""
    ready: dict[Path, Path] = {}
    folder = Path()
    try:
        for path, text in texts.items():
            folder = path.parent
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
            ready[path] = Path(temporary)
            with os.fdopen(handle, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
            Path(temporary).chmod(0o644)
        for path, file_made in ready.items():
            folder = path.parent
            file_made.replace(path)
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        for file_made in ready.values():
            file_made.unlink(missing_ok=True)


@contextmanager
def prepared(folders: Sequence[Path], files: Sequence[Path] = ()) -> Iterator[None]:
    """Have folders that results and other `files` can be written to while the body makes them. Raises `BadInput`.

    When the body fails, the folders that were made for it and are still empty are removed again.
    """
    made: list[Path] = []
    try:
        for folder in folders:
            _prepare(folder, RESULT_FILES, made)
        for file in files:
            _prepare(file.parent, [file.name], made)
        yield
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def _prepare(folder: Path, names: Sequence[str], made: list[Path]) -> None:
    """Make a folder and those it is in, noting what was made; see that such files can be written in it."""
    try:
        for path in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
            path.mkdir(exist_ok=True)
            made.append(path)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for path in (folder / name for name in names):
            if path.is_dir():
                raise BadInput(str(path), "a directory", "a place for a file")
            if path.exists() and not path.is_file():
                raise BadInput(str(path), "no regular file", "a place for a file")
    except OSError as error:
        raise cannot_write(folder, error) from None


def cannot_write(folder: Path, error: OSError) -> BadInput:
    """Give the one line that says that `folder` cannot be written."""
    return BadInput(str(folder), (error.strerror or str(error)).lower(), "a place that can be written")


def to_json(results: Mapping[str, Any]) -> str:
    """Give results as the text of a JSON file."""
    return json.dumps(results, indent=1, allow_nan=False) + "\n"
