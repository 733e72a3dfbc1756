"""A FIFO lock's ends and statistics, against a list of all holds."""

from itertools import pairwise

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from actors.lock import FifoLock, LockHeld, NoLock, as_taken


@define
class SlowLock:
    """Keeps every hold and counts afterwards."""

    holds: list[tuple[int, int, int, int]] = field(factory=list)
    """cpu, arrival, start, end."""

    def grant(self, cpu: int, arrival_ns: int, hold_ns: int) -> int:
        start_ns = max([arrival_ns, *(end_ns for *_, end_ns in self.holds)])
        self.holds.append((cpu, arrival_ns, start_ns, start_ns + hold_ns))
        return start_ns + hold_ns

    def statistics(self) -> dict[str, int]:
        waits = [start_ns - arrival_ns for _cpu, arrival_ns, start_ns, _end_ns in self.holds]
        times = [end_ns - start_ns for *_, start_ns, end_ns in self.holds]
        return {
            "acquisitions": len(self.holds),
            "contended": sum(wait > 0 for wait in waits),
            "handoffs": sum(one[0] != other[0] for one, other in pairwise(self.holds)),
            "hold_ns": sum(times),
            "hold_max_ns": max(times, default=0),
            "wait_ns": sum(waits),
            "wait_max_ns": max(waits, default=0),
        }


def statistics_of(lock: FifoLock) -> dict[str, int]:
    """The public numbers of a lock, in the order of results.json."""
    names = ("acquisitions", "contended", "handoffs", "hold_ns", "hold_max_ns", "wait_ns", "wait_max_ns")
    return {name: getattr(lock, name) for name in names}


requests = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(0, 15)), max_size=30)


@given(requests)
def test_a_lock_is_first_come_first_served(cpus_gaps_and_holds: list[tuple[int, int, int]]) -> None:
    """Each hold begins when all before it are over, and the statistics are those of the list of holds."""
    fast, slow = FifoLock("lock"), SlowLock()
    arrival_ns = 0
    for cpu, gap_ns, hold_ns in cpus_gaps_and_holds:
        arrival_ns += gap_ns
        assert fast.grant(cpu, arrival_ns, hold_ns) == slow.grant(cpu, arrival_ns, hold_ns)
        assert statistics_of(fast) == slow.statistics()


def test_three_requests_by_hand() -> None:
    """A free lock is had at once, a held one after the holder, an expected one at its very end."""
    lock = FifoLock("busy/0")
    assert lock.grant(cpu=1, arrival_ns=100, hold_ns=30) == 130
    assert lock.grant(cpu=2, arrival_ns=110, hold_ns=5) == 135
    assert lock.grant(cpu=2, arrival_ns=135, hold_ns=7) == 142
    assert statistics_of(lock) == {
        "acquisitions": 3,
        "contended": 1,
        "handoffs": 1,
        "hold_ns": 42,
        "hold_max_ns": 30,
        "wait_ns": 20,
        "wait_max_ns": 20,
    }


def test_an_idle_lock_has_no_past() -> None:
    """Before the first hold all statistics are 0, and the first holder took it from nobody."""
    lock = FifoLock("free")
    assert set(statistics_of(lock).values()) == {0}
    lock.grant(cpu=0, arrival_ns=0, hold_ns=0)
    assert (lock.acquisitions, lock.handoffs, lock.contended) == (1, 0, 0)


def test_a_lock_that_is_only_tried_is_refused_while_it_is_held() -> None:
    """On arrival, and not at the instant it is dropped; a refusal leaves no trace in the statistics."""
    lock = FifoLock("busy/0")
    attempt = as_taken(lock, 1, attempt=True)
    lock.grant(cpu=1, arrival_ns=100, hold_ns=30)
    with pytest.raises(LockHeld):
        attempt.grant(cpu=2, arrival_ns=129, hold_ns=5)
    assert (lock.acquisitions, lock.free_at_ns) == (1, 130)
    assert attempt.grant(cpu=2, arrival_ns=130, hold_ns=5) == 135
    assert lock.acquisitions == 2


def test_a_lock_taken_several_times_in_a_row_is_one_hold_of_the_sum() -> None:
    lock = FifoLock("pool/0")
    assert as_taken(lock, 5, attempt=False).grant(cpu=1, arrival_ns=0, hold_ns=100) == 100
    assert (lock.acquisitions, lock.hold_ns) == (5, 100)
    assert as_taken(lock, 1, attempt=False) is lock


def test_without_a_lock_nobody_waits() -> None:
    assert [NoLock().grant(cpu, 50, 7) for cpu in range(3)] == [57, 57, 57]


def test_a_hold_whose_order_is_kept_elsewhere_is_accounted_for() -> None:
    lock = FifoLock("purge")
    lock.record(cpu=1, arrival_ns=100, start_ns=100, end_ns=110)
    lock.record(cpu=2, arrival_ns=103, start_ns=110, end_ns=113)
    assert (lock.acquisitions, lock.contended, lock.handoffs) == (2, 1, 1)
    assert (lock.wait_ns, lock.wait_max_ns, lock.hold_ns, lock.hold_max_ns) == (7, 7, 13, 10)
