"""Iteration: each entry once, whatever happens between two pages."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from grid import OperationTimeoutError, PartitionLostError
from grid.client.entries.scanning import Scanning
from grid.storage.messages import Scan
from grid.storage.scans import SCANS_MAX
from grid.types import PARTITION_COUNT
from grid.wire.keys import decode_keys, encode_key
from tests.client.fakes import FakeCluster, FakeShell, Fault, once

ENTRIES = {number: f"{number:020}" for number in range(3000)}


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is a few entries: a partition takes some three."""
    monkeypatch.setattr("grid.storage.scans.PAGE_BYTES", 200)


@pytest.fixture
def cluster() -> FakeCluster:
    made = FakeCluster()
    FakeShell(made).map().put_all(ENTRIES)
    return made


def pages_of(shell: FakeShell, between: Callable[[int], object] = lambda page: None) -> list[Any]:
    """Read all keys, and do something after each page."""
    scanning = Scanning(shell.core, "m", with_values=True)
    keys: list[Any] = []
    page = 0
    while (found := shell.run(scanning.next_page())) is not None:
        assert len(found[0]) == len(found[1])
        keys += decode_keys(found[0])
        between(page)
        page += 1
    return keys


def expire_scans(cluster: FakeCluster) -> None:
    """Open as many others as a storage process bears."""
    for place, store in cluster.stores.items():
        view = FakeShell(cluster).core.routing
        held = [
            (p, view.epochs[p])
            for p, target in enumerate(view.targets)
            if target is not None and target.place == place
        ]
        for _ in range(SCANS_MAX):
            store.handle(Scan(1, "m", held, 0, False))


def test_every_entry_comes_once(cluster: FakeCluster):
    shell = FakeShell(cluster)
    assert dict(shell.map().items()) == ENTRIES
    assert sorted(shell.map()) == sorted(ENTRIES)
    assert sorted(shell.map().values()) == sorted(ENTRIES.values())
    assert sorted(pages_of(shell)) == sorted(ENTRIES)


def test_an_empty_map_takes_one_request_for_each_storage_process(cluster: FakeCluster):
    shell = FakeShell(cluster)
    assert list(shell.map("empty").items()) == []
    scans = [request for request in shell.requests if isinstance(request, Scan)]
    assert len(scans) == 4


def test_keys_alone_travel_without_values(cluster: FakeCluster):
    scanning = Scanning(FakeShell(cluster).core, "m", with_values=False)
    keys, records = FakeShell(cluster).run(scanning.next_page()) or ([], [])
    assert keys
    assert records == []


def test_no_entry_comes_twice_or_never_when_scans_expire(cluster: FakeCluster):
    """Between all pages: what was begun is gone on with before anything else."""
    shell = FakeShell(cluster)
    keys = pages_of(shell, lambda page: expire_scans(cluster) if page % 10 == 0 else None)
    assert sorted(keys) == sorted(ENTRIES)
    assert shell.fetches > 5


@pytest.mark.parametrize("seed", range(5))
def test_no_entry_comes_twice_or_never_when_partitions_move(cluster: FakeCluster, seed: int):
    random = Random(seed)

    def move(page: int) -> None:
        if random.random() < 0.3:
            for _ in range(random.choice([1, 40])):
                cluster.move(random.randrange(PARTITION_COUNT), random.randrange(2))

    assert sorted(pages_of(FakeShell(cluster), move)) == sorted(ENTRIES)


def test_no_entry_comes_twice_or_never_when_connections_break(cluster: FakeCluster):
    random = Random(3)
    faults = [Fault.NOT_CONNECTED, Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.REFUSED]

    def meddle(_):
        return random.choice(faults) if random.random() < 0.2 else None

    assert sorted(pages_of(FakeShell(cluster, meddle))) == sorted(ENTRIES)


def test_what_is_added_and_removed_meanwhile_may_be_seen_and_the_rest_is(cluster: FakeCluster):
    other = FakeShell(cluster).map()

    def change(page: int) -> None:
        other.delete(page)
        other[f"new {page}"] = 1

    keys = pages_of(FakeShell(cluster), change)
    assert len(set(keys)) == len(keys)
    assert set(other) & set(ENTRIES) <= set(keys)


def test_an_iteration_may_remove_what_it_sees(cluster: FakeCluster):
    users = FakeShell(cluster).map()
    seen = [(key, users.pop(key)) for key in users]
    assert dict(seen) == ENTRIES
    assert len(users) == 0


def test_an_iteration_keeps_the_keys_of_one_partition_at_most(cluster: FakeCluster):
    largest = max(
        held.entry_count
        for store in cluster.stores.values()
        for held in store.partitions.by_id.values()
    )
    shell = FakeShell(cluster)
    scanning = Scanning(shell.core, "m", with_values=True)
    while (page := shell.run(scanning.next_page())) is not None:
        assert len(page[0]) < 20
        assert len(scanning._delivered) <= largest


def test_a_lost_partition_ends_an_iteration_aloud(cluster: FakeCluster):
    iteration = iter(FakeShell(cluster).map())
    next(iteration)
    for partition in range(PARTITION_COUNT):
        cluster.lose(partition)
    with pytest.raises(PartitionLostError, match="was lost with the node"):
        list(iteration)


def test_a_loss_that_is_accepted_leaves_out_what_was_lost(cluster: FakeCluster):
    shell = FakeShell(cluster)
    cluster.lose(9)
    cluster.accept_loss()
    kept = [key for key in ENTRIES if encode_key(key, 100)[0] != 9]
    assert sorted(shell.map()) == sorted(kept)


def test_a_page_has_a_deadline(cluster: FakeCluster):
    shell = FakeShell(cluster, once(None, Fault.LATE))
    iteration = iter(shell.map())  # list() of a map would ask for its size first.
    with pytest.raises(OperationTimeoutError, match="no page in time") as raised:
        list(iteration)
    assert raised.value.outcome == "not_applied"


def test_refusals_without_end_meet_the_deadline(cluster: FakeCluster):
    shell = FakeShell(cluster, lambda ask: Fault.REFUSED)
    with pytest.raises(OperationTimeoutError, match="the scan was refused: WRONG_EPOCH"):
        next(iter(shell.map()))


def test_an_iteration_waits_for_a_partition_whose_owner_is_gone(cluster: FakeCluster):
    shell = FakeShell(cluster)
    shell.core.routing.targets[0] = None
    assert sorted(shell.map()) == sorted(ENTRIES)
    assert shell.fetches == 1


def test_views_are_those_of_a_mapping(cluster: FakeCluster):
    users = FakeShell(cluster).map()
    assert (7, ENTRIES[7]) in users.items()
    assert (7, "other") not in users.items()
    assert ENTRIES[7] in users.values()
    assert "other" not in users.values()
    assert len(users.items()) == len(users.values()) == len(users.keys()) == len(ENTRIES)
    assert users.keys() & {1, 2, -1} == {1, 2}
