"""Sessions: once, bounded, and the same again from a journal."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.area import VmapArea, ZoneLayout
from protocol.codec import decode_envelopes, encode_envelope
from protocol.envelopes import Entry, Journaled, Kept, Rebuilt
from protocol.free_machine import FreeSpaceMachine
from protocol.lazy_pages import LazyPagesMachine
from protocol.machine import Machine, Rebuildable
from protocol.messages import (
    AddLazyPages,
    Allocate,
    CollectReclaimed,
    DecayPools,
    DetachLazy,
    Find,
    FindUnlink,
    Found,
    Insert,
    Inserted,
    LazyInsert,
    NotFound,
    PoolTake,
    PopulatePools,
    Refused,
    Release,
    Reply,
    Request,
    SessionOpened,
    SubtractLazyPages,
    Unlinked,
)
from protocol.node import NodeMachine
from protocol.sessions import OPEN, SESSIONS, WINDOW, ClientSession, Numbered, SessionMachine

AREA = VmapArea(4096, 8192)


def node() -> NodeMachine:
    return NodeMachine(ZoneLayout(1), [0], "busy/0")


def opened(machine: SessionMachine) -> ClientSession:
    reply, _work = machine.handle(OPEN)
    assert isinstance(reply, SessionOpened)
    return ClientSession(reply.session)


def test_a_request_that_comes_again_is_answered_as_before() -> None:
    """The second unlink of the same number gives the area again, and the tree is not touched."""
    machine = SessionMachine(node(), "node/0")
    session = opened(machine)
    assert machine.handle(session.ask(Insert(AREA)))[0] == Inserted(1)
    unlink = session.ask(FindUnlink(0, 4096))
    assert machine.handle(unlink)[0] == machine.handle(unlink)[0] == Unlinked(AREA)
    assert machine.handle(session.ask(FindUnlink(0, 4096)))[0] == NotFound()


def test_without_once_it_is_served_twice() -> None:
    """The variant that a campaign has to catch: the second unlink finds nothing."""
    machine = SessionMachine(node(), "node/0", once=False)
    session = opened(machine)
    machine.handle(session.ask(Insert(AREA)))
    unlink = session.ask(FindUnlink(0, 4096))
    assert [machine.handle(unlink)[0] for _ in range(2)] == [Unlinked(AREA), NotFound()]


def test_what_is_settled_comes_late() -> None:
    """A copy that arrives after its client's next request is refused: also one that was given up and never came."""
    machine = SessionMachine(node(), "node/0")
    session = opened(machine)
    given_up = session.ask(Insert(AREA))
    session.settle(given_up)
    machine.handle(session.ask(FindUnlink(0, 0)))
    reply, _work = machine.handle(given_up)
    assert isinstance(reply, Refused)
    assert reply.reason == "late"
    assert machine.handle(Numbered(0, 0, 0, Find(0, 4096)))[0] == NotFound()


def test_lookups_need_no_session_and_are_not_kept() -> None:
    """The same lookup sees what has changed meanwhile."""
    machine = SessionMachine(node(), "node/0")
    find = Numbered(0, 0, 0, Find(0, 4096))
    assert machine.handle(find)[0] == NotFound()
    machine.handle(opened(machine).ask(Insert(AREA)))
    assert machine.handle(find)[0] == Found(AREA)


def test_memory_is_bounded() -> None:
    """Replies that the client has are forgotten; the longest unused session ends, and is refused ever after."""
    machine = SessionMachine(node(), "node/0")
    first, second = opened(machine), opened(machine)
    for start in range(1000):
        insert = second.ask(Insert(VmapArea(start, start + 1)))
        machine.handle(insert)
        second.settle(insert)
    assert len(machine._sessions[second.number].kept) == 1
    for _ in range(SESSIONS - 1):
        opened(machine)
    assert len(machine._sessions) == SESSIONS
    reply, _work = machine.handle(first.ask(Insert(AREA)))
    assert isinstance(reply, Refused)
    assert reply.reason == "unknown-session"


