"""What each write tells the copies: its result, under the sequence that it has."""

from __future__ import annotations

import msgspec
import pytest

from grid.storage.changes import KEEPS_DATE, AnyChange, Change, Changes, Cleared, Result
from grid.storage.messages import (
    Clear,
    Condition,
    Delete,
    Get,
    Increment,
    Request,
    Scan,
    Size,
    Take,
    TakeAny,
    WithBackup,
)
from grid.storage.store import Store

from .outlets import noting, protect
from .samples import (
    MAP,
    Clock,
    get_all,
    plain_put,
    put,
    put_all,
    put_if,
    remove_all,
    store_serving,
)

CLIENT = b"client-of-16-byt"
FIVE, SIX = b"\x01\x05", b"\x01\x06"


@pytest.fixture(name="store")
def fixture_store() -> Store:
    """A store whose partitions 1 and 2 have the entry `k` each; the next sequence is 2."""
    store = store_serving(1, 2)
    for partition in (1, 2):
        put(store, b"k", FIVE, partition=partition)
    return store


def one(key: bytes, value: bytes | None, ttl_ms: int, result: Result) -> Change:
    return Change(1, 1, 2, MAP, key, value, ttl_ms, CLIENT, 1, result)


SINGLE: dict[str, tuple[Request, Change]] = {
    "Put": (plain_put(b"k", b"v"), one(b"k", b"v", 0, Result.STORED)),
    "PutIf": (put_if(b"k", b"v", ttl_ms=50), one(b"k", b"v", 50, Result.STORED)),
    "Delete": (Delete(1, MAP, 1, 1, b"k", b""), one(b"k", None, 0, Result.REMOVED)),
    "Take": (Take(1, MAP, 1, 1, b"k"), one(b"k", None, 0, Result.TAKEN)),
    "Increment": (
        Increment(1, MAP, 1, 1, b"k", 1),
        one(b"k", SIX, KEEPS_DATE, Result.COUNTED),
    ),
    "first Increment": (
        Increment(1, MAP, 1, 1, b"new", 6),
        one(b"new", SIX, 0, Result.COUNTED),
    ),
}


@pytest.mark.parametrize("name", SINGLE)
def test_write_of_one_entry_tells_every_copy_what_is_there_now(name: str, store: Store) -> None:
    request, expected = SINGLE[name]
    notes = [noting(store, 1), noting(store, 1)]
    elsewhere = noting(store, 2)
    store.handle(request, CLIENT)
    for told in notes:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(told.told), type=list[AnyChange]) == [
            expected
        ]
        assert told.at_risk == 1
        assert told.size_bytes > len(expected.key) + len(expected.value or b"")
    assert elsewhere.told == []


WRITES: dict[str, tuple[Request, int]] = {
    "Put": (plain_put(b"k"), 1),
    "Delete": (Delete(1, MAP, 1, 1, b"k", b""), 1),
    "Increment": (Increment(1, MAP, 1, 1, b"k", 1), 1),
    "PutAll": (put_all((1, b"a", b"1"), (1, b"b", b"2")), 2),
    "RemoveAll": (remove_all((1, b"k"), (1, b"x")), 1),
}


@pytest.mark.parametrize("name", WRITES)
def test_write_is_at_risk_unless_its_writer_waits_for_the_backup(name: str, store: Store) -> None:
    request, entries = WRITES[name]
    twin = store_serving(1, 2)
    put(twin, b"k", FIVE)
    notes, waiting = noting(twin, 1), noting(store, 1)
    protect(store, 1)
    twin.handle(request, CLIENT)
    store.handle(WithBackup(request), CLIENT)  # type: ignore[arg-type]
    assert (notes.told, notes.at_risk) == (waiting.told, entries)
    assert waiting.at_risk == 0
    put(store, b"later")
    assert waiting.at_risk == 1


