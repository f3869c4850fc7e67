"""Entries with a time to live: every request sees them until their time, and none afterwards."""

from __future__ import annotations

import pytest

from grid.storage.many import EXPIRED_AT_ONCE_MAX
from grid.storage.messages import (
    Clear,
    Condition,
    Delete,
    Done,
    Found,
    Get,
    Increment,
    Missing,
    Records,
    Request,
    Size,
    Take,
    TakeAny,
    Taken,
)
from grid.storage.store import Store

from .samples import (
    MAP,
    Clock,
    contents,
    get_all,
    is_stored,
    page,
    plain_put,
    put,
    put_all,
    put_if,
    record_of,
    remove_all,
    store_serving,
    value_of,
    version_in,
)

SIZE = Size(1, MAP, [(1, 1)])


@pytest.fixture(name="clock")
def fixture_clock() -> Clock:
    return Clock()


@pytest.fixture(name="store")
def fixture_store(clock: Clock) -> Store:
    """A store with two entries, of which `b"brief"` is over after one second."""
    store = store_serving(1, clock=clock)
    put(store, b"brief", b"\x01\x05", ttl_ms=1_000)
    put(store, b"lasting", b"\x01\x06")
    return store


def test_entry_is_there_until_its_time_is_over(store: Store, clock: Clock) -> None:
    clock.now_s += 0.999
    assert value_of(store, b"brief") == b"\x01\x05"
    clock.now_s += 0.001
    assert store.handle(Get(1, MAP, 1, 1, b"brief")) == Missing(1)
    assert value_of(store, b"lasting") == b"\x01\x06"


READS: dict[str, Request] = {
    "Get": Get(1, MAP, 1, 1, b"brief"),
    "GetAll": get_all((1, b"brief")),
    "Take": Take(1, MAP, 1, 1, b"brief"),
    "Delete": Delete(1, MAP, 1, 1, b"brief", b""),
    "PutIf": put_if(b"brief", condition=Condition.PRESENT),
}


@pytest.mark.parametrize("name", READS)
def test_entry_whose_time_is_over_is_removed_by_housekeeping_and_not_by_who_finds_it(
    name: str, store: Store, clock: Clock
) -> None:
    clock.now_s += 1
    sequence = store.partitions.by_id[1].sequence
    store.handle(READS[name])
    assert store.holdings() == [(1, 1, 2)]
    assert store.partitions.by_id[1].sequence == sequence
    assert not store.expire()
    assert store.holdings() == [(1, 1, 1)]
    assert store.partitions.by_id[1].sequence == sequence + 1


def test_nothing_expires_in_a_partition_that_is_being_handed_over(
    store: Store, clock: Clock
) -> None:
    clock.now_s += 1
    store.partitions.by_id[1].freeze()
    assert not store.expire()
    assert store.holdings() == [(1, 1, 2)]
    store.partitions.by_id[1].thaw()
    assert not store.expire()
    assert store.holdings() == [(1, 1, 1)]


def test_batch_does_not_see_what_is_over(store: Store, clock: Clock) -> None:
    asked = get_all((1, b"brief"), (1, b"lasting"), (1, b"brief"))
    brief, lasting = record_of(store, b"brief"), record_of(store, b"lasting")
    assert store.handle(asked) == Records(1, [brief, lasting, brief])
    clock.now_s += 1
    assert store.handle(asked) == Records(1, [None, lasting, None])
    assert store.handle(remove_all((1, b"brief"), (1, b"lasting"))) == Done(1, 1)


def test_what_is_over_can_be_neither_taken_nor_deleted(store: Store, clock: Clock) -> None:
    version = version_in(store, b"brief")
    clock.now_s += 1
    assert store.handle(Delete(1, MAP, 1, 1, b"brief", version)) == Done(1, 0)
    put(store, b"brief", ttl_ms=1_000)
    clock.now_s += 1
    assert store.handle(Delete(1, MAP, 1, 1, b"brief", b"")) == Done(1, 0)
    put(store, b"brief", ttl_ms=1_000)
    clock.now_s += 1
    assert store.handle(Take(1, MAP, 1, 1, b"brief")) == Missing(1)
    store.expire()
    assert store.holdings() == [(1, 1, 1)]