def test_the_window_is_bounded() -> None:
    """A sequence too far ahead of what the client waits for is refused."""
    machine = SessionMachine(node(), "node/0")
    session = opened(machine)
    reply, _work = machine.handle(Numbered(session.number, WINDOW, 0, Insert(AREA)))
    assert isinstance(reply, Refused)
    assert reply.reason == "window"


starts = st.integers(0, 12).map(lambda page: page * 4096)
node_requests = st.one_of(
    st.builds(lambda start, pages: Insert(VmapArea(start, start + pages * 4096)), starts, st.integers(1, 3)),
    st.builds(lambda start: FindUnlink(0, start), starts),
)
free_requests = st.one_of(
    st.builds(lambda start, pages: Allocate(pages * 4096, 1, start, 2**20), starts, st.integers(1, 3)),
    st.builds(lambda start, pages: Release(VmapArea(start, start + pages * 4096)), starts, st.integers(1, 3)),
)
freed_requests = st.one_of(
    st.builds(lambda start: LazyInsert(0, VmapArea(start, start + 4096, 0x100)), starts),
    st.builds(PoolTake, st.just(0), st.sampled_from([4096, 8192]), st.just(1)),
    st.just(DetachLazy(0)),
    st.builds(PopulatePools, st.just(0), st.booleans()),
    st.builds(DecayPools, st.just(0), st.booleans()),
    st.just(CollectReclaimed(0)),
)
lazy_requests = st.one_of(
    st.builds(AddLazyPages, st.integers(0, 3)), st.builds(SubtractLazyPages, st.integers(0, 3), st.just(1))
)
steps = st.tuples(st.integers(0, 2), st.booleans())
"""Which of three sessions asks, and whether its client has the reply then."""

MACHINES: dict[str, tuple[Callable[[], Machine], st.SearchStrategy[Request]]] = {
    "node": (node, node_requests),
    "freed": (node, node_requests | freed_requests),
    "free": (FreeSpaceMachine, free_requests),
    "lazy": (LazyPagesMachine, lazy_requests),
}


@pytest.mark.parametrize("kind", ["node", "freed", "free", "lazy"])
@pytest.mark.parametrize("rebuilt", [False, True])
@given(data=st.data())
def test_a_journal_makes_the_machine_again(kind: str, rebuilt: bool, data: st.DataObject) -> None:
    """Through bytes, from its beginning or from a rebuild on: the same replies to what is asked again and anew."""
    make, requests = MACHINES[kind]
    machine, journal = SessionMachine(make(), kind), list[Entry]()
    machine.journal = journal.append
    sessions = [opened(machine) for _ in range(3)]
    asked: list[tuple[Numbered, Reply]] = []

    def ask(request: Request, which: int, settled: bool) -> None:
        numbered = sessions[which].ask(request)
        asked.append((numbered, machine.handle(numbered)[0]))
        if settled:
            sessions[which].settle(numbered)

    for request, (which, settled) in data.draw(st.lists(st.tuples(requests, steps), max_size=25)):
        ask(request, which, settled)
    if rebuilt and isinstance(machine.machine, Rebuildable):
        entries = machine.rebuild()
        assert entries is not None or kind == "freed"
        journal[:] = journal if entries is None else entries
    for request, (which, settled) in data.draw(st.lists(st.tuples(requests, steps), max_size=5)):
        ask(request, which, settled)
    again = SessionMachine(make(), kind)
    written = decode_envelopes(b"".join(map(encode_envelope, journal)))
    again.replay(entry for entry in written if isinstance(entry, Journaled | Kept | Rebuilt))
    for numbered, reply in asked:
        replies = again.handle(numbered)[0], machine.handle(numbered)[0]
        assert replies[0] == replies[1]
        assert replies[0] == reply or (isinstance(replies[0], Refused) and replies[0].reason == "late")
    assert opened(again).number == opened(machine).number == 4
    for request in data.draw(st.lists(requests, max_size=5)):
        ask(request, 0, settled=True)
        assert again.handle(asked[-1][0])[0] == asked[-1][1]
