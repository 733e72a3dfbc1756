"""What a connection that reads nothing costs the others: `python -m tests.bench.slow_reader`.

One serve process; four connections ask in a closed loop, in alternating rounds with and without a fifth one that
has asked for all the listings it may and reads none of them.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

from actors.cluster.endpoint import Endpoint, connect
from protocol.area import VmapArea
from protocol.codec import encode_envelope
from protocol.connection import PROTOCOL
from protocol.envelopes import Ask, Hello
from protocol.messages import Find, InsertBatch, Inserted, ListAreas, NotFound
from tests.live.cluster import ACTORS, desk_at


async def rate(endpoint: Endpoint, seconds: float) -> float:
    """Give the requests per second that four connections get answered."""
    asked = 0

    async def ask() -> None:
        nonlocal asked
        async with desk_at(endpoint) as desk:
            while True:
                await desk.ask("node/1", Find(1, 0x10000), NotFound)
                asked += 1

    began_s = time.perf_counter()
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask)
    return asked / (time.perf_counter() - began_s)


async def stalled(endpoint: Endpoint) -> trio.abc.Stream:
    """Make a connection that asks for 256 listings of 4,000 areas, and reads none."""
    stream = await connect(endpoint, None)
    hello = Hello(PROTOCOL, 2, 0x10000, one_lock=False, rules="", actors=ACTORS)
    listings = [Ask(n, "node/0", 10**15, 0, 0, 0, ListAreas(0, 0, 4000)) for n in range(1, 257)]
    await stream.send_all(encode_envelope(hello) + b"".join(map(encode_envelope, listings)))
    return stream


async def measure(endpoint: Endpoint, rounds: int, seconds: float) -> list[float]:
    """Give the ratios of the rates with the slow reader and without."""
    ratios = []
    async with desk_at(endpoint) as desk:
        areas = tuple(VmapArea(page * 0x10, page * 0x10 + 0x10) for page in range(0xFFF))
        await desk.ask("node/0", InsertBatch(areas), Inserted)
        for _ in range(rounds):
            without = await rate(endpoint, seconds)
            slow = await stalled(endpoint)
            await desk.ask("node/1", Find(1, 0x10000), NotFound)  # behind its listings
            ratios.append(await rate(endpoint, seconds) / without)
            await trio.aclose_forcefully(slow)
    return ratios


def main(rounds: int = 5, seconds: float = 2.0) -> float:
    """Print the ratio of each round; gives their median."""
    with tempfile.TemporaryDirectory() as folder:
        endpoint = Endpoint(path=str(Path(folder) / "s"))
        command = [sys.executable, "-m", "sim", "serve", "--nodes", "0-1/2", "--free", "--until-eof"]
        command += ["--listen", str(endpoint)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            ratios = trio.run(measure, endpoint, rounds, seconds)
            assert process.stdin is not None
            process.stdin.close()
    print(f"rate with a slow reader / without: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    print(f"median {statistics.median(ratios):.2f}")
    return statistics.median(ratios)


if __name__ == "__main__":
    main()
