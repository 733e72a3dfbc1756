"""Histograms within 0.05 %, tables equal to counting one by one, digests that see every field."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.lock import FifoLock
from actors.world import Completed
from protocol.area import VMALLOC_START, VmapArea
from sim.history import History
from sim.metrics import histogram
from sim.metrics.latency import Latency, LatencyTable, Measured
from sim.metrics.recorder import CHUNK, Recorder

PER_MILLES = (0, 1, 10, 500, 900, 990, 999, 1000)

# -- histogram ------------------------------------------------------------------------------------


def test_small_times_are_exact() -> None:
    """Each value below 2,048 ns has a bucket of its own."""
    assert [histogram.value_of(histogram.bucket_of(value)) for value in range(2048)] == list(range(2048))


@given(st.integers(0, 2**50))
def test_a_bucket_stands_for_its_values_within_a_2048th(value: int) -> None:
    """The bucket's value is off by at most value / 2048."""
    assert 2048 * abs(histogram.value_of(histogram.bucket_of(value)) - value) <= value


@given(st.integers(8, 50).map((1).__lshift__), st.integers(-300, 300))
def test_buckets_ascend_with_their_values(power: int, offset: int) -> None:
    """The next value is in the same bucket or the next one, also where the width doubles."""
    value = max(0, power + offset)
    assert histogram.bucket_of(value + 1) - histogram.bucket_of(value) in (0, 1)


def test_a_bucket_holds_its_own_value() -> None:
    """The value that stands for a bucket falls into it."""
    assert all(histogram.bucket_of(histogram.value_of(bucket)) == bucket for bucket in range(30_000))


@given(st.lists(st.integers(0, 2**40) | st.integers(0, 3000), min_size=1), st.sampled_from(PER_MILLES))
def test_percentiles_are_nearest_ranks(values: list[int], per_mille: int) -> None:
    """Within 0.05 % of the value at rank ceil(share * count), and never above the largest."""
    counts: dict[int, int] = defaultdict(int)
    for value in values:
        counts[histogram.bucket_of(value)] += 1
    found = histogram.percentile(counts, per_mille, max(values))
    exact = sorted(values)[max(1, ceil(per_mille * len(values) / 1000)) - 1]
    assert abs(found - exact) <= 0.0005 * exact
    assert found <= max(values)


@pytest.mark.parametrize("seed", range(3))
def test_percentiles_of_many_times_are_numpys(seed: int) -> None:
    """99,991 log-normal times: each percentile as numpy's nearest rank, within 0.05 %."""
    # A prime number of them: numpy's ranks are floats, and off by one where they should be whole.
    values = np.random.default_rng(seed).lognormal(mean=6.0, sigma=1.5, size=99_991).astype(np.int64)
    buckets, times = np.unique([histogram.bucket_of(int(value)) for value in values], return_counts=True)
    counts = dict(zip(buckets.tolist(), times.tolist(), strict=True))
    for per_mille in PER_MILLES:
        exact = int(np.percentile(values, per_mille / 10, method="inverted_cdf"))
        assert histogram.percentile(counts, per_mille, int(values.max())) == pytest.approx(exact, rel=0.0005)


def test_nothing_has_no_percentiles() -> None:
    """0 of nothing."""
    assert histogram.percentile({}, 500, 0) == 0


# -- latencies ------------------------------------------------------------------------------------

measurements: st.SearchStrategy[Measured] = st.tuples(
    st.sampled_from(["find", "insert", "unlink"]),
    st.integers(0, 3),
    st.integers(0, 10**6) | st.integers(0, 3),
    st.integers(0, 10**6),
    st.integers(0, 10**3),
)


