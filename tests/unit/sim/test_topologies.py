"""Where CPUs are, how far from each other, and where nodes live."""

from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest

from sim.errors import BadInput
from sim.placement import place as placed
from sim.scenario.file import structure
from sim.scenario.machine import Cores
from sim.topologies import Topology, topology
from sim.topologies.cores import Place, place


def made(machine: dict[str, Any], beside: Path = Path(), seed: int = 1) -> Topology:
    """Make the topology of a scenario with this `[machine]`."""
    return topology(structure({"seed": seed, "machine": machine}, "test"), beside)


# -- cores ----------------------------------------------------------------------------------------


def test_packed_cpus_are_numbered_as_linux_does() -> None:
    """2 sockets of 2 complexes of 2 cores: cores in order, and all siblings after all cores."""
    counts = Cores(complex_cores=2, complexes=2, sockets=2)
    places = [place(counts, cpu) for cpu in (0, 1, 2, 4, 8)]
    assert places == [Place(0, 0, 0), Place(1, 0, 0), Place(2, 1, 0), Place(4, 2, 1), Place(0, 0, 0)]


def test_spread_cpus_take_complexes_in_turn_and_siblings_last() -> None:
    """The first four CPUs have a complex each, sockets alternating; the next four are their second cores."""
    counts = Cores(complex_cores=2, complexes=2, sockets=2, order="spread")
    places = [place(counts, cpu) for cpu in (0, 1, 2, 3, 4, 8)]
    assert [(at.complex, at.socket) for at in places] == [(0, 0), (2, 1), (1, 0), (3, 1), (0, 0), (0, 0)]
    assert places[4].core == places[0].core + 1
    assert places[5].core == places[0].core


def test_distances_grow_with_what_is_not_shared() -> None:
    """Core, complex, socket and machine in turn, as given."""
    far = made({"topology": "cores", "cpus": 16, "cores": {"complex_cores": 2, "complexes": 2, "sockets": 2}})
    assert [far.transfer_ns(0, cpu) for cpu in (0, 8, 1, 2, 4)] == [0.0, 6.5, 24.0, 94.0, 197.0]
    assert far.link_ns(0, 8) == 6


def test_more_cpus_than_cores_are_refused() -> None:
    with pytest.raises(BadInput, match=r"machine\.cpus: found 65, for cores of 64 CPUs in all; allowed: at most"):
        made({"topology": "cores", "cpus": 65})


# -- hosts ----------------------------------------------------------------------------------------

RACKS = {"topology": "hosts", "cpus": 16}


def hosts(**keys: Any) -> Topology:
    """Racks of 2 hosts of 4 CPUs."""
    return made({**RACKS, "hosts": {"cpus": 4, "hosts": 2, **keys}})


def test_messages_stay_in_the_host_or_the_rack_or_cross_the_room() -> None:
    """Constant links have what their level has, and CPUs of different hosts share no memory."""
    racks = hosts(host_ns=1, rack_ns=2, room_ns=3)
    assert [racks.link_ns(0, cpu) for cpu in (0, 3, 4, 8, 15)] == [1, 1, 2, 3, 3]
    assert racks.fixed
    assert not racks.shares_memory


@pytest.mark.parametrize(
    ("distribution", "spread", "deviation"),
    [("uniform", 0.6, 0.6 / 3**0.5), ("exponential", 0.5, 0.5), ("lognormal", 0.5, 0.533)],
)
def test_drawn_links_have_the_mean_and_the_deviation_of_their_distribution(
    distribution: str, spread: float, deviation: float
) -> None:
    """20,000 links of mean 10,000 ns."""
    racks = hosts(rack_ns=10_000, distribution=distribution, spread=spread)
    drawn = [racks.link_ns(0, 4) for _ in range(20_000)]
    assert not racks.fixed
    assert fmean(drawn) == pytest.approx(10_000, rel=0.02)
    assert pstdev(drawn) == pytest.approx(10_000 * deviation, rel=0.05)


def test_links_draw_from_streams_of_their_own() -> None:
    """What one pair of hosts draws does not depend on how many messages others send."""
    alone, beside = hosts(distribution="exponential"), hosts(distribution="exponential")
    drawn = []
    for _ in range(5):
        beside.link_ns(0, 12)
        drawn.append(beside.link_ns(0, 4))
    assert drawn == [alone.link_ns(0, 4) for _ in range(5)]
    assert len(set(drawn)) == 5


