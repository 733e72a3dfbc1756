"""Supervision: an actor that fails is started again, after a pause that grows while it goes on failing."""

from collections.abc import Awaitable, Callable

from attrs import frozen


@frozen
class Backoff:
    """Pauses: the first, then twice as long each time up to the longest; a calm while starts over."""

    first_ns: int = 100_000_000
    longest_ns: int = 5_000_000_000
    calm_ns: int = 10_000_000_000
    """Having run for this long, an actor counts as sound again."""

    def after(self, failures: int) -> int:
        """Give the pause after so many failures in a row, at least 1."""
        return min(self.longest_ns, self.first_ns << min(failures - 1, 32))


async def supervise(
    run: Callable[[], Awaitable[None]],
    backoff: Backoff,
    now_ns: Callable[[], int],
    pause: Callable[[int], Awaitable[None]],
    failed: Callable[[Exception, int], None],
) -> None:
    """Run an actor until it ends by itself or is cancelled; when it raises, run it again after a pause.

    `failed` is told of the error and the pause in nanoseconds. What it raises ends the supervision.
    """
    failures = 0
    while True:
        began_ns = now_ns()
        try:
            await run()
        except Exception as error:
            failures = 1 if now_ns() - began_ns >= backoff.calm_ns else failures + 1
            pause_ns = backoff.after(failures)
            failed(error, pause_ns)
        else:
            return
        await pause(pause_ns)
