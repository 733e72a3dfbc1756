"""/proc/vmallocinfo: reading is the inverse of writing, and sorting loses nothing."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.area import PAGE_SIZE, Vm, VmapArea
from sim.vmallocinfo import (
    PRINTED_FLAGS,
    UnpurgedLine,
    VmallocInfoLine,
    VmMapRamLine,
    VmStructLine,
    by_address,
    read_vmallocinfo,
    write_vmallocinfo,
)

NAMES = st.from_regex(r"[a-z_][a-z0-9_.]{0,20}", fullmatch=True)
OFFSETS = st.integers(0, 2**32)
CALLERS = st.one_of(
    st.just(""),
    st.integers(0, 2**64 - 1).map(lambda address: f"0x{address:016x}"),
    st.builds(lambda name, offset, size: f"{name}+{offset:#x}/{size:#x}", NAMES, OFFSETS, OFFSETS),
    st.builds(lambda name, module: f"{name}+0x1/0x20 [{module}]", NAMES, NAMES),
)
AREAS = st.builds(
    lambda start, pages: VmapArea(start * PAGE_SIZE, min(start + pages, 2**52 - 1) * PAGE_SIZE),
    st.integers(1, 2**52 - 2),
    st.integers(1, 2**30),
)
FLAGS = st.sets(st.sampled_from(list(PRINTED_FLAGS))).map(lambda flags: Vm(sum(flags)))
NUMA = st.dictionaries(st.integers(0, 1023), st.integers(1, 2**31 - 1), max_size=4).map(
    lambda pages: tuple(sorted(pages.items()))
)
RECORDS = st.lists(
    st.one_of(
        st.builds(
            VmStructLine,
            AREAS,
            CALLERS,
            st.integers(0, 2**31 - 1),
            st.integers(0, 2**64 - 1),
            FLAGS,
            st.booleans(),
            NUMA,
        ),
        st.builds(VmMapRamLine, AREAS),
        st.builds(UnpurgedLine, AREAS),
    ),
    min_size=1,
)


@given(RECORDS)
def test_whatever_is_written_is_read_again(records: list[VmallocInfoLine]) -> None:
    """Reading is the inverse of writing, for all records there can be."""
    text = write_vmallocinfo(records).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text))))
        assert read_vmallocinfo(Path("-")) == records


@given(RECORDS)
def test_by_address(records: list[VmallocInfoLine]) -> None:
    """The sorted view has the same records: busy ones by address, then unpurged ones by address."""
    ordered = by_address(records)
    busy = [record for record in ordered if not isinstance(record, UnpurgedLine)]
    unpurged = [record for record in ordered if isinstance(record, UnpurgedLine)]

    assert ordered == busy + unpurged
    assert sorted(map(repr, ordered)) == sorted(map(repr, records))
    for part in (busy, unpurged):
        starts = [record.area.va_start for record in part]
        assert starts == sorted(starts)
