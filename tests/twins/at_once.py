"""A world without time: commands are obeyed at once, and kworkers do what there is to do before the next one."""

from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from attrs import define, field

from actors.world import Completed, Port
from protocol.machine import Machine


@define(eq=False)
class Flag:
    """A signal."""

    happened: bool = False

    def set(self) -> None:
        self.happened = True

    def is_set(self) -> bool:
        return self.happened


@define(eq=False)
class AtOnce:
    """Runs scripts against machines; who waits for a signal is passed over until it is set."""

    machines: Mapping[str, Machine]
    completed: list[Completed] = field(factory=list)
    asked: list[tuple[str, Any, Any]] = field(factory=list)
    """Address, request and work of each call."""
    _others: deque[tuple[Coroutine[Any, Any, Any], Any]] = field(factory=deque)

    def port(self, cpu: int) -> Port:
        return Port(cpu, self.completed.append)

    def start(self, cpu: int, script: Callable[[Port], Coroutine[Any, Any, Any]]) -> None:
        """Run a kworker until it waits."""
        self._others.append((script(self.port(cpu)), None))
        self._run_others()

    def run(self, script: Coroutine[Any, Any, Any]) -> Any:
        """Run a script to its end, and then the kworkers until they wait."""
        command: Any = None
        try:
            command = script.send(None)
            while True:
                if isinstance(command, Flag) and not command.happened:
                    before = len(self.asked)
                    self._run_others()
                    assert command.happened or len(self.asked) > before, "nobody will ever set it"
                    continue
                self._run_others()
                command = script.send(self._obey(command))
        except StopIteration as over:
            self._run_others()
            return over.value

    def _obey(self, command: Any) -> Any:
        if isinstance(command, tuple):
            address, request = command
            reply, work = self.machines[address].handle(request)
            self.asked.append((address, request, work))
            return reply
        return [self._obey(one) for one in command] if isinstance(command, list) else None

    def _run_others(self) -> None:
        """Step the kworkers in turn until all of them wait."""
        waiting = 0
        while waiting < len(self._others):
            script, command = self._others.popleft()
            if isinstance(command, Flag) and not command.happened:
                self._others.append((script, command))
                waiting += 1
                continue
            waiting = 0
            try:
                self._others.append((script, script.send(self._obey(command))))
            except StopIteration:
                continue
