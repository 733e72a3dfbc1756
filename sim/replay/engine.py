"""Going through a trace, line by line."""

from collections import Counter

from protocol.area import PAGE_SIZE, VmapArea
from sim.replay.line import Freed, Line, Purged, Rules, Took
from sim.replay.purges import END, TOP
from sim.replay.recording import recording_of
from sim.replay.search import Search
from sim.replay.state import NOWHERE, POOL_CLASSES, Held
from sim.traces.ftrace import AllocEvent, FreeEvent, PurgeEvent, Trace

KEEP_PURGES = 4
KEEP = 4000


def replay(trace: Trace, nr_nodes: int, rules: Rules, verbose: int = 0):
    recording = recording_of(trace)
    line = Line(recording, nr_nodes, 65536, rules)
    search = Search(line)
    how = Counter()
    early: dict[int, str] = {}
    first: list[str] = []
    for index, event in enumerate(recording.events):
        if line.done[index]:
            if isinstance(event, AllocEvent) and not event.failed:
                how[early.pop(index, "reordered")] += 1
            continue
        match event:
            case AllocEvent():
                if line.apply(Took(index, event.cpu)):
                    if not event.failed:
                        how["as_printed"] += 1
                    continue
                expected = line.predict(event, event.cpu)
                found = search.explain(index)
                if found:
                    how[found] += 1
                    continue
                found = migrated(line, index, event)
                if found:
                    how["inferred"] += 1
                    continue
                where = force(line, index, event)
                how["unexplained"] += 1
                how[f"  {expected[0]} but {where}"] += 1
                if len(first) < verbose:
                    first.append(
                        f"{event.line} cpu {event.cpu} pid {event.pid} size {event.size // 4096} align {event.align} "
                        f"expected {expected[0]} {(expected[1] or 0):#x} actual {event.va_start:#x} {where}"
                    )
            case FreeEvent():
                line.apply(Freed(index))
            case PurgeEvent():
                if not line.apply(Purged(line.ended, END)):
                    how["!purge impossible"] += 1
                    # frees that cannot have come yet: take what is there
                    line.pinned[line.ended] = tuple(
                        free for free in next(line.choices(line.ended)) if line.done[free]
                    )
                    assert line.apply(Purged(line.ended, END))
        if index % 256 == 0:
            trim(line)
    return line, how, first


def trim(line: Line) -> None:
    purges = [at for at, logged in enumerate(line.log) if isinstance(logged.happening, Purged)]
    numbers = sorted({line.log[at].happening.number for at in purges})
    if len(numbers) > KEEP_PURGES:
        last = numbers[-KEEP_PURGES]
        at = next(at for at in purges if line.log[at].happening.number == last)
        line.forget(len(line.log) - at)
    elif len(line.log) > 3 * KEEP:
        line.forget(KEEP)


def migrated(line: Line, index: int, event: AllocEvent) -> bool:
    for cpu in range(line.state.nr_nodes):
        if cpu != event.cpu and line.predict(event, cpu) == ("pool", event.va_start):
            return line.apply(Took(index, cpu))
    return False


def force(line: Line, index: int, event: AllocEvent) -> str:
    """Set the state to the kernel's."""
    state = line.state
    start, end = event.va_start, event.va_start + event.size
    node = line.node_of(event, event.cpu)
    where = evict(line, start, end, node) or "free"
    size_class = event.size // PAGE_SIZE - 1
    if node != NOWHERE and size_class < POOL_CLASSES and not where.startswith("pool own"):
        pool = state.pools[node][size_class]
        if where == "free" and pool and line.doubted.get((node, size_class)) == pool[-1].va_start:
            head = state.pop(node, size_class)
            state.add_lazy(head, head.freed)
        if pool:
            line.doubted[node, size_class] = pool[-1].va_start
    if state.free.space.holds(start, end):
        state.free.take(start, end)
    else:
        where += " !not free"
    state.add_busy(Held(start, end, node))
    line.settle(index)
    line.forget(0)
    return where


def evict(line: Line, start: int, end: int, node: int) -> str:
    """Take all areas that touch a range from whoever has them, and make them free; say who had them."""
    state = line.state
    owners: list[str] = []

    def touching(areas):
        return [area for area in areas if area.va_start < end and start < area.va_end]

    def free(area: Held, owner: str) -> None:
        owners.append(owner)
        state.free.release(area.va_start, area.va_end)

    for area in touching(state.lazy.values()):
        free(state.remove_lazy(area.va_start), "lazy")
    for area in touching(state.busy.values()):
        free(state.remove_busy(area.va_start), "busy")
    for other in range(state.nr_nodes):
        for size_class, pool in enumerate(state.pools[other]):
            for area in touching(pool):
                position = pool.index(area)
                own = other == node and area.va_start == start and area.va_end == end
                above = pool[position + 1 :] if own else []
                free(area, f"pool {'own' if own else 'other'} depth {min(3, len(pool) - 1 - position)}")
                state.replace(other, size_class, pool[:position] + ([] if own else pool[position + 1 :]))
                for one in above:
                    state.add_lazy(one, one.freed)
    purge = line.purge
    if purge is not None:
        for held in (purge.detached, purge.decayed, purge.left, *purge.taken.values()):
            for area in touching(held):
                if not any(held is other for other in (purge.detached, purge.decayed, purge.left)):
                    step = purge.steps[purge.position] if purge.position < len(purge.steps) else END
                    if purge.by_start.get(area.va_start) is not area and purge.by_start:
                        continue
                    if step[0] == 1 and (1, state.lazy_node(area), area.va_start) < step:
                        continue
                    purge.by_start.pop(area.va_start, None)
                held.remove(area)
                free(area, "purge")
        purge.steps = [
            step for at, step in enumerate(purge.steps)
            if at < purge.position or step[0] == 0 or step[2] == TOP or step[2] in purge.by_start
        ]
    return " ".join(sorted(set(owners)))
