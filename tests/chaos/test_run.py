"""Whole runs on a cluster in memory: a good one is clean, each lie is found."""

from __future__ import annotations

import dataclasses

import pytest

from grid.chaos import plan
from grid.chaos.keyspace import KeySpace
from grid.chaos.plan import Wishes
from grid.chaos.report import document_of
from grid.chaos.run import Run, start_cluster
from grid.errors import GridError
from grid.verification.findings import VIOLATIONS
from tests.chaos.fakes import FakeCluster, Lies

WISHES = Wishes(
    minutes=1.0,
    nodes=3,
    kill=True,
    restart=True,
    rate=5_000.0,
    seed=1,
    writes_per_kill=200,
    kills_max=2,
)
"""The minute is for machines that are very busy; two kills take a second."""

KEYS = KeySpace(keys_per_partition=1, counters=4)


class Notes:
    """A narrator who remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, elapsed_s: float, text: str) -> None:
        assert elapsed_s >= 0


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "RESTART_DELAYS_S", (0.0, 0.05))
    monkeypatch.setattr(plan, "CALM_DELAY_MAX_S", 0.01)
    monkeypatch.setattr("grid.chaos.run.POLL_S", 0.01)


def run(lies: Lies, wishes: Wishes = WISHES) -> tuple[Run, Notes, FakeCluster]:
    cluster, notes = FakeCluster(lies), Notes()
    chaos = Run(
        wishes, cluster, list(start_cluster(cluster, wishes.nodes)), notes, keys=KEYS, ballast=10
    )
    chaos.run()
    return chaos, notes, cluster


def test_good_cluster_is_clean_through_kills_and_restarts() -> None:
    chaos, notes, cluster = run(Lies(loses=3))
    document = document_of(WISHES, chaos.findings, chaos.tally)
    assert document["verdict"] == "clean", (document, notes.said)
    assert document["kills"] == cluster.kills == 2
    assert document["restarts"] >= 1
    assert document["lost"] == document["lost_reported"] >= 1
    assert document["search_gave_up"] == 0
    assert document["acknowledged"] >= WISHES.writes_per_kill
    assert document["applies"] == document["applies_acknowledged"] >= 1
    assert any(line.startswith("killed fake-") for line in notes.said)


def test_writes_that_break_after_they_were_applied_are_no_fault() -> None:
    chaos, notes, _ = run(Lies(breaks_every=10))
    assert chaos.findings.is_clean, notes.said


def test_lost_partition_is_accepted_and_its_writes_are_reported() -> None:
    chaos, notes, _ = run(Lies(loses_partition=True))
    assert chaos.findings.is_clean, notes.said
    assert chaos.findings.lost_with_partition >= 1
    assert chaos.tally.partitions_lost >= 1


@pytest.mark.parametrize(
    ("lies", "found"),
    [
        (Lies(loses=3, denies=True), {"lost_unreported"}),
        (Lies(loses=3, loses_sync=True), {"sync_lost"}),
        (Lies(reads_stale=True), {"stale_reads"}),
        (Lies(resurrects=True), {"stale_reads"}),
        (Lies(counts_twice=True), {"applied_twice"}),
        (Lies(applies_twice=True), {"applied_twice"}),
        (Lies(forgets_applies=True), {"sync_lost", "lost_unreported"}),
        (Lies(reorders=True), {"reordered"}),
    ],
    ids=[
        *("lost", "sync lost", "stale", "resurrected"),
        *("twice", "applied twice", "apply lost", "reordered"),
    ],
)
def test_lie_is_found(lies: Lies, found: set[str]) -> None:
    chaos, _, _ = run(lies, dataclasses.replace(WISHES, kills_max=1))
    counts = chaos.findings.counts()
    assert found <= {name for name in VIOLATIONS if counts[name]}
    assert document_of(WISHES, chaos.findings, chaos.tally)["verdict"] == "violated"


@pytest.mark.parametrize(
    ("lies", "field"),
    [
        (Lies(loses=3, understates=True), "under_reported"),
        (Lies(drops_ballast=True), "ballast_missing"),
        (Lies(stays_unsafe=True), "not_restored"),
    ],
)
def test_broken_promise_beside_the_history_is_found(
    lies: Lies, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.chaos.run.SAFE_DEADLINE_S", 0.2)
    chaos, _, _ = run(lies, dataclasses.replace(WISHES, kills_max=1))
    document = document_of(WISHES, chaos.findings, chaos.tally)
    assert chaos.findings.is_clean
    assert document[field] >= 1
    assert document["verdict"] == "violated"


def test_kills_in_motion_meet_a_node_that_is_being_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "IN_MOTION_SHARE", 1.0)
    chaos, notes, _ = run(Lies())
    assert chaos.findings.is_clean, notes.said
    assert chaos.tally.kills_in_motion >= 1


def test_without_kills_everything_is_judged_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.chaos.run.UNJUDGED_MAX", 200)
    chaos, notes, cluster = run(Lies(), dataclasses.replace(WISHES, kill=False, minutes=0.01))
    assert cluster.kills == 0
    assert chaos.findings.is_clean
    assert sum(line.startswith("judged") for line in notes.said) >= 2


def test_without_restarts_two_nodes_are_left() -> None:
    wishes = dataclasses.replace(WISHES, restart=False, nodes=4, minutes=0.01)
    chaos, _, cluster = run(Lies(), wishes)
    assert len(cluster.names) >= 2
    assert chaos.tally.restarts == 0


def test_cluster_that_is_not_safe_at_first_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.chaos.run.SAFE_DEADLINE_S", 0.05)
    cluster = FakeCluster(Lies(stays_unsafe=True))
    cluster.kills = 1
    clients = list(start_cluster(cluster, 2))
    with pytest.raises(GridError, match="did not become safe"):
        Run(WISHES, cluster, clients, Notes(), keys=KEYS).run()
