"""The plan of faults: what `[faults]` says, as answers to a world's questions, drawn from the run's seed.

Messages draw from one stream in the order in which they are sent, crashes from a stream for each table and
actor: in virtual time the same faults happen in every run.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import merge

from actors.faults import Crash
from actors.patience import Patience
from sim.chance import stream
from sim.scenario.faults import Crashes, Faults, Messages, Partitions, fits

ONCE = (0,)
"""The fate of a message to which nothing happens."""


class FaultPlan:
    """Implements `actors.faults.Faults`."""

    def __init__(self, faults: Faults, seed: int, servers: Sequence[str]) -> None:
        """Plan for a run with these servers; clients need not be known."""
        self._faults = faults
        self._seed = seed
        self._servers = servers
        self._random = stream(seed, "faults/messages").random
        self._rules: dict[tuple[str, str], tuple[list[Messages], list[Partitions]]] = {}
        self.counts: Counter[str] = Counter()
        """What has happened so far, by kind."""

    def fates(self, source: str, target: str, now_ns: int) -> Sequence[int]:
        """See `actors.faults.Faults.fates`."""
        rules = self._rules.get((source, target))
        if rules is None:
            rules = self._rules[source, target] = self._rules_between(source, target)
        messages, partitions = rules
        self.counts["messages"] += 1
        for partition in partitions:
            if partition.from_ns <= now_ns < partition.until_ns:
                self.counts["cut_off"] += 1
                return ()
        fates: Sequence[int] = ONCE
        for rule in messages:
            fates = self._apply(rule, fates)
        return fates

    def _apply(self, rule: Messages, fates: Sequence[int]) -> Sequence[int]:
        """Let one table happen to a message; it draws equally often, whatever happens."""
        lost, doubled, delayed, by, held = [self._random() for _ in range(5)]
        if lost < rule.loss:
            self.counts["lost"] += bool(fates)
            return ()
        extra_ns = 0
        if delayed < rule.delay:
            self.counts["delayed"] += 1
            fewest_ns, most_ns = rule.delay_ns
            extra_ns += fewest_ns + int(by * (most_ns - fewest_ns + 1))
        if held < rule.reordering:
            self.counts["held_back"] += 1
            extra_ns += rule.reorder_ns
        changed = [fate + extra_ns for fate in fates] if extra_ns else list(fates)
        if doubled < rule.duplication and changed:
            self.counts["duplicated"] += 1
            changed.append(fates[0])
        return changed

    def slowdown(self, address: str, now_ns: int) -> int:
        """See `actors.faults.Faults.slowdown`."""
        factor = 1
        for slow in self._faults.slow:
            if slow.from_ns <= now_ns < slow.until_ns and fits(slow.actor, address):
                factor *= slow.factor
        return factor

    def crashes(self) -> Iterator[Crash]:
        """See `actors.faults.Faults.crashes`."""
        sources = [
            self._crashes_of(rule, index, server)
            for index, rule in enumerate(self._faults.crashes)
            for server in self._servers
            if fits(rule.actor, server)
        ]
        return merge(*sources, key=lambda crash: crash.at_ns)

    def crashed(self, address: str) -> None:
        """See `actors.faults.Faults.crashed`."""
        assert address in self._servers, f"{address} is no server of this run"
        self.counts["crashes"] += 1

    def _crashes_of(self, rule: Crashes, index: int, server: str) -> Iterator[Crash]:
        if not rule.every_ns:
            yield Crash(rule.at_ns, server, rule.down_ns)
            return
        random = stream(self._seed, f"faults/crashes/{index}/{server}")
        at_ns = rule.at_ns
        while True:
            at_ns += 1 + round(random.expovariate(1.0 / rule.every_ns))
            yield Crash(at_ns, server, rule.down_ns)

    def _rules_between(self, source: str, target: str) -> tuple[list[Messages], list[Partitions]]:
        messages = [
            rule
            for rule in self._faults.messages
            if (fits(rule.source, source) and fits(rule.target, target))
            or (fits(rule.source, target) and fits(rule.target, source))
        ]
        partitions = [
            partition
            for partition in self._faults.partitions
            if _is_within(partition, source) != _is_within(partition, target)
        ]
        return messages, partitions


def patience_of(faults: Faults, engine: str) -> Patience:
    """Give how patient clients are; where the scenario leaves it open, the engine decides."""
    timeout_ns, deadline_ns = (5_000, 10_000_000) if engine == "virtual" else (10**9, 30 * 10**9)
    return Patience(faults.timeout_ns or timeout_ns, faults.deadline_ns or deadline_ns)


def _is_within(partition: Partitions, actor: str) -> bool:
    return any(fits(pattern, actor) for pattern in partition.actors)
