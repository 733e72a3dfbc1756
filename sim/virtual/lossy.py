"""Attempts in virtual time: messages that get lost, doubled and late, servers that crash and are slow.

An attempt is at most four events and a timer: each copy of the request that arrives is an event, which serves it;
its reply leaves at the end of service, if the server has not crashed by then; each copy of the reply that arrives
is an event. What happens to a message is asked when it is sent.

None of this is on the way of scripts that make no attempts: a run without faults pays nothing for it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from actors.errors import ActorCrashed
from actors.faults import Crash, Faults
from actors.world import Address, Attempts, Outcome
from protocol.messages import Reply
from protocol.sessions import Numbered
from sim.virtual.agenda import Agenda, Attention, Entry, Parked
from sim.virtual.station import Station


class Network:
    """Carries attempts between ports and stations."""

    def __init__(
        self,
        agenda: Agenda,
        stations: Mapping[Address, Station],
        faults: Faults,
        link_ns: Callable[[int, Address], int],
    ) -> None:
        self.agenda = agenda
        self._stations = stations
        self._faults = faults
        self._link_ns = link_ns

    def attempt(self, now_ns: int, port: Any, attempts: Attempts) -> None:
        """Send requests for `port`, and resume it with the outcomes, in time."""
        tries = Tries(port, len(attempts.asked))
        for index, (to, numbered) in enumerate(attempts.asked):
            trying = Try(tries, index)
            for delay_ns in self._faults.fates(f"cpu/{port.cpu}", to, now_ns):
                arrives_ns = now_ns + self._link_ns(port.cpu, to) + delay_ns
                self.agenda.push(arrives_ns, Arrival(self, to, trying), numbered)
        self.agenda.push(now_ns + attempts.timeout_ns, Timeout(tries))

    def serve(self, now_ns: int, to: Address, trying: "Try", numbered: Numbered) -> Entry | None:
        """Serve a request that arrives; causes the departure of its reply. A server that is down loses it."""
        station = self._stations.get(to)
        if station is None or station.gone:
            return None
        factor = self._faults.slowdown(to, now_ns)
        reply, end_ns, service_ns = station.serve(now_ns, trying, numbered, factor)
        departure = Departure(self, station, trying, end_ns - now_ns - service_ns, service_ns)
        return (end_ns, self.agenda.next_sequence(), departure, None, reply)

    def reply(self, now_ns: int, departure: "Departure", reply: Reply) -> None:
        """Send a reply on its way."""
        to, trying = departure.station.address, departure.trying
        for delay_ns in self._faults.fates(to, f"cpu/{trying.cpu}", now_ns):
            arrives_ns = now_ns + self._link_ns(trying.cpu, to) + delay_ns
            self.agenda.push(arrives_ns, trying, (reply, departure.queue_ns, departure.service_ns))

    def crash(self, address: Address, down_ns: int) -> Parked | None:
        """End a station; gives its task, None if it is down already."""
        station = self._stations.get(address)
        if station is None or station.gone:
            return None
        station.crash(self.agenda.now_ns)
        self._faults.crashed(address)
        station.parked.wake(ActorCrashed(address, down_ns))
        return station.parked


class Tries:
    """The attempts of one port: it goes on with the last reply, or when their time is over."""

    __slots__ = ("missing", "outcomes", "port")

    def __init__(self, port: Any, attempts: int) -> None:
        self.port = port
        self.missing = attempts
        self.outcomes: list[Outcome] = [None] * attempts

    def resume(self, now_ns: int) -> Entry | None:
        """Resume the script; whatever comes later is late."""
        self.missing = 0
        entry: Entry | None = self.port.step(now_ns, None, self.outcomes)
        return entry


class Try:
    """One of the attempts; of several copies of its reply, the first counts."""

    __slots__ = ("_index", "_tries", "cpu", "queue_ns", "service_ns")

    def __init__(self, tries: Tries, index: int) -> None:
        self._tries = tries
        self._index = index
        self.cpu: int = tries.port.cpu
        self.queue_ns = self.service_ns = 0

    def step(self, now_ns: int, _caller: object, arrived: tuple[Reply, int, int]) -> Entry | None:
        """Take the reply; the last one resumes the script, as the critical path of its operation."""
        tries = self._tries
        if not tries.missing or tries.outcomes[self._index] is not None:
            return None
        reply, queue_ns, service_ns = arrived
        tries.outcomes[self._index] = reply
        tries.missing -= 1
        if tries.missing:
            return None
        tries.port.queue_ns += queue_ns
        tries.port.service_ns += service_ns
        return tries.resume(now_ns)

    def fail(self, now_ns: int, error: Exception) -> Entry | None:
        """See `Caller.fail`: a server that breaks is one that does not answer."""
        del now_ns, error
        return None


class Timeout:
    """The end of attempts' time."""

    __slots__ = ("_tries",)

    def __init__(self, tries: Tries) -> None:
        self._tries = tries

    def step(self, now_ns: int, _caller: object, _message: object) -> Entry | None:
        """Resume the script with the outcomes that are there, unless it has been."""
        return self._tries.resume(now_ns) if self._tries.missing else None


class Arrival:
    """The arrival of one copy of a request."""

    __slots__ = ("_network", "_to", "_trying")

    def __init__(self, network: Network, to: Address, trying: Try) -> None:
        self._network = network
        self._to = to
        self._trying = trying

    def step(self, now_ns: int, _caller: object, numbered: Numbered) -> Entry | None:
        """Have the request served."""
        return self._network.serve(now_ns, self._to, self._trying, numbered)


class Departure:
    """The end of a service, when its reply is sent; a server that has crashed meanwhile sends none."""

    __slots__ = ("_network", "queue_ns", "service_ns", "station", "trying")

    def __init__(self, network: Network, station: Station, trying: Try, queue_ns: int, service_ns: int) -> None:
        self._network = network
        self.station = station
        self.trying = trying
        self.queue_ns = queue_ns
        self.service_ns = service_ns

    def step(self, now_ns: int, _caller: object, reply: Reply) -> Entry | None:
        """Send the reply."""
        if not self.station.gone:
            self._network.reply(now_ns, self, reply)
        return None


class Crashing:
    """The crashes of a plan, one after the other."""

    def __init__(self, network: Network, crashes: Iterator[Crash]) -> None:
        self._network = network
        self._crashes = crashes

    def schedule(self) -> None:
        """Put the next crash into the agenda, if there is one."""
        crash = next(self._crashes, None)
        if crash is not None:
            agenda = self._network.agenda
            agenda.push(max(crash.at_ns, agenda.now_ns), self, crash)

    def step(self, _now_ns: int, _caller: object, crash: Crash) -> Entry | None:
        """Let an actor crash: its task has to run before anything else happens."""
        self.schedule()
        parked = self._network.crash(crash.address, crash.down_ns)
        if parked is not None:
            raise Attention(parked)
        return None


class Waking:
    """The end of a time that an actor, not a script, lets pass."""

    def __init__(self, parked: Parked) -> None:
        self.parked = parked
        self.gone = False

    def step(self, _now_ns: int, _caller: object, _message: object) -> Entry | None:
        """Let the actor's task go on."""
        if self.gone:
            return None
        self.parked.wake()
        raise Attention(self.parked)
