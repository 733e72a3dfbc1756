"""What every search policy holds to, at every home node of every small ring and of two large ones.

Small rings come first: the breach that is found is the smallest there is.
"""

from protocol import policies
from protocol.policies import Policy, Rounds
from sim.contracts import Breach, Clause, asked

MOST_NODES = 9

PLACES = [(home, nr_nodes) for nr_nodes in [*range(1, MOST_NODES + 1), 64, 100] for home in range(nr_nodes)]
"""Home nodes, and the number of nodes of their rings."""

EXTRAS = (0, 1, 2, 7, MOST_NODES, 1_000)
"""Values of the one parameter that policies have."""


def stops_and_raises_nothing(policy: Policy, home: int, nr_nodes: int) -> None:
    """It gives an answer."""
    _rounds(policy, home, nr_nodes)


def asks_the_home_node_first_and_none_twice(policy: Policy, home: int, nr_nodes: int) -> None:
    """It gives what the router takes: the home node first, no node twice, no empty round."""
    rounds = _rounds(policy, home, nr_nodes)
    if broken := policies.breach(rounds, home, nr_nodes):
        raise Breach(f"{broken}, {_place(home, nr_nodes)}: {rounds!r}")


def answers_the_same_question_the_same_way(policy: Policy, home: int, nr_nodes: int) -> None:
    """It gives the same answer after other questions, too."""
    first = _rounds(policy, home, nr_nodes)
    _rounds(policy, (home + 1) % nr_nodes, nr_nodes)
    again = _rounds(policy, home, nr_nodes)
    if again != first:
        place = _place(home, nr_nodes)
        raise Breach(f"answers the same question in two ways, {place}: {first!r}, then {again!r}")


CLAUSES = (
    stops_and_raises_nothing,
    asks_the_home_node_first_and_none_twice,
    answers_the_same_question_the_same_way,
)


def hold(name: str, clause: Clause) -> None:
    """Hold the policy `name`, whatever its parameter, to a clause. Raises `Breach`."""
    for policy in _loaded(name):
        for home, nr_nodes in PLACES:
            clause(policy, home, nr_nodes)


def left_out(name: str) -> str:
    """Say which nodes the policy does not ask, at the first place where there are any; "" if it asks all."""
    for home, nr_nodes in PLACES:
        asks = {node_id for nodes in _rounds(policies.load(name), home, nr_nodes) for node_id in nodes}
        if missing := sorted(set(range(nr_nodes)) - asks):
            return f"{_place(home, nr_nodes)} it asks {len(asks)}, and not node {missing[0]}"
    return ""


def remarks(name: str) -> list[str]:
    """Tell of a policy that gives up: that is allowed, and has a price."""
    missing = left_out(name)
    return (
        [f"it does not ask all nodes ({missing}); the check answers_true counts what it misses"] if missing else []
    )


def _loaded(name: str) -> list[Policy]:
    """Load a policy with every parameter that makes a difference to it."""
    different: list[Policy] = []
    for extra in EXTRAS:
        policy = policies.load(name, extra=extra)
        if policy not in different:
            different.append(policy)
    return different


def _rounds(policy: Policy, home: int, nr_nodes: int) -> Rounds:
    rounds: Rounds = asked(policy, home, nr_nodes, words=_place(home, nr_nodes))
    return rounds


def _place(home: int, nr_nodes: int) -> str:
    return f"from home node {home} of {nr_nodes}"