NOTHING: dict[str, Request] = {
    "Get": Get(1, MAP, 1, 1, b"k"),
    "GetAll": get_all((1, b"k")),
    "PutIf": put_if(b"k", b"v", Condition.ABSENT),
    "Delete": Delete(1, MAP, 1, 1, b"x", b""),
    "Take": Take(1, MAP, 1, 1, b"x"),
    "Increment": Increment(1, MAP, 1, 1, b"k", 2**64),
    "RemoveAll": remove_all((1, b"x")),
    "TakeAny": TakeAny(1, "other", [(1, 1)]),
    "Clear": Clear(1, "other", [(1, 1)]),
    "Size": Size(1, MAP, [(1, 1)]),
    "Scan": Scan(1, MAP, [(1, 1)], 0, True),
    "Put refused": plain_put(b"k" * 17),
    "PutAll of nothing": put_all(),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_changes_nothing_is_not_told(name: str, store: Store) -> None:
    notes = noting(store, 1)
    store.handle(NOTHING[name], CLIENT)
    assert notes.told == []
    assert store.partitions.by_id[1].sequence == 1


def test_batch_is_told_once_to_a_process_that_has_copies_of_all_its_partitions(
    store: Store,
) -> None:
    notes = noting(store, 1, 2)
    request = put_all((2, b"a", b"1"), (1, b"b", b"2"), (2, b"c", b"3"), ttl_ms=70)
    store.handle(request, CLIENT)
    assert notes.told == [
        Changes(
            MAP, [(1, 1, 2), (2, 1, 2)], b"\x02\x01\x02", [b"a", b"b", b"c"], [b"1", b"2", b"3"],
            70, CLIENT, 1,
        )
    ]  # fmt: skip
    assert notes.at_risk == 3


def test_each_process_is_told_the_part_of_a_batch_that_it_has_copies_of(store: Store) -> None:
    ones, twos = noting(store, 1), noting(store, 2)
    store.handle(put_all((2, b"a", b"1"), (1, b"b", b"2"), (2, b"c", b"3")), CLIENT)
    assert ones.told == [Changes(MAP, [(1, 1, 2)], b"\x01", [b"b"], [b"2"], 0, CLIENT, 1)]
    assert twos.told == [
        Changes(MAP, [(2, 1, 2)], b"\x02\x02", [b"a", b"c"], [b"1", b"3"], 0, CLIENT, 1)
    ]
    assert (ones.at_risk, twos.at_risk) == (1, 2)


def test_removed_batch_tells_only_what_was_there(store: Store) -> None:
    notes = noting(store, 1, 2)
    store.handle(remove_all((1, b"k"), (1, b"x"), (2, b"x")), CLIENT)
    assert notes.told == [Changes(MAP, [(1, 1, 2)], b"\x01", [b"k"], None, 0, CLIENT, 1)]


def test_entry_that_is_taken_from_anywhere_is_told_without_a_client(store: Store) -> None:
    notes = noting(store, 1, 2)
    store.handle(TakeAny(1, MAP, [(2, 1)]), CLIENT)
    assert notes.told == [Changes(MAP, [(2, 1, 2)], b"\x02", [b"k"], None, 0, b"", 0)]


def test_cleared_map_is_told_to_each_process_for_its_own_partitions(store: Store) -> None:
    both, twos = noting(store, 1, 2), noting(store, 2)
    store.handle(Clear(1, MAP, [(1, 1), (2, 1)]), CLIENT)
    assert both.told == [Cleared(MAP, [(1, 1, 2), (2, 1, 2)])]
    assert twos.told == [Cleared(MAP, [(2, 1, 2)])]


def test_entries_whose_time_is_over_are_told_when_they_are_removed() -> None:
    clock = Clock()
    store = store_serving(1, 2, clock=clock)
    for partition in (1, 2):
        put(store, b"brief", partition=partition, ttl_ms=500)
        put(store, b"lasting", partition=partition)
    notes = noting(store, 1, 2)
    clock.now_s += 1
    store.handle(Get(1, MAP, 1, 1, b"brief"))
    assert notes.told == []
    store.expire()
    assert notes.told == [
        Changes(MAP, [(p, 1, 3)], bytes([p]), [b"brief"], None, 0, b"", 0) for p in (1, 2)
    ]


def test_sequences_told_have_no_gap(store: Store) -> None:
    notes = noting(store, 1)
    for request, _ in SINGLE.values():
        store.handle(request, CLIENT)
        put(store, b"k", FIVE)
    store.handle(put_all((1, b"a", b"1"), (1, b"b", b"2")), CLIENT)
    store.handle(remove_all((1, b"a"), (1, b"b")), CLIENT)
    store.handle(Clear(1, MAP, [(1, 1)]), CLIENT)
    sequences = [
        change.sequence if isinstance(change, Change) else change.versions[0][2]
        for change in notes.told
    ]
    assert sequences == list(range(2, 2 + len(sequences)))
    assert store.partitions.by_id[1].sequence == sequences[-1]