def test_measured_links_are_those_of_the_file(tmp_path: Path) -> None:
    """Levels in the file are drawn from its lines, others constant; the mean is that of the lines."""
    (tmp_path / "links.txt").write_text("# ping\nrack 100\nrack 300 # slow\n\n")
    keys = {"cpus": 4, "hosts": 2, "distribution": "measured", "file": "links.txt", "room_ns": 7}
    racks = made({**RACKS, "hosts": keys}, tmp_path)
    assert {racks.link_ns(0, 4) for _ in range(50)} == {100, 300}
    assert racks.transfer_ns(0, 4) == 200
    assert racks.link_ns(0, 8) == 7


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rack fast\n", r"links.txt:1: found 'rack fast'"),
        ("\nplanet 5\n", r"links.txt:2: found 'planet 5'"),
        ("# nothing\n", r"links.txt: found no line"),
    ],
)
def test_what_is_wrong_with_measured_links_is_said_with_its_line(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "links.txt").write_text(text)
    with pytest.raises(BadInput, match=found):
        made({**RACKS, "hosts": {"distribution": "measured", "file": "links.txt"}}, tmp_path)


def test_measured_links_need_a_file_that_is_there(tmp_path: Path) -> None:
    """Without a name, and with one that leads nowhere."""
    with pytest.raises(BadInput, match=r"machine\.hosts\.file: found nothing"):
        made({**RACKS, "hosts": {"distribution": "measured"}})
    with pytest.raises(BadInput, match=r"nowhere: found no such file"):
        made({**RACKS, "hosts": {"distribution": "measured", "file": "nowhere"}}, tmp_path)


# -- matrix ---------------------------------------------------------------------------------------


def test_a_matrix_is_taken_as_it_is() -> None:
    """Also within a CPU, for messages; no line moves there."""
    measured = made({"topology": "matrix", "cpus": 2, "matrix": {"ns": [[1, 5], [5, 2]]}})
    assert [measured.link_ns(0, 0), measured.link_ns(0, 1), measured.transfer_ns(1, 1)] == [1, 5, 0]


@pytest.mark.parametrize(
    ("rows", "found"),
    [([[0]], "found 1 rows; allowed: 2"), ([[0, 5], [6, 0]], "found 6 from 1 to 0 and 5 back; allowed: the same")],
)
def test_a_matrix_has_a_row_for_each_cpu_and_is_symmetric(rows: list[list[int]], found: str) -> None:
    with pytest.raises(BadInput, match=found):
        made({"topology": "matrix", "cpus": 2, "matrix": {"ns": rows}})


# -- placement ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "cpus"),
    [
        ({"placement": "round-robin"}, [0, 4, 8, 12]),
        ({"placement": "packed"}, [0, 1, 2, 3]),
        ({"placement": "list", "nodes_at": [5, 9]}, [5, 9, 5, 9]),
    ],
)
def test_nodes_are_dealt_out_by_placement(machine: dict[str, Any], cpus: list[int]) -> None:
    """4 nodes on 16 CPUs."""
    scenario = structure({"space": {"nodes": 4}, "machine": {"globals_at": 3, **machine}}, "test")
    placement = placed(scenario, topology(scenario, Path()))
    assert [placement.cpu_of(f"node/{node_id}") for node_id in range(4)] == cpus
    assert (placement.cpu_of("nodes"), placement.cpu_of("free")) == (cpus[0], 3)


@pytest.mark.parametrize(
    ("machine", "found"),
    [
        ({"placement": "list", "nodes_at": [16]}, r"machine\.nodes_at: found \[16\]; allowed: CPUs, from 0 to 15"),
        ({"placement": "list", "nodes_at": []}, r"machine\.nodes_at: found \[\]"),
        ({"globals_at": 16}, r"machine\.globals_at: found 16; allowed: a CPU, from 0 to 15"),
    ],
)
def test_cpus_that_are_not_there_are_refused(machine: dict[str, Any], found: str) -> None:
    scenario = structure({"machine": machine}, "test")
    with pytest.raises(BadInput, match=found):
        placed(scenario, topology(scenario, Path()))