def test_taken_entry_leaves_no_date_for_the_next_one_of_its_key(store: Store, clock: Clock) -> None:
    assert isinstance(store.handle(Take(1, MAP, 1, 1, b"brief")), Found)
    assert is_stored(store.handle(plain_put(b"brief", b"anew")))
    clock.now_s += 1
    assert not store.expire()
    assert value_of(store, b"brief") == b"anew"


def test_any_entry_is_taken_but_those_that_are_over(store: Store, clock: Clock) -> None:
    for number in range(5):
        put(store, bytes([number]), ttl_ms=500)
    clock.now_s += 1
    reply = store.handle(TakeAny(1, MAP, [(1, 1)]))
    assert isinstance(reply, Taken)
    assert reply.key == b"lasting"
    assert store.handle(TakeAny(1, MAP, [(1, 1)])) == Missing(1)
    store.expire()
    assert store.holdings() == [(1, 1, 0)]


def test_entry_taken_before_its_time_does_not_end_again(store: Store, clock: Clock) -> None:
    taken = [store.handle(TakeAny(1, MAP, [(1, 1)])) for _ in range(2)]
    assert {reply.key for reply in taken if isinstance(reply, Taken)} == {b"brief", b"lasting"}
    put(store, b"brief", b"anew")
    clock.now_s += 1
    store.expire()
    assert contents(store) == {b"brief": b"anew"}


def test_what_is_over_counts_until_it_is_removed(store: Store, clock: Clock) -> None:
    clock.now_s += 1
    assert store.handle(SIZE) == Done(1, 2)
    assert not store.expire()
    assert store.handle(SIZE) == Done(1, 1)
    assert store.handle(Clear(1, MAP, [(1, 1)])) == Done(1, 1)


def test_partition_is_released_when_its_last_entry_is_over(store: Store, clock: Clock) -> None:
    store.handle(Delete(1, MAP, 1, 1, b"lasting", b""))
    assert store.release([1]) == []
    clock.now_s += 1
    store.expire()
    assert store.release([1]) == [1]
    assert not store.expire()


def test_scan_leaves_out_what_is_over_when_it_reaches_the_partition(
    store: Store, clock: Clock
) -> None:
    assert set(contents(store)) == {b"brief", b"lasting"}
    clock.now_s += 1
    assert set(contents(store)) == {b"lasting"}
    assert page(store, with_values=False).keys == [b"lasting"]


def test_increment_keeps_the_date(store: Store, clock: Clock) -> None:
    clock.now_s += 0.5
    store.handle(Increment(1, MAP, 1, 1, b"brief", 1))
    assert value_of(store, b"brief") == b"\x01\x06"
    clock.now_s += 0.5
    assert value_of(store, b"brief") is None


def test_increment_of_what_is_over_begins_at_zero_and_stays(store: Store, clock: Clock) -> None:
    clock.now_s += 1
    store.handle(Increment(1, MAP, 1, 1, b"brief", 1))
    clock.now_s += 10
    store.expire()
    assert value_of(store, b"brief") == b"\x01\x01"


WRITES: dict[str, Request] = {
    "Put": plain_put(b"brief", b"anew"),
    "PutIf": put_if(b"brief", b"anew"),
    "replace": put_if(b"brief", b"anew", Condition.PRESENT),
    "PutAll": put_all((1, b"brief", b"anew"), (1, b"new", b"new")),
}


@pytest.mark.parametrize("name", WRITES)
def test_entry_that_is_written_without_a_time_to_live_stays(
    name: str, store: Store, clock: Clock
) -> None:
    assert isinstance(store.handle(WRITES[name]), Done)
    clock.now_s += 10
    store.expire()
    assert value_of(store, b"brief") == b"anew"


