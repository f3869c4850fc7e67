"""A write in another client's name: known by that name's numbers, whoever brings it."""

from __future__ import annotations

import pytest

from grid.storage.applying import apply
from grid.storage.messages import (
    LARGE_VALUE_BYTES,
    Condition,
    Delete,
    Done,
    Found,
    FoundLarge,
    GetUnlessDone,
    InNameOf,
    Missing,
    Put,
    PutIf,
    RefusalReason,
    Refused,
    Reply,
    WithBackup,
)
from grid.storage.replies import Held
from grid.storage.results import RESULTS_KEPT
from grid.storage.store import Store

from .outlets import confirm, noting, protect
from .samples import MAP, Clock, is_stored, put, record_of, store_serving, value_of, version_in

NAME, WORKER, OTHER = b"name-of-16-bytes", b"worker-16-bytes!", b"another-16-bytes"


@pytest.fixture(name="store")
def fixture_store() -> Store:
    store = store_serving(1, 2)
    put(store, b"k", b"old")
    return store


def replacing(store: Store, value: bytes, number: int = 7) -> InNameOf:
    """Return the request to replace what `k` is now."""
    version = version_in(store, b"k")
    write = PutIf(number, MAP, 1, 1, b"k", Condition.SAME, version, 0, memoryview(value))
    return InNameOf(NAME, write)


def look(store: Store, number: int = 7, *, epoch: int = 1) -> Reply | Held:
    return store.handle(GetUnlessDone(1, MAP, 1, epoch, b"k", NAME, number), WORKER)


def test_entry_is_read_until_the_write_is_done_and_its_version_told_from_then_on(
    store: Store,
) -> None:
    assert look(store) == Found(1, record_of(store, b"k") or b"")
    assert is_stored(store.handle(replacing(store, b"new"), WORKER))
    version = int.from_bytes(version_in(store, b"k"), "big")
    store.handle(Put(9, MAP, 1, 1, b"k", b"newest"), OTHER)
    assert look(store) == Done(1, 1, version)
    assert look(store, 8) == Found(1, record_of(store, b"k") or b"")


def test_missing_and_large_entries_are_told_as_by_get() -> None:
    store = store_serving(1)
    assert look(store) == Missing(1)
    put(store, b"k", bytes(LARGE_VALUE_BYTES + 1))
    assert isinstance(look(store), FoundLarge)


def test_write_that_comes_again_through_another_worker_is_not_carried_out(store: Store) -> None:
    first = store.handle(replacing(store, b"new"), WORKER)
    assert store.handle(replacing(store, b"newer"), OTHER) == first
    assert value_of(store, b"k") == b"new"


def test_number_of_the_worker_itself_is_another(store: Store) -> None:
    store.handle(Put(7, MAP, 1, 1, b"k", b"own"), WORKER)
    assert is_stored(store.handle(replacing(store, b"new"), WORKER))
    store.handle(Put(8, MAP, 1, 1, b"k", b"own"), WORKER)
    assert value_of(store, b"k") == b"own"


@pytest.mark.parametrize(
    "write",
    [
        PutIf(7, MAP, 1, 1, b"k", Condition.SAME, bytes(8), 0, memoryview(b"new")),
        PutIf(7, MAP, 1, 1, b"k", Condition.ABSENT, b"", 0, memoryview(b"new")),
        PutIf(7, MAP, 1, 1, b"x", Condition.PRESENT, b"", 0, memoryview(b"new")),
        Delete(7, MAP, 1, 1, b"k", bytes(8)),
    ],
    ids=["same", "absent", "present", "delete"],
)
def test_write_whose_condition_did_not_hold_may_be_tried_again_under_its_number(
    write: PutIf | Delete, store: Store
) -> None:
    reply = store.handle(InNameOf(NAME, write), WORKER)
    assert reply == Done(7, 0) or isinstance(reply, Found)
    assert isinstance(look(store), Found)
    assert is_stored(store.handle(replacing(store, b"new"), WORKER))
    # A client's own is remembered: nothing has changed for those.
    assert store.handle(Delete(3, MAP, 1, 1, b"k", bytes(8)), WORKER) == Done(3, 0)
    assert store.partitions.by_id[1].results.clients[WORKER].results.keys() == {3}


def test_removal_is_known_as_well(store: Store) -> None:
    removal = InNameOf(NAME, Delete(7, MAP, 1, 1, b"k", version_in(store, b"k")))
    assert is_stored(store.handle(removal, WORKER))
    assert isinstance(look(store), Done)
    put(store, b"k", b"again")
    assert isinstance(store.handle(replacing(store, b"new"), WORKER), Done)
    assert value_of(store, b"k") == b"again"


def test_copies_know_it_by_the_same_name(store: Store) -> None:
    notes = noting(store, 1)
    copy = store_serving(1)
    store.handle(replacing(store, b"new"), WORKER)
    for change in notes.told:
        apply(change, lambda p, epoch, sequence: copy.partitions.by_id[p], 0.0)
    version = int.from_bytes(version_in(store, b"k"), "big")
    assert look(copy) == Done(1, 1, version)


def test_number_too_old_to_be_known_is_refused(store: Store) -> None:
    for number in range(100, 101 + RESULTS_KEPT):
        assert is_stored(store.handle(replacing(store, b"new", number), WORKER))
    assert look(store, 100) == Refused(1, RefusalReason.FORGOTTEN, 1)
    assert isinstance(look(store, 101), Done)
    assert look(store, 1, epoch=2) == Refused(1, RefusalReason.WRONG_EPOCH, 1)


def test_with_a_backup_the_write_and_whoever_looks_for_it_wait(store: Store) -> None:
    confirm(store)
    protect(store, 1)
    write = replacing(store, b"new").write
    assert isinstance(write, PutIf)
    held = store.handle(InNameOf(NAME, WithBackup(write)), WORKER)
    assert isinstance(held, Held)
    again = look(store)
    assert isinstance(again, Held)
    assert isinstance(again.reply, Done)
    confirm(store)
    assert isinstance(look(store), Done)


def test_whoever_looks_for_it_waits_also_when_others_have_written_without_a_backup(
    store: Store,
) -> None:
    confirm(store)
    protect(store, 1)
    write = replacing(store, b"new").write
    assert isinstance(write, PutIf)
    store.handle(InNameOf(NAME, WithBackup(write)), WORKER)
    done = store.partitions.by_id[1].sequence
    assert is_stored(store.handle(Put(8, MAP, 1, 1, b"k", b"newer"), OTHER))
    again = look(store)
    assert isinstance(again, Held)
    confirm(store, 1, done)
    assert again.is_over
    assert isinstance(look(store), Done)


def test_entry_keeps_its_date_if_so_asked() -> None:
    clock = Clock()
    store = store_serving(1, clock=clock)
    put(store, b"k", ttl_ms=1000)
    version = version_in(store, b"k")
    write = PutIf(7, MAP, 1, 1, b"k", Condition.SAME, version, -1, memoryview(b"new"))
    store.handle(InNameOf(NAME, write), WORKER)
    clock.now_s += 0.9
    assert value_of(store, b"k") == b"new"
    clock.now_s += 0.2
    assert value_of(store, b"k") is None
