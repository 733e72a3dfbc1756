"""Real sockets: who gets in, what garbage does, what a slow reader costs, how actors start again."""

import socket
import stat
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing
import trustme
from attrs import evolve

from actors.cluster.endpoint import BadEndpoint, Certificates, Endpoint, connect, listen, parse_endpoint
from actors.cluster.host import Plan
from actors.cluster.link import Link, MemberRefused
from actors.cluster.store import StateRefused, StorageFailed, Store
from actors.errors import NoAnswer
from actors.patience import Patience
from actors.supervision import Backoff, supervise
from protocol.area import VmapArea
from protocol.codec import decode_envelopes, encode_envelope
from protocol.connection import PROTOCOL, Limits
from protocol.envelopes import Answer, Ask, Envelope, Goodbye, Hello, Ping, Pong, Welcome
from protocol.frames import HEADER_SIZE
from protocol.messages import (
    Find,
    FindUnlink,
    Found,
    GetStatistics,
    Insert,
    InsertBatch,
    Inserted,
    ListAreas,
    NodeRequest,
    NodeStatistics,
    NotFound,
    Reply,
    Unlinked,
)
from protocol.node import NodeMachine
from protocol.work import Work
from tests.live.cluster import ACTORS, HOSTING, LAYOUT, Running, desk_at, serving
from tests.unit.actors import leaves

PAGE = VmapArea(0x1000, 0x2000)
HELLO = encode_envelope(Hello(PROTOCOL, 2, 0x10000, one_lock=False, rules="", actors=ACTORS))


# -- who gets in ------------------------------------------------------------------------------------


async def test_a_unix_socket_is_its_owners(tmp_path: Path) -> None:
    """Mode 0600; a second server there is refused, a stale socket is replaced, another file is not touched."""
    path = tmp_path / "s"
    async with serving(f"unix:{path}") as running:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(BadEndpoint, match="a server that listens there"):
            await listen(running.endpoint, None)
    assert path.exists()
    async with serving(f"unix:{path}") as running, desk_at(running.endpoint) as desk:
        assert await desk.ask("node/0", Find(0, 0), NotFound) == NotFound()
    other = tmp_path / "text"
    other.write_text("mine")
    with pytest.raises(BadEndpoint, match="no socket"):
        await listen(Endpoint(path=str(other)), None)
    assert other.read_text() == "mine"


async def test_tcp_beyond_loopback_needs_certificates() -> None:
    """Neither listening nor connecting is possible without; on loopback both are."""
    for host in ("0.0.0.0", "::", "192.0.2.1"):  # noqa: S104 (to see it refused)
        with pytest.raises(BadEndpoint, match="outside loopback, without TLS"):
            await listen(Endpoint(host=host), None)
        with pytest.raises(BadEndpoint, match="outside loopback, without TLS"):
            await connect(Endpoint(host=host, port=1), None)
    async with serving("tcp:127.0.0.1:0") as running, desk_at(running.endpoint) as desk:
        assert await desk.ask("node/1", Insert(VmapArea(0x10000, 0x11000)), Inserted) == Inserted(1)


def issued(authority: trustme.CA, folder: Path, name: str, trusted: trustme.CA | None = None) -> Certificates:
    """Have a certificate for localhost, and trust `trusted` (the issuer, if nobody else)."""
    folder.mkdir(exist_ok=True)
    certificate = authority.issue_cert("localhost", common_name=name)
    paths = [folder / f"{name}.{kind}" for kind in ("pem", "key", "ca")]
    certificate.cert_chain_pems[0].write_to_path(paths[0])
    certificate.private_key_pem.write_to_path(paths[1])
    (trusted or authority).cert_pem.write_to_path(paths[2])
    return Certificates(*paths)


