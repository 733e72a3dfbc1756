"""What a connection that reads nothing costs the others.

One serve process; four connections ask in a closed loop, with and without a fifth one that has asked for all the
listings it may and reads none of them.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import trio

from actors.cluster.endpoint import Endpoint, connect
from protocol.area import VmapArea
from protocol.codec import encode_envelope
from protocol.connection import PROTOCOL
from protocol.envelopes import Ask, Hello
from protocol.messages import Find, InsertBatch, Inserted, ListAreas, NotFound
from tests.bench.suite import Bench, Case, Measured, Options
from tests.live.cluster import ACTORS, desk_at

SECONDS = 4.0


async def asked_within(endpoint: Endpoint, seconds: float) -> int:
    """Count the requests that four connections get answered."""
    asked = 0

    async def ask() -> None:
        nonlocal asked
        async with desk_at(endpoint) as desk:
            while True:
                await desk.ask("node/1", Find(1, 0x10000), NotFound)
                asked += 1

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask)
    return asked


async def stalled(endpoint: Endpoint) -> trio.abc.Stream:
    """Make a connection that asks for 256 listings of 4,000 areas, and reads none."""
    stream = await connect(endpoint, None)
    hello = Hello(PROTOCOL, 2, 0x10000, one_lock=False, rules="", actors=ACTORS)
    listings = [Ask(n, "node/0", 10**15, 0, 0, 0, ListAreas(0, 0, 4000)) for n in range(1, 257)]
    await stream.send_all(encode_envelope(hello) + b"".join(map(encode_envelope, listings)))
    return stream


async def measure(endpoint: Endpoint, seconds: float, *, slow: bool) -> Measured:
    """Count what is answered, with the slow reader or without."""
    async with desk_at(endpoint) as desk:
        areas = tuple(VmapArea(page * 0x10, page * 0x10 + 0x10) for page in range(0xFFF))
        await desk.ask("node/0", InsertBatch(areas), Inserted)
        reader = await stalled(endpoint) if slow else None
        await desk.ask("node/1", Find(1, 0x10000), NotFound)  # behind its listings
        began_s = time.perf_counter()
        asked = await asked_within(endpoint, seconds)
        measured = {"items": asked, "seconds": time.perf_counter() - began_s}
        if reader is not None:
            await trio.aclose_forcefully(reader)
    return measured


def run(options: Options, *, slow: bool) -> Measured:
    """Start a server and ask it."""
    with tempfile.TemporaryDirectory() as folder:
        endpoint = Endpoint(path=str(Path(folder) / "s"))
        command = [sys.executable, "-m", "sim", "serve", "--nodes", "0-1/2", "--free", "--until-eof"]
        command += ["--listen", str(endpoint)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            measured = trio.run(partial(measure, endpoint, max(0.5, SECONDS * options.scale), slow=slow))
            assert process.stdin is not None
            process.stdin.close()
    return measured


def cases(_options: Options) -> Mapping[str, Case]:
    """Without the slow reader, and with it."""
    return {"four connections": partial(run, slow=False), "beside a slow reader": partial(run, slow=True)}


BENCH = Bench(
    title="A connection that reads nothing",
    about="Four connections ask a server in a closed loop, alone and beside one that has asked for all the "
    "listings it may and reads none.",
    items="requests",
    cases=cases,
    clock="wall",
)
