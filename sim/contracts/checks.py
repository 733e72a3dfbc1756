"""What every check holds to: on a sound run, on an empty one, and on runs with an error planted in each."""

from attrs import evolve

from protocol import registry
from protocol.area import VmapArea, ZoneLayout
from protocol.free_machine import SPACE
from sim import checks
from sim.checks import Check, Evidence, LazyPagesEvidence, Verdict
from sim.contracts import Breach, Clause, asked
from sim.history import History

ZONE = 0x1000
A, B, C = VmapArea(0x1000, 0x3000), VmapArea(0x4000, 0x5000), VmapArea(0x5000, 0x6800)
"""In a space of 7 zones dealt out to two nodes: A lives in node 1, B in node 0, C in node 1."""

LAZY = LazyPagesEvidence(counted=0, bytes_lazy=0, page_size=ZONE, most=4, undrained=0)


def sound() -> Evidence:
    """Make the evidence of a run as it should be."""
    history = History([0])
    history.preload([A, B, C])
    free = [VmapArea(0, 0x1000), VmapArea(0x3000, 0x4000), VmapArea(0x6800, 0x7000)]
    return Evidence(ZoneLayout(2, ZONE), {0: [B], 1: [A, C]}, free, (0, 0x7000), history, lazy=LAZY)


def with_a_false_answer() -> Evidence:
    """Make that of a run in which a lookup missed an area that was there all the time."""
    evidence = sound()
    evidence.history.extend([("find", 0, 10, 20, 2, 0, 0, A.va_start, None)])
    evidence.history.finish()
    return evidence


def sound_runs() -> dict[str, Evidence]:
    """Make the evidence of runs that no check may object to."""
    empty = Evidence(ZoneLayout(1, ZONE), {0: []}, [VmapArea(*SPACE)], SPACE, History([]))
    return {
        "a sound run": sound(),
        "a run of busy trees only": evolve(sound(), free=None, lazy=None),
        "an empty run": empty,
    }


def broken_runs() -> dict[str, Evidence]:
    """Make the evidence of runs in which something went wrong."""
    return {
        "an area away from home": evolve(sound(), nodes={0: [B, C], 1: [A]}),
        "an area that is gone": evolve(sound(), nodes={0: [B], 1: [A]}),
        "an area twice": evolve(sound(), nodes={0: [B], 1: [A, A, C]}),
        "an area busy and free": evolve(sound(), free=[VmapArea(0, 0x7000)]),
        "lazy pages beyond the bound": evolve(sound(), lazy=evolve(LAZY, bytes_lazy=9 * ZONE, undrained=5)),
        "a false answer": with_a_false_answer(),
    }


def stops_and_raises_nothing(check: Check) -> None:
    """It gives an answer, whatever went wrong."""
    for words, evidence in (sound_runs() | broken_runs()).items():
        _verdict(check, evidence, words)


def gives_a_count_and_the_first_in_words(check: Check) -> None:
    """It gives a verdict that agrees with itself."""
    for words, evidence in (sound_runs() | broken_runs()).items():
        verdict = _verdict(check, evidence, words)
        if not isinstance(verdict, Verdict):
            raise Breach(f"gives {verdict!r} instead of a Verdict, for {words}")
        if (
            not isinstance(verdict.count, int)
            or verdict.count < 0
            or (verdict.first is None) != (verdict.count == 0)
        ):
            raise Breach(f"gives {verdict!r}, whose count and first do not agree, for {words}")


def objects_to_no_sound_run(check: Check) -> None:
    """It finds nothing where nothing is wrong."""
    for words, evidence in sound_runs().items():
        verdict = _verdict(check, evidence, words)
        if not verdict.ok:
            raise Breach(f"objects to {words}: {verdict.first}")


def changes_nothing_and_says_it_again(check: Check) -> None:
    """It says the same of the same evidence."""
    for words, evidence in (sound_runs() | broken_runs()).items():
        nodes = {node_id: list(areas) for node_id, areas in evidence.nodes.items()}
        first = _verdict(check, evidence, words)
        if evidence.nodes != nodes:
            raise Breach(f"changes the evidence, for {words}")
        if _verdict(check, evidence, words) != first:
            raise Breach(f"gives two verdicts on the same evidence, for {words}")


CLAUSES = (
    stops_and_raises_nothing,
    gives_a_count_and_the_first_in_words,
    objects_to_no_sound_run,
    changes_nothing_and_says_it_again,
)


def hold(name: str, clause: Clause) -> None:
    """Hold the check `name` to a clause. Raises `Breach`."""
    clause(registry.load(checks, name, {}))


def remarks(name: str) -> list[str]:
    """Tell of a check that none of the planted errors makes fail."""
    check: Check = registry.load(checks, name, {})
    if all(_verdict(check, evidence, words).ok for words, evidence in broken_runs().items()):
        return [f"it objects to none of the errors that are planted here: {', '.join(broken_runs())}"]
    return []


def _verdict(check: Check, evidence: Evidence, words: str) -> Verdict:
    verdict: Verdict = asked(check, evidence, words=f"for {words}")
    return verdict
