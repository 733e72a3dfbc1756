"""Ports: clients' scripts in virtual time, resumed when what they await is there."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from actors.errors import ActorGone, NotACommand
from actors.world import Address, Attempts, Call, Completed, Failure, Port, Script
from protocol.messages import Reply
from sim.virtual.agenda import Agenda, Attention, Entry, Parked, Thrown
from sim.virtual.lossy import Network
from sim.virtual.station import Station


class VirtualPort(Port):
    """A client's port in virtual time, and the script behind it: stepped when what it awaits is there."""

    __slots__ = ("_agenda", "_coroutine", "_network", "_next_sequence", "_send", "_stations", "gone", "parked")

    def __init__(
        self,
        agenda: Agenda,
        stations: Mapping[Address, Station],
        cpu: int,
        completed: Callable[[Completed], None],
        script: Script,
        failed: Callable[[Failure], None],
        network: Network | None,
    ) -> None:
        super().__init__(cpu, completed, failed)
        self._network = network
        self._agenda = agenda
        self._next_sequence = agenda.next_sequence
        self._stations = stations
        self.now_ns = agenda.now_ns
        self.gone = False
        self.parked = Parked()
        self._coroutine = script(self)
        self._send = self._coroutine.send

    def step(self, now_ns: int, _caller: object, reply: object) -> Entry | None:
        """Resume the script with what it awaited; causes what it awaits next."""
        if self.gone:
            return None
        self.now_ns = now_ns
        try:
            command = self._send(reply)
        except StopIteration:
            self._end(None)
        except Exception as error:
            self._end(error)
        if type(command) is tuple:
            to, request = command
            station = self._stations.get(to)
            if station is not None:
                return station.post(now_ns, self, request)
        return self._await(now_ns, command)

    def fail(self, now_ns: int, error: Exception) -> Entry | None:
        """Resume the script by raising `error` where it waits."""
        if self.gone:
            return None
        self.now_ns = now_ns
        self.forget()
        try:
            command = self._coroutine.throw(error)
        except StopIteration:
            self._end(None)
        except Exception as uncaught:
            self._end(uncaught)
        return self._await(now_ns, command)

    def withdraw(self) -> None:
        """Forget the script; whatever is under way for it is skipped."""
        self.gone = True
        self._coroutine.close()

    def _await(self, now_ns: int, command: object) -> Entry | None:
        if type(command) is tuple:
            to, request = command
            station = self._stations.get(to)
            if station is None:
                return (now_ns, self._next_sequence(), Thrown(self), None, ActorGone(to))
            return station.post(now_ns, self, request)
        if type(command) is int:
            return (now_ns + command, self._next_sequence(), self, None, None)
        if isinstance(command, VirtualSignal):
            command.add(now_ns, self)
            return None
        if isinstance(command, list):
            self._call_all(now_ns, command)
            return None
        if isinstance(command, Attempts):
            assert self._network is not None, "an attempt in a world without faults"
            self._network.attempt(now_ns, self, command)
            return None
        return (now_ns, self._next_sequence(), Thrown(self), None, NotACommand(command))

    def _call_all(self, now_ns: int, calls: list[Call]) -> None:
        gathering = Gathering(self, len(calls))
        for index, (to, request) in enumerate(calls):
            branch = Branch(gathering, index)
            station = self._stations.get(to)
            if station is None:
                self._agenda.push(now_ns, Thrown(branch), ActorGone(to))
            else:
                caused = station.post(now_ns, branch, request)
                if caused is not None:
                    self._agenda.push_entry(caused)

    def _end(self, error: Exception | None) -> NoReturn:
        self.gone = True
        self.parked.wake(error)
        raise Attention(self.parked)


class Gathering:
    """Parallel calls of one port: the script goes on with the last reply, or with the first failure."""

    __slots__ = ("missing", "port", "replies")

    def __init__(self, port: VirtualPort, calls: int) -> None:
        self.port = port
        self.missing = calls
        self.replies: list[Any] = [None] * calls


class Branch:
    """One of the parallel calls. The one that replies last is the operation's critical path."""

    __slots__ = ("_gathering", "_index", "cpu", "queue_ns", "service_ns")

    def __init__(self, gathering: Gathering, index: int) -> None:
        self._gathering = gathering
        self._index = index
        self.cpu = gathering.port.cpu
        self.queue_ns = self.service_ns = 0

    def step(self, now_ns: int, _caller: object, reply: Reply) -> Entry | None:
        """Take the reply; the last one resumes the script."""
        gathering = self._gathering
        gathering.replies[self._index] = reply
        gathering.missing -= 1
        if gathering.missing:
            return None
        port = gathering.port
        port.queue_ns += self.queue_ns
        port.service_ns += self.service_ns
        return port.step(now_ns, None, gathering.replies)

    def fail(self, now_ns: int, error: Exception) -> Entry | None:
        """Fail the script, unless another branch has done so."""
        gathering = self._gathering
        failed_before, gathering.missing = gathering.missing < 0, -1
        return None if failed_before else gathering.port.fail(now_ns, error)


class VirtualSignal:
    """See `Signal`: those who wait are resumed in the order in which they came, at the time of `set`."""

    __slots__ = ("_agenda", "_is_set", "_waiting")

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._is_set = False
        self._waiting: list[VirtualPort] = []

    def set(self) -> None:
        """See `Signal.set`."""
        self._is_set = True
        for port in self._waiting:
            self._agenda.push(self._agenda.now_ns, port)
        self._waiting.clear()

    def is_set(self) -> bool:
        """See `Signal.is_set`."""
        return self._is_set

    def add(self, now_ns: int, port: VirtualPort) -> None:
        """Resume `port` when the signal is set, or now if it is."""
        if self._is_set:
            self._agenda.push(now_ns, port)
        else:
            self._waiting.append(port)
