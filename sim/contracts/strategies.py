"""What every batch strategy holds to, for areas and layouts that Hypothesis draws."""

from collections import Counter
from collections.abc import Sequence

from attrs import frozen
from hypothesis import strategies as st

from protocol import strategies
from protocol.area import VmapArea, ZoneLayout
from protocol.messages import InsertBatch, Inserted
from protocol.node import NodeMachine
from protocol.strategies import LockSession, Met, Rounds, Strategy
from sim.contracts import Breach, Clause, asked, search

layouts = st.builds(ZoneLayout, nr_nodes=st.integers(1, 9), zone_size=st.integers(1, 20))
chunks = st.integers(1, 12)
meetings = st.lists(st.builds(Met, st.integers(0, 10_000), st.integers(0, 10_000)), max_size=12)
any_areas = st.lists(
    st.builds(lambda va_start, size: VmapArea(va_start, va_start + size), st.integers(0, 400), st.integers(1, 60)),
    max_size=40,
)
"""Areas that may overlap: what to make of it is for their nodes to say."""


@st.composite
def disjoint_areas(draw: st.DrawFn) -> list[VmapArea]:
    """Draw areas that may touch but do not overlap, in any order."""
    steps = draw(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), max_size=40))
    areas, va_end = [], 0
    for gap, size in steps:
        areas.append(VmapArea(va_end + gap, va_end + gap + size))
        va_end += gap + size
    return draw(st.permutations(areas))


def stops_and_raises_nothing(strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout) -> None:
    """It gives an answer."""
    _rounds(strategy, areas, layout)


def gives_rounds_of_lock_sessions(strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout) -> None:
    """It gives tuples of sessions, none of them empty."""
    rounds = _rounds(strategy, areas, layout)
    if how := strategies.breach(rounds):
        raise _breach(how, areas, layout, rounds)


def puts_every_area_into_one_session(strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout) -> None:
    """An area that is given twice comes twice."""
    rounds = _rounds(strategy, areas, layout)
    sent = Counter(area for session in sessions_of(rounds) for area in session.areas)
    given = Counter(areas)
    for area in given - sent:
        raise _breach(f"loses the area {area!r}", areas, layout, rounds)
    for area in sent - given:
        words = "inserts" if area not in given else "inserts twice"
        raise _breach(f"{words} the area {area!r}", areas, layout, rounds)


def holds_the_lock_of_the_node_where_its_areas_live(
    strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout
) -> None:
    """A session has one lock: that of the node where all its areas live, unless one lock guards all nodes."""
    rounds = _rounds(strategy, areas, layout)
    for session in sessions_of(rounds):
        found = sorted(set(homes(session.areas, layout)))
        if len(found) > 1 and not strategies.needs_one_lock(strategy):
            locks = " and ".join(f"node {node_id}'s" for node_id in found)
            raise _breach(f"holds {_number(len(found))} locks in one session, {locks}", areas, layout, rounds)
        if session.node_id not in found:
            where = f"a session with node {session.node_id} for areas of node {found[0]}"
            raise _breach(f"makes {where}", areas, layout, rounds)


def keeps_the_order_of_the_areas_of_a_node(
    strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout
) -> None:
    """What a node is sent, it is sent in the order in which it was given."""
    rounds = _rounds(strategy, areas, layout)
    sent = [area for session in sessions_of(rounds) for area in session.areas]
    for node_id in range(layout.nr_nodes):
        if _of(node_id, sent, layout) != _of(node_id, areas, layout):
            raise _breach(f"changes the order of the areas of node {node_id}", areas, layout, rounds)


def is_a_pure_function(strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout) -> None:
    """The same areas have the same sessions, and stay as they were."""
    given_areas = list(areas)
    first = _rounds(strategy, given_areas, layout)
    if given_areas != list(areas):
        raise _breach("changes the list that it is given", areas, layout, first)
    again = _rounds(strategy, tuple(areas), layout)
    if again != first:
        raise _breach(f"answers the same question in two ways, once {again!r}", areas, layout, first)


