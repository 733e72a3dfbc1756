"""Racks of hosts: a message stays in its host, in its rack, or crosses the room."""

from collections.abc import Callable
from math import exp, fsum
from pathlib import Path
from random import Random

from attrs import define, field

from sim.chance import around, exponential, stream
from sim.errors import BadInput
from sim.scenario.machine import Hosts
from sim.scenario.model import Scenario

LEVELS = ("host", "rack", "room")
"""What two CPUs have in common at least."""

Draw = Callable[[Random, float], float]
"""Draws one message's nanoseconds around a mean."""


@define
class Racks:
    """Links by level. Messages between two hosts draw from a stream of their own, in the order they are sent."""

    hosts: Hosts
    seed: int
    means: tuple[float, float, float]
    draw: dict[str, Draw]
    """How the messages of a level vary; levels that are not here are constant."""
    uniform_ns: None = None
    shares_memory: bool = False
    _streams: dict[tuple[int, int], Random] = field(factory=dict)

    @property
    def fixed(self) -> bool:
        """See `Topology.fixed`."""
        return not self.draw

    def level(self, cpu: int, other: int) -> int:
        """Give the level of the link between two CPUs, an index of `LEVELS`."""
        here, there = cpu // self.hosts.cpus, other // self.hosts.cpus
        if here == there:
            return 0
        return 1 if here // self.hosts.hosts == there // self.hosts.hosts else 2

    def transfer_ns(self, cpu: int, other: int) -> float:
        """See `Topology.transfer_ns`."""
        return self.means[self.level(cpu, other)]

    def link_ns(self, cpu: int, other: int) -> int:
        """See `Topology.link_ns`."""
        level = self.level(cpu, other)
        draw = self.draw.get(LEVELS[level])
        if draw is None:
            return round(self.means[level])
        ends = (min(cpu, other) // self.hosts.cpus, max(cpu, other) // self.hosts.cpus)
        random = self._streams.get(ends)
        if random is None:
            random = self._streams[ends] = stream(self.seed, f"link/{ends[0]}/{ends[1]}")
        return round(draw(random, self.means[level]))


def hosts(scenario: Scenario, beside: Path) -> Racks:
    """Racks of hosts, with a latency for each level, constant or drawn (`[machine.hosts]`)."""
    keys = scenario.machine.hosts
    means = (float(keys.host_ns), float(keys.rack_ns), float(keys.room_ns))
    if keys.distribution == "measured":
        measured = read_measured(beside / keys.file if keys.file else None)
        given = [measured.get(name) for name in LEVELS]
        host, rack, room = (
            fsum(some) / len(some) if some else mean for some, mean in zip(given, means, strict=True)
        )
        return Racks(
            keys, scenario.seed, (host, rack, room), {name: _one_of(some) for name, some in measured.items()}
        )
    draw = _draws(keys.spread).get(keys.distribution)
    return Racks(keys, scenario.seed, means, {} if draw is None else dict.fromkeys(LEVELS, draw))


def read_measured(path: Path | None) -> dict[str, list[int]]:
    """Read latencies by level: a name and nanoseconds on each line; `#` begins a comment. Raises `BadInput`."""
    if path is None:
        raise BadInput("machine.hosts.file", "nothing", "a file of measured links, for distribution measured")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadInput(
            str(path), str(getattr(error, "strerror", None) or error).lower(), "measured links"
        ) from None
    measured: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or words[0] not in LEVELS or not (words[1].isascii() and words[1].isdigit()):
            raise BadInput(f"{path}:{number}", repr(line), "host, rack or room, and whole nanoseconds")
        measured.setdefault(words[0], []).append(int(words[1]))
    if not measured:
        raise BadInput(str(path), "no line", "host, rack or room, and whole nanoseconds")
    return measured


def _one_of(measured: list[int]) -> Draw:
    return lambda random, _mean: measured[int(random.random() * len(measured))]


def _draws(spread: float) -> dict[str, Draw]:
    return {
        "uniform": lambda random, mean: mean * around(random, spread),
        "exponential": lambda random, mean: mean * (1 - spread + spread * exponential(random)),
        "lognormal": lambda random, mean: mean * exp(spread * _normal(random) - spread * spread / 2),
    }


def _normal(random: Random) -> float:
    """Draw from the normal distribution of variance 1, but for its tails: twelve uniform numbers, less six.

    No logarithm is taken, whose last bit differs between C libraries; of `exp` whole nanoseconds are kept.
    """
    return fsum(random.random() for _ in range(12)) - 6