@pytest.mark.parametrize(
    "request_",
    [
        put_if(b"brief", b"anew", ttl_ms=3_000),
        put_all((1, b"brief", b"anew"), (1, b"lasting", b"too"), ttl_ms=3_000),
    ],
    ids=["PutIf", "PutAll"],
)
def test_entry_that_is_written_anew_gets_a_new_date(request_, store: Store, clock: Clock) -> None:
    clock.now_s += 0.9
    store.handle(request_)
    clock.now_s += 2.9
    store.expire()
    assert value_of(store, b"brief") == b"anew"
    clock.now_s += 0.2
    assert value_of(store, b"brief") is None


def test_write_that_is_not_carried_out_leaves_the_date(store: Store, clock: Clock) -> None:
    store.handle(put_if(b"brief", b"x", Condition.ABSENT, ttl_ms=9_000))
    store.handle(put_if(b"brief", b"x", Condition.SAME, bytes(8)))
    clock.now_s += 1
    assert value_of(store, b"brief") is None


@pytest.mark.parametrize("condition", Condition)
def test_what_is_over_is_absent_for_conditions(
    condition: Condition, store: Store, clock: Clock
) -> None:
    version = version_in(store, b"brief")
    clock.now_s += 1
    is_written = condition in (Condition.ALWAYS, Condition.ABSENT)
    reply = store.handle(put_if(b"brief", b"anew", condition, version))
    assert is_stored(reply) if is_written else reply == Done(1, 0)
    assert value_of(store, b"brief") == (b"anew" if is_written else None)
    clock.now_s += 10
    assert not store.expire()
    assert value_of(store, b"brief") == (b"anew" if is_written else None)


def test_dates_stay_when_the_epoch_changes(store: Store, clock: Clock) -> None:
    store.serve({1: 2})
    clock.now_s += 1
    assert value_of(store, b"brief", epoch=2) is None
    assert value_of(store, b"lasting", epoch=2) == b"\x01\x06"


def test_cleared_entries_leave_no_dates(store: Store, clock: Clock) -> None:
    store.handle(Clear(1, MAP, [(1, 1)]))
    put(store, b"brief", b"anew")
    clock.now_s += 1
    assert not store.expire()
    assert contents(store) == {b"brief": b"anew"}


def test_dropped_partition_leaves_no_dates(store: Store, clock: Clock) -> None:
    store.serve({})
    store.serve({1: 1})
    put(store, b"brief", b"anew")
    clock.now_s += 1
    assert not store.expire()
    assert contents(store) == {b"brief": b"anew"}


def test_no_time_is_looked_up_while_nothing_has_a_time_to_live() -> None:
    def clock() -> float:
        raise AssertionError("nobody needs the time")

    store = store_serving(1)
    store._clock = clock
    put(store, b"k")
    store.handle(put_all((1, b"l", b"v")))
    store.handle(get_all((1, b"k")))
    for request in (SIZE, Take(1, MAP, 1, 1, b"k"), TakeAny(1, MAP, [(1, 1)])):
        store.handle(request)
    assert not store.has_expiries


def test_removal_goes_in_steps_over_all_maps_and_partitions(clock: Clock) -> None:
    store = store_serving(1, 2, clock=clock)
    count = EXPIRED_AT_ONCE_MAX // 2 + 100
    for partition in (1, 2):
        entries = [(partition, number.to_bytes(4, "big"), b"") for number in range(count)]
        store.handle(put_all(*entries, ttl_ms=1_000))
        put(store, b"lasting", partition=partition)
    clock.now_s += 1
    assert store.expire()
    assert sum(entries for _, _, entries in store.holdings()) == 202
    assert not store.expire()
    assert store.holdings() == [(1, 1, 1), (2, 1, 1)]