def counted(measured: Iterable[Measured]) -> dict[str, dict[int, Latency]]:
    """Count one by one, without any table."""
    kinds: dict[tuple[str, int], list[Measured]] = defaultdict(list)
    for one in measured:
        kinds[one[0], one[1]].append(one)
    result: dict[str, dict[int, Latency]] = {}
    for (name, probes), ones in sorted(kinds.items()):
        latency = Latency(
            count=len(ones),
            total_ns=sum(one[2] for one in ones),
            queue_ns=sum(one[3] for one in ones),
            service_ns=sum(one[4] for one in ones),
            max_ns=max(one[2] for one in ones),
        )
        for one in ones:
            latency.buckets[histogram.bucket_of(one[2])] += 1
        result.setdefault(name, {})[probes] = latency
    return result


@given(st.lists(st.lists(measurements, max_size=20), max_size=4))
def test_a_table_counts_as_one_by_one(chunks: list[list[Measured]]) -> None:
    """However operations come in chunks: exact counts, sums and maxima, names and probes ascending."""
    table = LatencyTable()
    for chunk in chunks:
        table.fold(chunk)
    expected = counted(one for chunk in chunks for one in chunk)
    assert table.by_operation() == expected
    assert [(name, list(cells)) for name, cells in table.by_operation().items()] == [
        (name, list(cells)) for name, cells in expected.items()
    ]


@given(st.lists(measurements, max_size=30))
def test_merged_latencies_are_those_of_all(measured: list[Measured]) -> None:
    """Merging the cells of a table gives what counting everything as one kind does."""
    cells = [cell for by_probes in counted(measured).values() for cell in by_probes.values()]
    as_one = counted(("all", 0, *one[2:]) for one in measured)
    merged = Latency.merged(cells)
    assert merged == (as_one["all"][0] if measured else Latency())
    assert merged.mean_ns == (sum(one[2] for one in measured) / len(measured) if measured else 0.0)
    assert merged.percentile_ns(1000) <= merged.max_ns


# -- recorder -------------------------------------------------------------------------------------

AREA = VmapArea(VMALLOC_START, VMALLOC_START + 0x3000)
NEXT = VmapArea(AREA.va_end, AREA.va_end + 0x1000)


def found(number: int) -> Completed:
    """Make the `number`th of many finds of the same area."""
    return ("find", 0, 100 * number, 100 * number + 30, 1, 4, 6, AREA.va_start, AREA)


OPERATIONS: list[Completed] = [
    ("insert", 0, 0, 30, 1, 0, 10, AREA.va_start, AREA),
    ("insert_batch", 1, 0, 35, 2, 0, 10, NEXT.va_start, (NEXT,)),
    ("find", 0, 40, 70, 1, 4, 6, AREA.va_start, AREA),
    ("find_miss", 1, 40, 75, 2, 0, 10, 0, None),
    ("unlink", 0, 80, 110, 1, 0, 10, NEXT.va_start, NEXT),
]


def recorded(
    operations: Sequence[Completed], chunk: int = 10**6, holds: Sequence[tuple[int, int, int]] = ()
) -> Recorder:
    """Record operations and the holds of one lock, folding after each chunk."""
    recorder = Recorder(History([0, 1]))
    observer = recorder.observer()
    lock = observer.lock("busy/0")
    for hold in holds:
        lock.grant(*hold)
    for number, operation in enumerate(operations, start=1):
        observer.completed(operation)
        if number % chunk == 0:
            recorder.fold()
    recorder.fold()
    return recorder


def test_the_digest_does_not_depend_on_chunks() -> None:
    """Folded one by one, all at once or anything between, the same log has the same digest."""
    operations = OPERATIONS * 10
    assert len({recorded(operations, chunk).digest() for chunk in range(1, len(operations) + 1)}) == 1


def test_the_digest_does_not_depend_on_large_chunks() -> None:
    """Nor where a chunk has just as many operations as 16 bits can count, one more, or all of them."""
    operations = [found(number) for number in range(2**16 + 10)]
    chunks = (CHUNK, 2**16 - 1, 2**16, len(operations))
    assert len({recorded(operations, chunk).digest() for chunk in chunks}) == 1