async def test_with_certificates_only_the_known_get_in(tmp_path: Path) -> None:
    """Whoever the authority signed is served; nobody, or somebody else's, is not, and the server goes on."""
    authority, stranger = trustme.CA(), trustme.CA()
    server = issued(authority, tmp_path, "server")
    async with serving("tcp:127.0.0.1:0", certificates=server) as running:
        async with desk_at(running.endpoint, issued(authority, tmp_path, "client")) as desk:
            assert await desk.ask("node/0", Insert(PAGE), Inserted) == Inserted(1)
        for certificates in (None, issued(stranger, tmp_path, "stranger", trusted=authority)):
            assert await answered(running.endpoint, certificates) == b""
        async with desk_at(running.endpoint, issued(authority, tmp_path, "another")) as desk:
            assert await desk.ask("node/0", Find(0, 0x1000), Found) == Found(PAGE)


async def test_a_run_with_certificates_ends_in_order(tmp_path: Path) -> None:
    """A client that is done says goodbye to TLS, too: the server takes nothing for broken."""
    authority = trustme.CA()
    async with serving("tcp:127.0.0.1:0", certificates=issued(authority, tmp_path, "server")) as running:
        async with desk_at(running.endpoint, issued(authority, tmp_path, "client")) as desk:
            assert await desk.ask("node/0", Insert(PAGE), Inserted) == Inserted(1)
        with trio.fail_after(20):
            while running.server.statistics()["connections"]:
                await trio.lowlevel.checkpoint()
        assert running.log.events() == []


async def test_a_server_that_may_not_be_is_refused_at_once(tmp_path: Path) -> None:
    """Its certificate is of another authority: the reason is the client's error, not a wait for somebody else."""
    authority, stranger = trustme.CA(), trustme.CA()
    async with serving("tcp:127.0.0.1:0", certificates=issued(authority, tmp_path, "server")) as running:
        with trio.fail_after(20), pytest.raises(BaseExceptionGroup) as caught:
            async with desk_at(running.endpoint, issued(authority, tmp_path, "client", trusted=stranger)):
                pytest.fail("it was let in")
    (error,) = leaves(caught.value)
    assert isinstance(error, BadEndpoint)
    assert "certificate verify failed" in str(error)


async def test_a_client_that_may_not_be_is_told_of_on_both_sides(tmp_path: Path) -> None:
    """The server logs why; the client, which only sees the end of the connection, says at which point that was."""
    authority, stranger = trustme.CA(), trustme.CA()
    async with serving("tcp:127.0.0.1:0", certificates=issued(authority, tmp_path, "server")) as running:
        hello = Hello(PROTOCOL, 2, 0x10000, one_lock=False, rules="", actors=ACTORS)
        link = Link(running.endpoint, hello, issued(stranger, tmp_path, "stranger", trusted=authority))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run, lambda: pytest.fail("it was let in"))
            with trio.fail_after(20):
                while not link.breaks:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert "refused this side's certificate" in link.last_break
    assert "certificate verify failed" in str(running.log.lines[0][1]["error"])


async def answered(endpoint: Endpoint, certificates: Certificates | None) -> bytes:
    """Say hello and give what comes back: nothing, when the server ends it."""
    with trio.fail_after(20):
        try:
            stream = await connect(endpoint, certificates)
        except (OSError, trio.BrokenResourceError):
            return b""
        try:
            await stream.send_all(HELLO)
            return bytes(await stream.receive_some(100))
        except trio.BrokenResourceError:
            return b""
        finally:
            await trio.aclose_forcefully(stream)


async def test_a_member_that_is_another_one_says_so(tmp_path: Path) -> None:
    """Both values are in the client's error."""
    async with serving(f"unix:{tmp_path / 's'}") as running:
        with pytest.raises(BaseExceptionGroup) as caught:
            async with desk_at(running.endpoint, change=lambda hello: evolve(hello, nr_nodes=8)):
                pytest.fail("it was let in")
        (error,) = leaves(caught.value)
        assert isinstance(error, MemberRefused)
        assert "nr_nodes is 2 here, 8 was asked for" in str(error)
        assert "protocol error" in running.log.events()


