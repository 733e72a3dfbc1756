"""The store: what was acknowledged is there, whatever cut the file; nothing twice, nothing of somebody else's."""

import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from sim.errors import BadInput
from sim.study.store import FILE, compacted, opened

RECORDS: dict[tuple[str, int], dict[str, Any]] = {
    ("a", 1): {"x": 1.5},
    ("a", 2): {"x": 2.5},
    ("b", 1): {"x": 3.5, "name": "größer"},
}


def fill(folder: Path) -> None:
    with opened(folder) as store:
        for key, record in RECORDS.items():
            store.add(key, record)


def test_what_was_added_is_there(tmp_path: Path) -> None:
    """Another program finds every record, and no others."""
    fill(tmp_path)
    with opened(tmp_path) as store:
        assert {key: store[key] for key in RECORDS} == RECORDS
        assert len(store) == 3
        assert ("b", 2) not in store


def test_a_record_is_on_the_disk_when_it_is_added(tmp_path: Path) -> None:
    """The file is complete while the store is still open: who is killed now has lost nothing."""
    with opened(tmp_path) as store:
        store.add(("a", 1), {"x": 1})
        assert (tmp_path / FILE).read_bytes().count(b"\n") == 1


def test_a_line_that_was_cut_anywhere_costs_that_record_only(tmp_path: Path) -> None:
    """For every length to which the file can be cut, the whole lines are kept and writing goes on behind them."""
    fill(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(1, len(whole)):
        (tmp_path / FILE).write_bytes(whole[:length])
        with opened(tmp_path) as store:
            assert len(store) == sum(end <= length for end in ends)
            for key, record in RECORDS.items():
                store.add(key, record)
        assert (tmp_path / FILE).read_bytes() == whole


@pytest.mark.parametrize("change", [(70, b"#"), (10, b"0"), (66, b"")])
def test_damage_is_an_error(tmp_path: Path, change: tuple[int, bytes]) -> None:
    """A byte that changed in a line other than the last is reported with the line's number, not passed over."""
    fill(tmp_path)
    place, byte = change
    whole = (tmp_path / FILE).read_bytes()
    assert whole[place : place + 1] != byte
    (tmp_path / FILE).write_bytes(whole[:place] + byte + whole[place + 1 :])
    with pytest.raises(BadInput, match=r"replications\.jsonl: line 1: found damage"), opened(tmp_path):
        pass


def test_equal_keys_count_once(tmp_path: Path) -> None:
    """The first record of a key stays."""
    with opened(tmp_path) as store:
        store.add(("a", 1), {"x": 1})
        store.add(("a", 1), {"x": 2})
        assert len(store) == 1
        assert store["a", 1] == {"x": 1}
    assert (tmp_path / FILE).read_bytes().count(b"\n") == 1


def test_one_program_at_a_time(tmp_path: Path) -> None:
    """Who opens a store that is open is told so, and again can when it is closed."""
    with opened(tmp_path) as store:
        store.add(("a", 1), {"x": 1})
        with pytest.raises(BadInput, match="a study that is running there"), opened(tmp_path):
            pass
    with opened(tmp_path) as store:
        assert len(store) == 1


def test_an_empty_store_leaves_no_file(tmp_path: Path) -> None:
    """A study that ended before its first replication has left nothing."""
    with opened(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_the_finished_store_has_its_order_and_nothing_else(tmp_path: Path) -> None:
    """Compacted, the file depends on the keys asked for, not on the order in which they came."""
    texts = []
    for keys in (list(RECORDS), list(reversed(RECORDS))):
        with opened(tmp_path) as store:
            for key in keys:
                store.add(key, RECORDS[key])
            compacted(tmp_path, store, [("b", 1), ("a", 1)], {"other": "text"})
        texts.append((tmp_path / FILE).read_bytes())
        with opened(tmp_path) as store:
            assert len(store) == 2
        assert (tmp_path / "other").read_text() == "text"
        (tmp_path / FILE).unlink()
    assert texts[0] == texts[1]


@pytest.mark.parametrize("room", [1, 60, 100, 4096, 8192])
def test_a_full_disk_is_one_line_and_costs_what_did_not_fit(tmp_path: Path, room: int) -> None:
    """Wherever the disk is full, also within a line; what was added before is there."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    kept = []

    def fill() -> None:
        with opened(tmp_path) as store:
            for seed in range(1000):
                store.add(("a", seed), {"text": "x" * 7})
                kept.append(seed)

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        with pytest.raises(BadInput, match="file too large; allowed: a place"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    with opened(tmp_path) as store:
        assert [key for key, _record in store.items()] == [("a", seed) for seed in kept]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """No traceback where the folder is read-only."""
    tmp_path.chmod(0o500)
    with pytest.raises(BadInput, match="a place that can be written"), opened(tmp_path):
        pass