def leaves_the_trees_of_inserting_one_by_one(
    strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout
) -> None:
    """Carried out by real node machines; for areas that are apart."""
    rounds = _rounds(strategy, areas, layout)
    node_ids = range(layout.nr_nodes)
    if strategies.needs_one_lock(strategy):
        machines = [NodeMachine(layout, node_ids, "busy")] * layout.nr_nodes
    else:
        machines = [NodeMachine(layout, (node_id,), f"busy/{node_id}") for node_id in node_ids]
    for session in sessions_of(rounds):
        reply, _work = machines[session.node_id].handle(InsertBatch(session.areas))
        if reply != Inserted(len(session.areas)):
            raise _breach(f"has a session that node {session.node_id} answers by {reply!r}", areas, layout, rounds)
    for node_id, machine in enumerate(machines):
        wanted = sorted(_of(node_id, areas, layout), key=lambda area: area.va_start)
        if list(machine.areas(node_id)) != wanted:
            raise _breach(f"leaves the wrong areas in node {node_id}", areas, layout, rounds)


CLAUSES = (
    stops_and_raises_nothing,
    gives_rounds_of_lock_sessions,
    puts_every_area_into_one_session,
    holds_the_lock_of_the_node_where_its_areas_live,
    keeps_the_order_of_the_areas_of_a_node,
    is_a_pure_function,
    leaves_the_trees_of_inserting_one_by_one,
)


def hold(name: str, clause: Clause) -> None:
    """Hold the strategy `name`, whatever its parameter, to a clause; one that adapts also whatever it meets.

    Raises `Breach`.
    """
    areas = disjoint_areas() if clause is leaves_the_trees_of_inserting_one_by_one else any_areas

    def test(example: tuple[list[VmapArea], ZoneLayout, int, list[Met]]) -> None:
        given, layout, chunk, met = example
        strategy = strategies.load(name, chunk=chunk)
        clause(strategy, given, layout)
        if strategies.adaptation(strategy) is not None:
            clause(Meeting(strategy, tuple(met)), given, layout)

    search(test, st.tuples(areas, layouts, chunks, meetings))


@frozen
class Meeting:
    """An adaptive strategy as it is when its rounds meet that."""

    strategy: Strategy
    met: tuple[Met, ...]

    def __call__(self, areas: Sequence[VmapArea], layout: ZoneLayout) -> Rounds:
        """Give the rounds that the strategy makes then."""
        adapt = strategies.adaptation(self.strategy)
        assert adapt is not None, "the strategy adapts"
        return strategies.rounds_if(self.met, adapt(areas, layout))


def sessions_of(rounds: Rounds) -> list[LockSession]:
    """Give all sessions of all rounds, in order."""
    return [session for sessions in rounds for session in sessions]


def homes(areas: Sequence[VmapArea], layout: ZoneLayout) -> list[int]:
    """Give the home node of each area."""
    return [area.va_start // layout.zone_size % layout.nr_nodes for area in areas]


def _rounds(strategy: Strategy, areas: Sequence[VmapArea], layout: ZoneLayout) -> Rounds:
    rounds: Rounds = asked(strategy, areas, layout, words=_question(areas, layout))
    return rounds


def _of(node_id: int, areas: Sequence[VmapArea], layout: ZoneLayout) -> list[VmapArea]:
    return [area for area, home in zip(areas, homes(areas, layout), strict=True) if home == node_id]


def _breach(how: str, areas: Sequence[VmapArea], layout: ZoneLayout, rounds: object) -> Breach:
    return Breach(f"{how}, {_question(areas, layout)}: {rounds!r}")


def _question(areas: Sequence[VmapArea], layout: ZoneLayout) -> str:
    return f"for {list(areas)!r}, {layout.nr_nodes} nodes, zones of {layout.zone_size} bytes"


def _number(count: int) -> str:
    return {2: "two", 3: "three"}.get(count, str(count))