async def test_more_connections_than_allowed_are_sent_away(tmp_path: Path) -> None:
    """The second of one gets a goodbye; when the first has left there is room again."""
    async with serving(f"unix:{tmp_path / 's'}", connections=1) as running:
        async with desk_at(running.endpoint):
            second = await connect(running.endpoint, None)
            (told,) = decode_envelopes(bytes(await second.receive_some(1000)))
            assert told == Goodbye("1 connections already")
            await second.aclose()
        async with desk_at(running.endpoint) as desk:
            assert await desk.ask("node/0", Find(0, 0), NotFound) == NotFound()


# -- what others do ---------------------------------------------------------------------------------


def spoilt(random: Random) -> bytes:
    """Make a frame that a real one has become: bytes overwritten, cut out, put in, or nothing but chance."""
    frames: list[Envelope] = [
        Ask(1, "node/0", 10**9, 1, 1, 1, Insert(PAGE)),
        Ask(2, "node/1", 10**9, 0, 0, 0, ListAreas(1, 0, 10)),
        Ask(3, "free", 10**9, 1, 2, 1, InsertBatch((PAGE, VmapArea(0x3000, 0x5000)))),
        Hello(PROTOCOL, 2, 0x10000, one_lock=False, rules="", actors=ACTORS),
        Answer(1, 1, 1, "busy/0", NotFound()),
        Welcome(PROTOCOL, 2, 0x10000, one_lock=False, rules="", actors=ACTORS, asks=1, areas=1),
        Ping(3),
    ]
    frame = bytearray(encode_envelope(random.choice(frames)))
    if random.random() < 0.1:
        frame = bytearray(random.randbytes(random.randrange(1, 60)))
    for _ in range(random.randrange(1, 4)):
        start = random.randrange(len(frame) + 1)
        frame[start : start + random.randrange(3)] = random.randbytes(random.randrange(3))
    if random.random() < 0.7 and len(frame) > HEADER_SIZE:  # as long as it says, so that what is in it is read
        frame[:HEADER_SIZE] = (len(frame) - HEADER_SIZE).to_bytes(HEADER_SIZE, "big")
    return bytes(frame)


async def harass(running: Running, random: Random, frames: int) -> None:
    """Send malformed frames, several on a connection for as long as it lasts; read nothing but its end."""
    sent = 0
    while sent < frames:
        stream = await connect(running.endpoint, None)
        try:
            if random.random() < 0.8:
                await stream.send_all(HELLO)
            for _ in range(random.randrange(1, 30)):
                await stream.send_all(spoilt(random))
                sent += 1
            with trio.move_on_after(0.001):
                await stream.receive_some(1000)
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)


async def fuzz(tmp_path: Path, frames: int, seed: int) -> Running:
    """Harass a server, and have a well-formed client ask all the while; gives the server as it was then."""
    async with serving(f"unix:{tmp_path / 's'}", limits=Limits(silence_ns=10**9)) as running:
        async with desk_at(running.endpoint) as desk, trio.open_nursery() as nursery:
            asked = 0

            async def ask() -> None:
                nonlocal asked
                while True:
                    await desk.ask("node/0", Find(0, 0x9000_0000), NotFound)
                    asked += 1

            nursery.start_soon(ask)
            await harass(running, Random(seed), frames)
            assert asked > frames / 1000, f"seed {seed}"
            nursery.cancel_scope.cancel()
        with trio.fail_after(10):
            while running.server.statistics()["connections"]:
                await trio.lowlevel.checkpoint()
    return running


async def test_malformed_frames_disturb_nobody(tmp_path: Path) -> None:
    """3,000 of them: no actor fails, each broken connection is a line, and a client is answered throughout."""
    running = await fuzz(tmp_path, 3000, seed=1)
    assert set(running.log.events()) <= {"protocol error", "connection broken"}
    assert "protocol error" in running.log.events()


