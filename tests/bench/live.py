"""The live world's request and reply beside raw trio memory channels with as many clients."""

import time
from collections.abc import Mapping

import trio

from actors.live import INBOX, LiveWorld
from tests.bench.requests import CLIENTS, Nobody, ask, observer
from tests.bench.suite import Bench, Case, Measured, Options

REQUESTS = 60_000


async def raw(requests: int) -> None:
    """Have clients send over one bounded channel, and get a reply over one of their own."""
    machine = Nobody()
    inbox, to_serve = trio.open_memory_channel[tuple[int, trio.MemorySendChannel[object]]](INBOX)

    async def serve() -> None:
        async for request, answer_to in to_serve:
            answer_to.send_nowait(machine.handle(request))

    async def client() -> None:
        answer_to, answers = trio.open_memory_channel[object](1)
        for _ in range(requests // CLIENTS):
            await inbox.send((0, answer_to))
            await answers.receive()

    async with trio.open_nursery() as serving:
        serving.start_soon(serve)
        async with trio.open_nursery() as asking:
            for _ in range(CLIENTS):
                asking.start_soon(client)
        serving.cancel_scope.cancel()


def run_raw(options: Options) -> Measured:
    """Ask over channels."""
    requests = int(REQUESTS * options.scale)
    began = time.process_time()
    trio.run(raw, requests)
    return {"items": requests, "seconds": time.process_time() - began}


def run_live(options: Options) -> Measured:
    """Ask in the live world."""
    requests = int(REQUESTS * options.scale)
    return {"items": requests, "seconds": ask(LiveWorld(observer(), lambda: None), requests)}


def cases(_options: Options) -> Mapping[str, Case]:
    """The world, and the floor below it."""
    return {"raw trio channels": run_raw, "the live world": run_live}


BENCH = Bench(
    title="A request and its reply over channels",
    about="16 clients ask one server that does nothing, over trio's memory channels. The live world also measures "
    "each request's wait and service.",
    items="requests",
    cases=cases,
)