@pytest.mark.parametrize(
    ("index", "field", "value"),
    [
        pytest.param(2, 0, "find_interior", id="name"),
        pytest.param(2, 1, 1, id="cpu"),
        pytest.param(2, 2, 41, id="begin"),
        pytest.param(2, 3, 71, id="end"),
        pytest.param(2, 4, 2, id="probes"),
        pytest.param(2, 7, AREA.va_start + 1, id="addr"),
        pytest.param(2, 8, VmapArea(AREA.va_start, AREA.va_end + 1), id="answer"),
        pytest.param(2, 8, None, id="no answer"),
        pytest.param(1, 8, (NEXT, AREA), id="batch of another size"),
        pytest.param(1, 8, (AREA,), id="batch of another area"),
    ],
)
def test_the_digest_sees_every_field(index: int, field: int, value: object) -> None:
    """Any other name, time, address or answer of one operation gives another digest."""
    fields: list[Any] = list(OPERATIONS[index])
    assert fields[field] != value
    fields[field] = value
    changed: list[Any] = [*OPERATIONS]
    changed[index] = tuple(fields)
    assert recorded(changed).digest() != recorded(OPERATIONS).digest()


def test_the_digest_sees_order_and_number() -> None:
    """Operations in another order, one less, or none are another run."""
    digests = {recorded(operations).digest() for operations in (OPERATIONS, OPERATIONS[::-1], OPERATIONS[:-1], [])}
    assert len(digests) == 4


def test_the_digest_sees_locks() -> None:
    """A lock that was held longer, or by another CPU, is another run."""
    digests = {
        recorded(OPERATIONS, holds=holds).digest()
        for holds in ((), ((0, 0, 5),), ((1, 0, 5),), ((0, 0, 6),), ((0, 0, 5), (0, 9, 5)))
    }
    assert len(digests) == 5


def test_the_digest_is_the_same_everywhere() -> None:
    """It depends neither on the process nor on the machine, only on what is digested and how."""
    digest = recorded(OPERATIONS, holds=[(0, 0, 5)]).digest()
    assert digest == "sha256:0514ea7465d04cac8b2cc687263368d706f356b338de68a96925389f33564b78"


def test_folding_forgets_and_counts() -> None:
    """A chunk is folded when it is due, all at the end; latencies and the history have been told."""
    recorder = Recorder(History([0]))
    recorder.history.preload([AREA])
    observer = recorder.observer()
    for number in range(CHUNK - 1):
        observer.completed(found(number))
    recorder.fold_if_due()
    assert recorder.operations == 0
    observer.completed(found(CHUNK - 1))
    recorder.fold_if_due()
    assert recorder.operations == CHUNK
    recorder.fold()
    assert recorder.operations == CHUNK
    latency = recorder.latencies.by_operation()["find"][1]
    assert (latency.count, latency.total_ns, latency.queue_ns, latency.service_ns) == (
        CHUNK,
        30 * CHUNK,
        4 * CHUNK,
        6 * CHUNK,
    )
    recorder.history.finish()
    assert recorder.history.exceptions == 0


def test_the_history_judges_what_is_folded() -> None:
    """A find of what nobody inserted is an exception of the recorder's history."""
    recorder = recorded([found(0)])
    recorder.history.finish()
    assert recorder.history.exceptions == 1


def test_locks_are_kept_in_the_order_in_which_they_were_asked_for() -> None:
    """The observer makes them, the recorder has them."""
    recorder = Recorder(History([0]))
    made = [recorder.observer().lock(name) for name in ("busy/1", "busy/0")]
    assert [lock.name for lock in recorder.locks] == ["busy/1", "busy/0"]
    assert all(one is other for one, other in zip(made, recorder.locks, strict=True))
    assert isinstance(made[0], FifoLock)


def test_addresses_use_all_64_bits() -> None:
    """The digest takes the highest address there is."""
    top = VmapArea(2**64 - 0x1000, 2**64 - 1)
    operation: Completed = ("insert", 0, 0, 30, 1, 0, 10, top.va_start, top)
    assert recorded([operation]).digest() != recorded([]).digest()