@pytest.mark.slow
async def test_a_hundred_thousand_malformed_frames_take_no_memory(tmp_path: Path) -> None:
    """After a tenth of them the process has all the memory that it will ever have, but for a few MiB."""

    def resident_mib() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096 / 2**20

    await fuzz(tmp_path, 10_000, seed=2)
    before = resident_mib()
    for seed in range(3, 12):
        await fuzz(tmp_path, 10_000, seed=seed)
    print(f"seeds 2-11: {before:.1f} MiB after 10,000 frames, {resident_mib():.1f} MiB after 100,000")
    assert resident_mib() < before + 8


async def test_a_slow_reader_holds_up_nobody_and_little_memory(tmp_path: Path) -> None:
    """Who asks for listings and reads none is not read from any more; others are answered as before."""
    async with (
        serving(f"unix:{tmp_path / 's'}", limits=Limits(asks=16)) as running,
        desk_at(running.endpoint) as desk,
    ):
        areas = tuple(VmapArea(page * 0x10, page * 0x10 + 0x10) for page in range(0xFFF))
        await desk.ask("node/0", InsertBatch(areas), Inserted)
        slow = await connect(running.endpoint, None)
        await slow.send_all(HELLO)
        listing = b"".join(
            encode_envelope(Ask(n, "node/0", 10**12, 0, 0, 0, ListAreas(0, 0, 4000))) for n in range(1, 17)
        )
        await slow.send_all(listing)
        with trio.fail_after(20):
            while running.server.statistics()["unsent"] == 0:
                await trio.lowlevel.checkpoint()
        with trio.move_on_after(0.2):  # until its own socket is full, too
            while True:
                await slow.send_all(encode_envelope(Ping(1)) * 1000)
        for _ in range(50):
            assert await desk.ask("node/1", Find(1, 0x10000), NotFound) == NotFound()
        assert running.server.statistics()["unsent"] < 16 * 60_000
        await trio.aclose_forcefully(slow)


async def test_silence_is_noticed(tmp_path: Path) -> None:
    """A connection that says nothing is pinged, and closed when nothing comes back; a link answers by itself."""
    async with serving(f"unix:{tmp_path / 's'}", limits=Limits(silence_ns=50_000_000)) as running:
        silent = await connect(running.endpoint, None)
        await silent.send_all(HELLO)
        heard = b""
        with trio.fail_after(20):
            while data := await silent.receive_some(1000):
                heard += data
        await silent.aclose()
        told = list(decode_envelopes(heard))
        assert [type(envelope) for envelope in told] == [Welcome, Ping, Goodbye]
        assert Pong not in map(type, told)


# -- actors that fail -------------------------------------------------------------------------------


class Fragile(NodeMachine):
    """Breaks when it is asked about a certain address."""

    def handle(self, request: NodeRequest) -> tuple[Reply, Work]:
        if isinstance(request, FindUnlink) and request.addr == 0xBAD:
            raise ZeroDivisionError("asked for the bad address")
        return super().handle(request)


def fragile_plans() -> list[Plan]:
    good = HOSTING.plans()
    return [Plan("node/0", lambda: Fragile(LAYOUT, [0], "busy/0"), good[0].identity), *good[1:]]


async def test_an_actor_that_fails_is_started_again_from_its_journal(tmp_path: Path) -> None:
    """Who asked gives up after the deadline; the areas are there again, and the other actors never left."""
    backoff = Backoff(first_ns=1_000_000, longest_ns=2_000_000)
    where = f"unix:{tmp_path / 's'}"
    async with serving(where, state=tmp_path, plans=fragile_plans(), backoff=backoff) as running:
        patience = Patience(timeout_ns=50_000_000, deadline_ns=300_000_000)
        async with desk_at(running.endpoint, patience=patience) as desk:
            await desk.ask("node/0", Insert(PAGE), Inserted)
            with pytest.raises(NoAnswer, match="restarting: node/0"):
                await desk.ask("node/0", FindUnlink(0, 0xBAD), Unlinked)
        async with desk_at(running.endpoint) as desk:
            assert await desk.ask("node/0", Find(0, 0x1000), Found) == Found(PAGE)
            assert await desk.ask("node/1", GetStatistics(1), NodeStatistics) == NodeStatistics(1, 0, 0, 1)
        assert {"actor failed", "restarted"} <= set(running.log.events())


