"""What simulated clients do: their mixture, their quiet moments, what they tell the checker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from functools import partial
from itertools import pairwise

from grid.simulation.workload import Workload
from grid.verification.checker import Checker
from grid.verification.history import Kind, Operation, Outcome

from .samples import SOUND, WatchedCluster, formed


class Notes(Checker):
    """A checker that only writes down."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[Operation] = []

    def record(self, operation: Operation) -> None:
        self.noted.append(operation)


def working(node_count: int = 3) -> tuple[WatchedCluster, Workload, Notes]:
    cluster, notes = formed(1, SOUND, node_count), Notes()
    return cluster, Workload(cluster, notes, clients=3, keys=20), notes


def test_nothing_is_done_before_it_is_resumed() -> None:
    cluster, workload, notes = working()
    cluster.run_for(5.0)
    assert workload.is_quiet
    assert notes.noted == []


def test_all_kinds_of_operations_come_about_and_half_of_the_writes_ask_for_a_backup() -> None:
    cluster, workload, notes = working()
    workload.resume()
    assert cluster.comes_true(lambda: len(notes.noted) >= 600, 120.0)
    kinds = Counter(one.kind for one in notes.noted)
    assert min(kinds[kind] for kind in (Kind.PUT, Kind.READ, Kind.DELETE, Kind.APPLY)) > 30
    writes = [one for one in notes.noted if one.kind is not Kind.READ]
    assert 0.4 < sum(one.is_sync for one in writes) / len(writes) < 0.6
    assert {one.client for one in notes.noted} == {1, 2, 3}
    assert {one.key for one in notes.noted} == {*workload.keys, *workload.counters}


def test_each_client_does_one_thing_after_the_other() -> None:
    cluster, workload, notes = working()
    workload.resume()
    cluster.run_for(20.0)
    for client in (1, 2, 3):
        own = [one for one in notes.noted if one.client == client]
        assert len(own) > 20
        assert all(b.begin_s >= a.end_s for a, b in pairwise(own))


def test_no_value_is_written_twice() -> None:
    cluster, workload, notes = working()
    workload.resume()
    cluster.run_for(20.0)
    values = [one.value for one in notes.noted if one.kind is Kind.PUT]
    assert len(values) == len(set(values)) > 20


def test_pause_lets_everything_end_and_resume_goes_on() -> None:
    cluster, workload, notes = working()
    workload.resume()
    cluster.run_for(2.0)
    assert not workload.is_quiet
    workload.pause()
    assert cluster.comes_true(lambda: workload.is_quiet)
    done = len(notes.noted)
    cluster.run_for(5.0)
    assert len(notes.noted) == done
    workload.resume()
    assert cluster.comes_true(lambda: len(notes.noted) > done)


def test_clients_in_a_rush_do_much_more() -> None:
    cluster, workload, notes = working()
    workload.resume()
    cluster.run_for(5.0)
    calm = len(notes.noted)
    workload.rush(5.0)
    cluster.run_for(5.0)
    assert len(notes.noted) - calm > 5 * calm


def test_writes_know_their_version_and_their_owner() -> None:
    cluster, workload, notes = working()
    workload.resume()
    cluster.run_for(10.0)
    writes = [one for one in notes.noted if one.kind is not Kind.READ]
    assert all(one.owner is not None for one in writes)
    assert all(one.version for one in writes if one.kind in (Kind.PUT, Kind.APPLY))
    assert {one.outcome for one in writes} == {Outcome.ACKNOWLEDGED}


def test_failed_write_is_told_as_failed_and_a_failed_read_not_at_all() -> None:
    """Of an only node that sleeps, nobody knows what it has done."""
    cluster, workload, notes = working(1)
    cluster.nodes[0].pause()
    workload.resume()
    assert cluster.comes_true(lambda: len(notes.noted) >= 2, 300.0)
    assert all(one.kind is not Kind.READ for one in notes.noted)
    assert {one.outcome for one in notes.noted} <= {Outcome.UNKNOWN, Outcome.REFUSED}


def look(cluster: WatchedCluster, begin: Callable[[Callable[[object], None]], None]) -> object:
    """Return what the workload finds out by asking the cluster."""
    found: list[object] = []
    begin(found.append)
    assert cluster.comes_true(lambda: bool(found))
    return found[0]


def quiet(cluster: WatchedCluster, workload: Workload) -> None:
    workload.resume()
    cluster.run_for(10.0)
    workload.pause()
    assert cluster.comes_true(lambda: workload.is_quiet)


def test_look_at_all_keys_shows_the_last_writes() -> None:
    cluster, workload, notes = working()
    quiet(cluster, workload)
    last: dict[Hashable, Operation] = {}
    for one in notes.noted:
        if one.kind is not Kind.READ and one.version > getattr(last.get(one.key), "version", 0):
            last[one.key] = one
    shown = look(cluster, workload.read_all)
    assert shown == {key: one.value for key, one in last.items() if one.kind is not Kind.DELETE}
    assert shown


def test_writes_of_a_cluster_in_which_nobody_died_have_survived() -> None:
    cluster, workload, notes = working()
    quiet(cluster, workload)
    writes = [one for one in notes.noted if one.version]
    answers = look(cluster, lambda done: workload.ask_survived(writes, done))
    assert answers == dict.fromkeys(writes, True)


def test_write_that_died_with_its_node_has_not_survived() -> None:
    cluster, workload, notes = working()
    workload.resume()
    lost: list[Operation] = []
    for _ in range(30):
        workload.rush(0.05)
        cluster.run_for(0.03)
        cluster.nodes[0].kill()
        assert cluster.settles()
        workload.pause()
        assert cluster.comes_true(lambda: workload.is_quiet)
        writes = [one for one in notes.noted if one.version and not one.is_sync]
        answers = look(cluster, partial(workload.ask_survived, writes))
        assert isinstance(answers, dict)
        lost = [one for one in writes if not answers[one]]
        if lost:
            break
        notes.noted.clear()
        cluster.restart(cluster.nodes[0])
        cluster.run_for(1.0)
        assert cluster.settles()
        workload.resume()
    assert lost
    shown = look(cluster, workload.read_all)
    assert isinstance(shown, dict)
    assert all(shown.get(one.key) != one.value for one in lost if one.kind is Kind.PUT)
