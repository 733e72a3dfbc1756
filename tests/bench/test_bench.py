"""The benchmarks run, on small input, and the peers agree."""

from pytest import CaptureFixture, MonkeyPatch  # noqa: PT013

from tests.bench import busy_tree, cluster, peers, simpy_peer, slow_reader


def test_the_peers_agree_in_mean_and_99th_percentile() -> None:
    """SimPy's own-code model and ours: within 1 % in the mean and 2 % in p99, for each operation."""
    ours, simpy = peers.run_ours(), peers.run_simpy()
    for name, peer in simpy["latency"].items():
        figures = ours["latency"][name]
        assert abs(figures["mean_ns"] / peer["mean_ns"] - 1) < 0.01, name
        assert abs(figures["p99_ns"] / peer["p99_ns"] - 1) < 0.02, name


def test_the_simpy_peer_depends_on_its_seed_only(monkeypatch: MonkeyPatch) -> None:
    """Two runs with one seed give the same latencies, another seed others."""
    monkeypatch.setattr(simpy_peer, "OPERATIONS", 1600)
    assert simpy_peer.run(3)[1] == simpy_peer.run(3)[1] != simpy_peer.run(4)[1]


def test_the_measured_trees_give_the_same_answers(capsys: CaptureFixture[str]) -> None:
    """Each tree finds what is drawn (asserted while it is measured), and has a row in the table."""
    busy_tree.main([1, 700], operations=500)
    assert len(capsys.readouterr().out.splitlines()) == 2 + 2 * len(busy_tree.TREES)


def test_the_cluster_is_measured_beside_an_echo(capsys: CaptureFixture[str]) -> None:
    """A small round: a line for the echo, the cluster, and the cluster with state, and a ratio."""
    assert cluster.main(rounds=1, requests=160) > 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["round", "echo", "cluster", "with", "group", "cluster", "median"]


def test_a_slow_reader_is_measured(capsys: CaptureFixture[str]) -> None:
    """Two short rounds: others are answered while somebody does not read."""
    assert slow_reader.main(rounds=2, seconds=0.3) > 0
    assert len(capsys.readouterr().out.splitlines()) == 2