async def test_without_a_journal_a_failure_ends_the_process(tmp_path: Path) -> None:
    """There is nothing to start from: better no answer than one from an empty tree."""

    async def break_it() -> None:
        where = f"unix:{tmp_path / 's'}"
        async with serving(where, plans=fragile_plans()) as running, desk_at(running.endpoint) as desk:
            await desk.ask("node/0", FindUnlink(0, 0xBAD), Unlinked)

    with pytest.raises(BaseExceptionGroup) as caught:
        await break_it()
    assert "asked for the bad address" in str(leaves(caught.value)[0])


async def test_pauses_grow_and_a_calm_while_starts_over(autojump_clock: trio.testing.MockClock) -> None:
    """1, 2, 4, 5, 5 s; after ten seconds of calm again 1."""
    assert autojump_clock.autojump_threshold == 0
    lives = [0, 0, 0, 0, 0, 10, 0]
    pauses: list[float] = []

    async def live() -> None:
        if not lives:
            return
        await trio.sleep(lives.pop(0))
        raise OSError("again")

    backoff = Backoff(first_ns=10**9, longest_ns=5 * 10**9)
    await supervise(
        live,
        backoff,
        lambda: round(trio.current_time() * 1e9),
        lambda ns: trio.sleep(ns / 1e9),
        lambda _error, ns: pauses.append(ns / 1e9),
    )
    assert pauses == [1, 2, 4, 5, 5, 1, 2]


# -- state on disk ----------------------------------------------------------------------------------

IDENTITY = {"actor": "node/0", "nr_nodes": "2"}


def test_state_of_another_layout_is_refused(tmp_path: Path) -> None:
    """The file, what it is and what was asked for are in one line; likewise other databases, damage, and use."""
    path = tmp_path / "node-0.sqlite"
    store = Store(path, IDENTITY)
    with pytest.raises(StateRefused, match="locked"):
        Store(path, IDENTITY)
    store.close()
    with pytest.raises(StateRefused, match=r"node-0.sqlite: found nr_nodes 2; allowed: 4"):
        Store(path, {**IDENTITY, "nr_nodes": "4"})
    noise = tmp_path / "noise"
    noise.write_bytes(b"no database at all, but long enough to look at" * 100)
    with pytest.raises(StateRefused, match="not a database"):
        Store(noise, IDENTITY)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StateRefused):
        Store(path, IDENTITY)


def test_a_full_disk_fails_commits_and_leaves_what_was_there(tmp_path: Path) -> None:
    """SQLite may not have another page: the commit says so; what was committed before can still be read."""
    store = Store(tmp_path / "s", IDENTITY)
    frames = encode_envelope(Ping(1))
    store._database.execute("PRAGMA max_page_count = 5")
    with pytest.raises(StorageFailed, match="full"):
        store.commit(frames * 5000)
    assert list(store.entries()) == []
    store._database.execute("PRAGMA max_page_count = 100000")
    store.commit(b"")
    assert list(store.entries()) == []
    store.close()


def test_an_endpoint_is_one_of_two_kinds() -> None:
    """Anything else is one line."""
    assert parse_endpoint("tcp:[::1]:80", "x") == Endpoint(host="::1", port=80)
    assert str(parse_endpoint("tcp:[::1]:80", "x")) == "tcp:[::1]:80"
    hosts = ("tcp:a..b:80", f"tcp:{'a' * 70}:80", "tcp:a\0b:80", "tcp:a\udcff:80", f"tcp:host:{'1' * 5000}")
    for text in ("", "unix:", "tcp:host", "tcp:host:99999", "tcp::1", "udp:a:1", "unix:" + "x" * 108, *hosts):
        with pytest.raises(BadEndpoint, match="x: found"):
            parse_endpoint(text, "x")
    assert parse_endpoint("tcp:bücher.example:80", "x").host == "xn--bcher-kva.example"
    assert socket.AF_UNIX
