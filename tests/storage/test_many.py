"""Requests about many entries wait whole, or are carried out whole."""

from __future__ import annotations

from collections.abc import Mapping, Set

import pytest

from grid.storage import many
from grid.storage.messages import Clear, Done, Records, Refused, Request, Size, TakeAny
from grid.storage.partitions import MustWaitError
from grid.storage.store import Store

from .outlets import noting
from .samples import MAP, Clock, contents, get_all, put, put_all, remove_all, store_serving

BOTH = [(1, 1), (2, 1)]
WRITES: dict[str, Request] = {
    "PutAll": put_all((1, b"a", b"1"), (2, b"b", b"2"), (2, b"c", b"3")),
    "RemoveAll": remove_all((1, b"k"), (2, b"k"), (2, b"x")),
    "TakeAny": TakeAny(1, MAP, BOTH),
    "Clear": Clear(1, MAP, BOTH),
}
READS: dict[str, Request] = {
    "GetAll": get_all((1, b"k"), (2, b"x")),
    "Size": Size(1, MAP, BOTH),
}


@pytest.fixture(name="store")
def fixture_store() -> Store:
    store = store_serving(1, 2)
    put(store, b"k")
    put(store, b"k", partition=2)
    return store


def state(store: Store) -> list[object]:
    return [(contents(store, p), store.partitions.by_id[p].sequence) for p in (1, 2)]


@pytest.mark.parametrize("name", WRITES)
def test_write_to_a_partition_whose_gate_is_shut_waits_whole(name: str, store: Store) -> None:
    before = state(store)
    held = store.partitions.by_id[2]
    store.partitions.set_writable(held, False)
    with pytest.raises(MustWaitError) as raised:
        store.handle(WRITES[name])
    assert raised.value.entries.keys() == {2}
    assert state(store) == before
    store.partitions.set_writable(held, True)
    assert store.handle(WRITES[name])
    assert state(store) != before


@pytest.mark.parametrize("name", [*WRITES, *READS])
def test_everything_waits_for_a_partition_that_is_being_handed_over(
    name: str, store: Store
) -> None:
    request = {**WRITES, **READS}[name]
    store.partitions.by_id[2].freeze()
    store.partitions.changed()
    with pytest.raises(MustWaitError):
        store.handle(request)
    store.partitions.by_id[2].thaw()
    store.partitions.changed()
    assert isinstance(store.handle(request), object)


@pytest.mark.parametrize("name", READS)
def test_shut_gate_is_no_matter_to_readers(name: str, store: Store) -> None:
    store.partitions.set_writable(store.partitions.by_id[2], False)
    assert isinstance(store.handle(READS[name]), Done | Records)


def test_batch_waits_until_there_is_room_for_all_its_entries(store: Store) -> None:
    asked: list[tuple[Set[int], bytes]] = []
    missing: list[Mapping[int, int] | None] = [{2: 2}, None]

    def room_for(concerned: Set[int], partitions: bytes) -> Mapping[int, int] | None:
        asked.append((set(concerned), partitions))
        return missing.pop(0)

    store.partitions.room_for = room_for
    before = state(store)
    with pytest.raises(MustWaitError) as raised:
        store.handle(WRITES["PutAll"])
    assert raised.value.entries == {2: 2}
    assert state(store) == before
    assert store.handle(WRITES["PutAll"]) == Done(1, 3)
    assert asked == [({1, 2}, b"\x01\x02\x02")] * 2


def test_partition_that_is_shut_still_loses_what_is_over() -> None:
    clock = Clock()
    store = store_serving(1, clock=clock)
    put(store, b"k", ttl_ms=100)
    store.partitions.set_writable(store.partitions.by_id[1], False)
    notes = noting(store, 1)
    clock.now_s += 1
    assert not store.expire()
    assert (contents(store), len(notes.told)) == ({}, 1)


def test_removal_of_what_is_over_is_told_to_the_copies_in_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(many, "EXPIRED_AT_ONCE_MAX", 10)
    clock = Clock()
    store = store_serving(1, clock=clock)
    for number in range(25):
        put(store, bytes([number]), ttl_ms=100)
    notes = noting(store, 1)
    clock.now_s += 1
    assert [store.expire() for _ in range(3)] == [True, True, False]
    assert store.partitions.by_id[1].sequence == 25 + 3
    assert len(notes.told) == 3


def test_operations_are_counted_by_key_and_only_if_carried_out() -> None:
    store = store_serving(1, 2)
    counted = store.partitions
    put(store, b"k")
    assert counted.operations == 1
    for batch in (
        put_all((1, b"a", b"1"), (2, b"b", b"2"), (1, b"c", b"3")),
        get_all((1, b"a"), (2, b"b"), (1, b"c")),
        remove_all((1, b"a"), (2, b"b"), (1, b"x")),
    ):
        before = counted.operations
        store.handle(batch)
        assert counted.operations == before + 3
    before = counted.operations
    assert isinstance(store.handle(get_all((3, b"a"))), Refused)
    counted.set_writable(counted.by_id[1], False)
    with pytest.raises(MustWaitError):
        put(store, b"k")
    assert counted.operations == before
