"""Steps of a trace in any order that their dependencies allow: nobody meets an address in use."""

from random import Random

import pytest

from protocol.area import VmapArea
from sim.traces.dependencies import Dependencies, Step


def random_steps(random: Random, cpus: int, count: int) -> list[Step]:
    """Draw a trace: areas of 1 to 6 pages among 24, looked up and freed by whichever CPU."""
    dependencies = Dependencies()
    live: dict[int, VmapArea] = {}
    steps: list[Step] = []
    while len(steps) < count:
        cpu, kind, start = random.randrange(cpus), random.choice("aaffl"), random.randrange(24)
        if kind == "a":
            area = VmapArea(start, start + random.randint(1, 6))
            if any(a.va_start < area.va_end and area.va_start < a.va_end for a in live.values()):
                continue
            live[start] = area
            steps.append(Step(cpu, "alloc", area, start, 0))
            dependencies.allocate(steps[-1])
        elif live:
            area = random.choice(list(live.values()))
            steps.append(Step(cpu, "free" if kind == "f" else "find", area, area.va_start, 0))
            if kind == "f":
                del live[area.va_start]
                dependencies.free(steps[-1])
            else:
                dependencies.look_up(steps[-1])
    return steps


@pytest.mark.parametrize("seed", range(150))
def test_any_allowed_order_keeps_addresses_apart(seed: int) -> None:
    """Each CPU in its order, CPUs interleaved at random: allocations meet free pages, the rest meets its area."""
    random = Random(seed)
    steps = random_steps(random, random.randint(1, 5), 120)
    queues: dict[int, list[Step]] = {}
    for step in steps:
        queues.setdefault(step.cpu, []).append(step)
        assert all(earlier.cpu != step.cpu and earlier.awaited for earlier in step.after)
    done: set[Step] = set()
    pages: dict[int, VmapArea] = {}
    while queues:
        ready = [cpu for cpu, queue in queues.items() if done.issuperset(queue[0].after)]
        assert ready, "the dependencies go round in a circle"
        cpu = random.choice(ready)
        step = queues[cpu].pop(0)
        if not queues[cpu]:
            del queues[cpu]
        covered = range(step.area.va_start, step.area.va_end)
        if step.operation == "alloc":
            assert not any(page in pages for page in covered), (seed, step)
            pages.update(dict.fromkeys(covered, step.area))
        else:
            assert all(pages.get(page) is step.area for page in covered), (seed, step)
            if step.operation == "free":
                for page in covered:
                    del pages[page]
        done.add(step)
