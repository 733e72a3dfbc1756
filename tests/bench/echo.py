"""The floor for the cluster: a bare msgpack echo over trio sockets, in processes of its own.

`serve` answers every msgpack value with the value itself. `measure` has clients ask, one request at a time each,
over a connection of their own: what any request and reply between trio processes costs, without a protocol.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import trio
from msgpack import Unpacker, packb

REQUEST = [114, 1, "node/3", 10**9, 7, 42, 42, [1, 3, 0xFFFF_C900_0000_0000]]
"""As large as a find on the cluster's wire."""


async def serve(path: str) -> None:
    """Echo at a Unix socket until stdin ends."""
    async with trio.open_nursery() as nursery:
        listening = trio.socket.socket(trio.socket.AF_UNIX)
        await listening.bind(path)
        listening.listen(64)
        nursery.start_soon(trio.serve_listeners, _echo, [trio.SocketListener(listening)])
        async with trio.lowlevel.FdStream(sys.stdin.fileno()) as stdin:
            while await stdin.receive_some(1):
                pass
        nursery.cancel_scope.cancel()


async def _echo(stream: trio.SocketStream) -> None:
    unpacker = Unpacker()
    while data := await stream.receive_some(65536):
        unpacker.feed(data)
        for value in unpacker:
            await stream.send_all(packb(value))


async def measure(paths: Sequence[str], clients: int, requests: int) -> tuple[float, list[int]]:
    """Have `clients` make `requests` in all; gives seconds, and nanoseconds of each request."""
    latencies: list[int] = []

    async def ask(path: str, times: int) -> None:
        stream, unpacker = await trio.open_unix_socket(path), Unpacker()
        for _ in range(times):
            began_ns = time.perf_counter_ns()
            await stream.send_all(packb(REQUEST))
            while True:
                unpacker.feed(await stream.receive_some(65536))
                if next(unpacker, None) is not None:
                    break
            latencies.append(time.perf_counter_ns() - began_ns)
        await stream.aclose()

    began_s = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for client in range(clients):
            nursery.start_soon(ask, paths[client % len(paths)], requests // clients)
    return time.perf_counter() - began_s, latencies


if __name__ == "__main__":
    Path(sys.argv[1]).unlink(missing_ok=True)
    trio.run(serve, sys.argv[1])
