"""A request that comes again gets its first result, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from grid.storage.messages import (
    LARGE_VALUE_BYTES,
    Condition,
    Delete,
    Done,
    Found,
    FoundLarge,
    Increment,
    Put,
    PutAll,
    PutIf,
    RefusalReason,
    Refused,
    RemoveAll,
    Request,
    Take,
    WithBackup,
)
from grid.storage.results import RESULTS_KEPT
from grid.storage.store import Store

from .outlets import confirm, noting, protect
from .samples import MAP, Clock, contents, is_stored, put, store_serving, value_of

CLIENT, OTHER = b"client-of-16-byt", b"another-16-bytes"
FIVE, SIX = b"\x01\x05", b"\x01\x06"


def if_(condition: Condition, number: int, value: bytes = b"first") -> PutIf:
    return PutIf(number, MAP, 1, 1, b"k", condition, b"", 0, memoryview(value))


WRITES: dict[str, Callable[[int], Request]] = {
    "Put": lambda n: Put(n, MAP, 1, 1, b"k", b"first"),
    "PutIf": lambda n: if_(Condition.ALWAYS, n),
    "PutIf present": lambda n: if_(Condition.PRESENT, n),
    "Delete": lambda n: Delete(n, MAP, 1, 1, b"k", b""),
    "Take": lambda n: Take(n, MAP, 1, 1, b"k"),
    "Increment": lambda n: Increment(n, MAP, 1, 1, b"k", 1),
    "PutAll": lambda n: PutAll(n, MAP, [(1, 1)], 0, b"\x01", [b"k"], [b"first"], 0),
    "RemoveAll": lambda n: RemoveAll(n, MAP, [(1, 1)], 0, b"\x01", [b"k"]),
}


@pytest.fixture(name="store")
def fixture_store() -> Store:
    """A store where `k` is a number, put by another client."""
    store = store_serving(1, 2)
    store.handle(Put(1, MAP, 1, 1, b"k", FIVE), OTHER)
    return store


def by_another(store: Store) -> None:
    """Let another client write meanwhile."""
    assert is_stored(store.handle(Put(99, MAP, 1, 1, b"k", SIX), OTHER))


@pytest.mark.parametrize("name", WRITES)
def test_repeated_write_gets_the_first_result_and_changes_nothing(name: str, store: Store) -> None:
    notes = noting(store, 1)
    request = WRITES[name](7)
    first = store.handle(request, CLIENT)
    by_another(store)
    told, sequence = len(notes.told), store.partitions.by_id[1].sequence
    for _ in range(3):
        assert store.handle(request, CLIENT) == first
    assert value_of(store, b"k") == SIX
    assert (len(notes.told), store.partitions.by_id[1].sequence) == (told, sequence)


@pytest.mark.parametrize("name", WRITES)
def test_repeated_write_gets_the_first_result_also_after_the_epoch_changed(
    name: str, store: Store
) -> None:
    request = WRITES[name](7)
    first = store.handle(request, CLIENT)
    by_another(store)
    store.serve({1: 2, 2: 1})
    if isinstance(request, PutAll):
        again: Request = PutAll(7, MAP, [(1, 2)], 0, b"\x01", [b"k"], [b"first"], 0, 7)
    elif isinstance(request, RemoveAll):
        again = RemoveAll(7, MAP, [(1, 2)], 0, b"\x01", [b"k"], 7)
    else:
        again = msgspec.structs.replace(request, epoch=2)
    assert store.handle(again, CLIENT) == first
    assert value_of(store, b"k", epoch=2) == SIX


@pytest.mark.parametrize("name", WRITES)
def test_same_number_of_another_client_or_of_none_is_another_request(
    name: str, store: Store
) -> None:
    request = WRITES[name](7)
    store.handle(request, CLIENT)
    for client in (b"third-of-16-byte", b""):
        store.handle(Put(5, MAP, 1, 1, b"k", FIVE), OTHER + client)
        before = store.partitions.by_id[1].sequence
        reply = store.handle(request, client)
        assert not isinstance(reply, Refused)
        assert store.partitions.by_id[1].sequence == before + 1


@pytest.mark.parametrize("name", WRITES)
def test_repeated_write_that_asks_for_a_backup_waits_again(name: str, store: Store) -> None:
    protect(store, 1)
    write = WRITES[name](7)
    request = WithBackup(write)  # type: ignore[arg-type]
    first = store.handle(request, CLIENT)
    sequence = store.partitions.by_id[1].sequence
    again = store.handle(request, CLIENT)
    assert again == first
    assert store.partitions.by_id[1].sequence == sequence
    confirm(store)
    assert store.handle(request, CLIENT) == first.reply  # type: ignore[union-attr]


@pytest.mark.parametrize("name", WRITES)
def test_write_too_old_to_be_known_is_refused_and_changes_nothing(name: str, store: Store) -> None:
    request = WRITES[name](7)
    store.handle(request, CLIENT)
    for number in range(100, 100 + RESULTS_KEPT):
        assert is_stored(store.handle(Put(number, MAP, 1, 1, b"other", b"v"), CLIENT))
    by_another(store)
    assert store.handle(request, CLIENT) == Refused(7, RefusalReason.FORGOTTEN, 1)
    never_sent = Refused(3, RefusalReason.FORGOTTEN, 1)
    assert store.handle(WRITES[name](3), CLIENT) == never_sent
    assert value_of(store, b"k") == SIX
    for number in range(100, 100 + RESULTS_KEPT):
        again = store.handle(Put(number, MAP, 1, 1, b"other", b"x"), CLIENT)
        assert isinstance(again, Done)
        assert (again.count, again.request) == (1, number)
    assert value_of(store, b"other") == b"v"


def test_other_partitions_know_nothing_of_these_results(store: Store) -> None:
    store.handle(Put(7, MAP, 1, 1, b"k", b"1"), CLIENT)
    store.handle(Put(7, MAP, 2, 1, b"k", b"2"), CLIENT)
    assert (contents(store), contents(store, 2)) == ({b"k": b"1"}, {b"k": b"2"})


def test_numbers_may_come_in_any_order(store: Store) -> None:
    for number in (9, 5, 7, 6):
        reply = store.handle(Increment(number, MAP, 1, 1, b"k", 1), CLIENT)
        assert isinstance(reply, Found)
    assert value_of(store, b"k") == b"\x01\x09"


def test_large_record_that_was_taken_is_not_kept_for_a_repeated_request(store: Store) -> None:
    store.handle(Put(2, MAP, 1, 1, b"big", bytes(LARGE_VALUE_BYTES)), OTHER)
    take = Take(7, MAP, 1, 1, b"big")
    assert isinstance(store.handle(take, CLIENT), FoundLarge)
    assert store.handle(take, CLIENT) == Refused(7, RefusalReason.FORGOTTEN, 1)


NOT_CARRIED_OUT: dict[str, Request] = {
    "PutIf absent": if_(Condition.ABSENT, 7),
    "PutIf same": if_(Condition.SAME, 7),
    "Delete": Delete(7, MAP, 1, 1, b"x", b""),
    "Take": Take(7, MAP, 1, 1, b"x"),
    "RemoveAll": RemoveAll(7, MAP, [(1, 1)], 0, b"\x01", [b"x"]),
}


@pytest.mark.parametrize("name", NOT_CARRIED_OUT)
def test_what_changed_nothing_changes_nothing_later_either(name: str, store: Store) -> None:
    request = NOT_CARRIED_OUT[name]
    first = store.handle(request, CLIENT)
    store.handle(Put(50, MAP, 1, 1, b"x", FIVE), OTHER)
    store.handle(Delete(51, MAP, 1, 1, b"k", b""), OTHER)
    sequence = store.partitions.by_id[1].sequence
    assert store.handle(request, CLIENT) == first
    assert store.partitions.by_id[1].sequence == sequence
    assert contents(store) == {b"x": FIVE}


def test_what_was_refused_is_not_kept(store: Store) -> None:
    increment = Increment(7, MAP, 1, 1, b"k", 2**64 - 1)
    assert store.handle(increment, CLIENT) == Refused(7, RefusalReason.NOT_COUNTABLE, 1)
    store.handle(Delete(51, MAP, 1, 1, b"k", b""), OTHER)
    assert isinstance(store.handle(increment, CLIENT), Found)


# -- batches ----------------------------------------------------------------------------------


def put_both(number: int, operation: int = 0, value: bytes = b"v") -> PutAll:
    keys, values = [b"a", b"a"], [value, value]
    return PutAll(number, MAP, [(1, 1), (2, 1)], 0, b"\x01\x02", keys, values, 0, operation)


def remove_both(number: int, operation: int = 0) -> RemoveAll:
    return RemoveAll(number, MAP, [(1, 1), (2, 1)], 0, b"\x01\x02", [b"a", b"a"], operation)


def test_batch_is_known_by_the_number_of_its_first_request(store: Store) -> None:
    assert store.handle(put_both(7), CLIENT) == Done(7, 2)
    store.handle(Put(2, MAP, 1, 1, b"a", b"newer"), OTHER)
    assert store.handle(put_both(8, operation=7), CLIENT) == Done(8, 2)
    assert value_of(store, b"a") == b"newer"
    assert store.handle(put_both(9), CLIENT) == Done(9, 2)
    assert value_of(store, b"a") == b"v"


def test_repeated_batch_is_carried_out_where_it_was_not(store: Store) -> None:
    only_one = PutAll(7, MAP, [(1, 1)], 0, b"\x01", [b"a"], [b"v"], 0)
    store.handle(only_one, CLIENT)
    store.handle(Put(2, MAP, 1, 1, b"a", b"newer"), OTHER)
    notes = noting(store, 1, 2)
    assert store.handle(put_both(8, operation=7), CLIENT) == Done(8, 2)
    assert (contents(store)[b"a"], contents(store, 2)) == (b"newer", {b"a": b"v"})
    assert len(notes.told) == 1
    assert store.partitions.by_id[2].results.clients[CLIENT].results.keys() == {7}


def test_repeated_removal_counts_what_it_removed_then_and_what_it_removes_now(
    store: Store,
) -> None:
    store.handle(put_both(2), OTHER)
    only_one = RemoveAll(7, MAP, [(1, 1)], 0, b"\x01", [b"a"])
    assert store.handle(only_one, CLIENT) == Done(7, 1)
    assert store.handle(remove_both(8, operation=7), CLIENT) == Done(8, 2)
    assert store.handle(remove_both(9, operation=7), CLIENT) == Done(9, 2)


def test_repeated_removal_does_not_count_what_was_over_then() -> None:
    clock = Clock()
    store = store_serving(1, clock=clock)
    put(store, b"brief", ttl_ms=500)
    put(store, b"lasting")
    clock.now_s += 1
    request = RemoveAll(7, MAP, [(1, 1)], 0, b"\x01\x01", [b"brief", b"lasting"], 7)
    assert store.handle(request, CLIENT) == Done(7, 1)
    assert store.handle(request, CLIENT) == Done(7, 1)
