"""The store, request by request."""

from __future__ import annotations

import pytest

from grid.storage.messages import (
    LARGE_VALUE_BYTES,
    REPLY_BYTES_MAX,
    Clear,
    Condition,
    Delete,
    Done,
    Epochs,
    Flush,
    Found,
    FoundLarge,
    Get,
    Increment,
    Missing,
    Put,
    Records,
    RefusalReason,
    Refused,
    Request,
    Scan,
    Size,
    Survived,
    Take,
    TakeAny,
    Taken,
    WithBackup,
)
from grid.storage.options import StorageOptions
from grid.storage.store import Store

from .outlets import protect
from .samples import (
    MAP,
    Clock,
    contents,
    get_all,
    is_stored,
    plain_put,
    put,
    put_all,
    put_if,
    record_in,
    record_of,
    remove_all,
    store_serving,
    value_of,
    version_in,
)

FIVE, SIX = b"\x01\x05", b"\x01\x06"


def test_entry_is_written_read_and_removed() -> None:
    store = store_serving(1)
    assert store.handle(Get(1, MAP, 1, 1, b"k")) == Missing(1)
    assert store.handle(Put(2, MAP, 1, 1, b"k", b"")) == Done(2, 1, (1 << 40) + 1)
    reply = store.handle(Get(3, MAP, 1, 1, b"k"))
    assert isinstance(reply, Found)
    assert (reply.request, value_of(store, b"k")) == (3, b"")
    assert store.handle(Delete(4, MAP, 1, 1, b"k", b"")) == Done(4, 1, (1 << 40) + 2)
    assert store.handle(Delete(5, MAP, 1, 1, b"k", b"")) == Done(5, 0)
    assert store.handle(Get(6, MAP, 1, 1, b"k")) == Missing(6)


def test_large_value_is_answered_as_a_view_on_what_is_stored() -> None:
    store = store_serving(1)
    put(store, b"k", bytes(LARGE_VALUE_BYTES))
    get, take = Get(1, MAP, 1, 1, b"k"), Take(1, MAP, 1, 1, b"k")
    reply = store.handle(get)
    assert isinstance(reply, FoundLarge)
    assert reply.record.obj is store.partitions.by_id[1].table(MAP).records[b"k"]
    assert record_in(store.handle(take)) == record_in(reply)
    assert store.handle(get) == Missing(1)


def test_maps_and_partitions_are_apart() -> None:
    store = store_serving(1, 2)
    put(store, b"k")
    assert store.handle(Get(1, "other", 1, 1, b"k")) == Missing(1)
    assert store.handle(Get(1, MAP, 2, 1, b"k")) == Missing(1)
    assert store.handle(Size(1, MAP, [(1, 1), (2, 1)])) == Done(1, 1)
    assert store.handle(Clear(1, "other", [(1, 1), (2, 1)])) == Done(1, 0)
    assert contents(store) == {b"k": b"v"}


def test_put_if_absent_answers_the_present_entry() -> None:
    store = store_serving(1)
    assert is_stored(store.handle(put_if(b"k", b"new", Condition.ABSENT)))
    reply = store.handle(put_if(b"k", b"newer", Condition.ABSENT))
    assert record_in(reply) == record_of(store, b"k")
    assert value_of(store, b"k") == b"new"


def test_put_if_present_writes_only_over_an_entry() -> None:
    store = store_serving(1)
    assert store.handle(put_if(b"k", b"new", Condition.PRESENT)) == Done(1, 0)
    assert contents(store) == {}
    put(store, b"k", b"old")
    assert is_stored(store.handle(put_if(b"k", b"new", Condition.PRESENT)))
    assert value_of(store, b"k") == b"new"


def test_put_if_same_writes_only_over_the_version_named() -> None:
    store = store_serving(1)
    put(store, b"k", b"old")
    version = version_in(store, b"k")
    assert store.handle(put_if(b"other", b"new", Condition.SAME, version)) == Done(1, 0)
    assert is_stored(store.handle(put_if(b"k", b"new", Condition.SAME, version)))
    assert store.handle(put_if(b"k", b"newer", Condition.SAME, version)) == Done(1, 0)
    assert contents(store) == {b"k": b"new"}


def test_delete_with_a_version_removes_only_that_one() -> None:
    store = store_serving(1)
    put(store, b"k")
    version = version_in(store, b"k")
    put(store, b"k")
    assert store.handle(Delete(1, MAP, 1, 1, b"k", version)) == Done(1, 0)
    assert is_stored(store.handle(Delete(1, MAP, 1, 1, b"k", version_in(store, b"k"))))
    assert contents(store) == {}


def test_take_removes_what_it_answers() -> None:
    store = store_serving(1)
    put(store, b"k", b"value")
    record = record_of(store, b"k")
    assert store.handle(Take(1, MAP, 1, 1, b"k")) == Found(1, record or b"")
    assert store.handle(Take(1, MAP, 1, 1, b"k")) == Missing(1)


def test_increment_begins_at_zero_and_answers_what_is_stored() -> None:
    store = store_serving(1)
    for expected in (FIVE, b"\x01\x0a"):
        reply = store.handle(Increment(1, MAP, 1, 1, b"k", 5))
        assert record_in(reply) == record_of(store, b"k")
        assert value_of(store, b"k") == expected


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x00\x05", b"\x01\xa15", b"\x01\x05\x05"])
def test_increment_of_what_is_no_number_is_refused_and_changes_nothing(value: bytes) -> None:
    store = store_serving(1)
    put(store, b"k", value)
    record = record_of(store, b"k")
    refused = Refused(1, RefusalReason.NOT_COUNTABLE, 1)
    assert store.handle(Increment(1, MAP, 1, 1, b"k", 1)) == refused
    assert record_of(store, b"k") == record


def test_increment_beyond_64_bits_is_refused_and_changes_nothing() -> None:
    store = store_serving(1)
    top = 2**64 - 1
    record_in(store.handle(Increment(1, MAP, 1, 1, b"k", top)))
    refused = Refused(1, RefusalReason.NOT_COUNTABLE, 1)
    assert store.handle(Increment(1, MAP, 1, 1, b"k", 1)) == refused
    assert record_of(store, b"k") == record_in(store.handle(Get(1, MAP, 1, 1, b"k")))
    assert value_of(store, b"k") == b"\x01\xcf" + top.to_bytes(8, "big")


# -- many entries -----------------------------------------------------------------------------


def test_batches_keep_the_order_of_their_keys() -> None:
    store = store_serving(1, 2)
    batch = put_all((1, b"a", b"1"), (2, b"c", b"3"), (1, b"b", b"2"))
    assert store.handle(batch) == Done(1, 3)
    reply = store.handle(get_all((2, b"x"), (2, b"c"), (1, b"b"), (1, b"a"), (1, b"b")))
    assert isinstance(reply, Records)
    assert [record and record[8:] for record in reply.records] == [None, b"3", b"2", b"1", b"2"]


def test_last_of_a_key_that_a_batch_names_twice_wins() -> None:
    store = store_serving(1)
    assert store.handle(put_all((1, b"a", b"1"), (1, b"a", b"2"))) == Done(1, 2)
    assert contents(store) == {b"a": b"2"}
    assert store.handle(remove_all((1, b"a"), (1, b"a"))) == Done(1, 1)


def test_batch_removes_what_is_there_and_counts_it() -> None:
    store = store_serving(1, 2)
    store.handle(put_all((1, b"a", b"1"), (1, b"b", b"2"), (2, b"a", b"3")))
    assert store.handle(remove_all((2, b"b"), (1, b"a"), (2, b"a"))) == Done(1, 2)
    assert (contents(store), contents(store, 2)) == ({b"b": b"2"}, {})


def test_reply_to_a_batch_stops_at_its_bound_and_continues_where_asked() -> None:
    store = store_serving(1, 2)
    quarter = b"v" * (REPLY_BYTES_MAX // 4)
    wanted = [(p, bytes([number])) for p in (1, 2) for number in range(6)]
    for p, key in wanted:
        put(store, key, quarter, partition=p)
    for rest in (wanted, wanted[4:], wanted[8:]):
        reply = store.handle(get_all(*rest))
        expected = [record_of(store, key, partition=p) for p, key in rest[:4]]
        assert reply == Records(1, [*expected])


def test_one_value_beyond_the_reply_bound_is_still_answered() -> None:
    store = store_serving(1)
    put(store, b"k", b"v" * (REPLY_BYTES_MAX + 1))
    assert store.handle(get_all((1, b"k"), (1, b"k"))) == Records(1, [record_of(store, b"k")])


def test_take_any_empties_the_partitions_named_and_no_others() -> None:
    store = store_serving(1, 2, 3)
    entries = [(1, b"a", b"1"), (1, b"b", b"2"), (2, b"a", b"3"), (3, b"a", b"4")]
    store.handle(put_all(*entries))
    taken = set()
    while isinstance(reply := store.handle(TakeAny(1, MAP, [(2, 1), (1, 1)])), Taken):
        taken.add((reply.key, reply.record[8:]))
    assert reply == Missing(1)
    assert taken == {(b"a", b"1"), (b"b", b"2"), (b"a", b"3")}
    assert store.handle(Size(1, MAP, [(1, 1), (2, 1), (3, 1)])) == Done(1, 1)


def test_clear_removes_one_maps_entries_and_all_that_is_left_of_the_map() -> None:
    store = store_serving(1, 2)
    store.handle(put_all((1, b"a", b"1"), (2, b"a", b"2"), (2, b"b", b"3")))
    store.handle(Put(1, "other", 1, 1, b"a", b"4"))
    assert store.handle(Clear(1, MAP, [(1, 1), (2, 1)])) == Done(1, 3)
    assert sorted(store.holdings()) == [(1, 1, 1), (2, 1, 0)]
    assert MAP not in store.partitions.by_id[1].tables
    assert store.partitions.entries_of(MAP) == {}


def test_batches_see_a_map_that_was_cleared_or_moved_anew() -> None:
    store = store_serving(1, 2)
    both: Epochs = [(1, 1), (2, 1)]
    for change in (lambda: store.handle(Clear(1, MAP, both)), lambda: restart(store, 1, 2)):
        assert store.handle(put_all((1, b"a", b"1"), (2, b"a", b"2"))) == Done(1, 2)
        change()
        assert store.handle(get_all((1, b"a"), (2, b"a"))) == Records(1, [None, None])
        put(store, b"a", b"3", partition=2)
        reply = store.handle(get_all((1, b"a"), (2, b"a")))
        assert reply == Records(1, [None, record_of(store, b"a", partition=2)])
        store.handle(put_all((1, b"a", b"4"), epochs=both))
        assert contents(store) == {b"a": b"4"}


def restart(store: Store, *partition_ids: int) -> None:
    """Let the store give up everything and get it back empty."""
    store.serve({})
    store.serve(dict.fromkeys(partition_ids, 1))


# -- refusals ---------------------------------------------------------------------------------


def one_of_each(partition: int, epoch: int) -> list[Request]:
    """Every request, those about many with a first partition that would be carried out."""
    epochs = [(1, 1), (partition, epoch)]
    pair = [(1, b"k"), (partition, b"k")]
    return [
        Get(1, MAP, partition, epoch, b"k"),
        plain_put(b"k", b"new", partition=partition, epoch=epoch),
        put_if(b"k", b"new", partition=partition, epoch=epoch),
        Delete(1, MAP, partition, epoch, b"k", b""),
        Take(1, MAP, partition, epoch, b"k"),
        Increment(1, MAP, partition, epoch, b"k", 1),
        get_all(*pair, epochs=epochs),
        put_all(*((p, key, b"new") for p, key in pair), epochs=epochs),
        remove_all(*pair, epochs=epochs),
        TakeAny(1, MAP, epochs),
        Size(1, MAP, epochs),
        Clear(1, MAP, epochs),
        Scan(1, MAP, epochs, 0, True),
        WithBackup(plain_put(b"k", b"new", partition=partition, epoch=epoch)),
        Flush(1, epochs),
        Survived(1, partition, epoch, 1 << 40),
    ]


@pytest.mark.parametrize(
    ("partition", "epoch", "reason"),
    [
        (3, 1, RefusalReason.NOT_OWNER),
        (2, 2, RefusalReason.WRONG_EPOCH),
        (2, 0, RefusalReason.WRONG_EPOCH),
    ],
)
@pytest.mark.parametrize("index", range(len(one_of_each(0, 0))))
def test_refusal_names_its_reason_and_leaves_nothing_changed(
    index: int, partition: int, epoch: int, reason: RefusalReason
) -> None:
    store = store_serving(1, 2)
    put(store, b"k", FIVE)
    put(store, b"k", FIVE, partition=2)
    before = [record_of(store, b"k", partition=p) for p in (1, 2)]
    request = one_of_each(partition, epoch)[index]
    assert store.handle(request) == Refused(1, reason, partition)
    assert [record_of(store, b"k", partition=p) for p in (1, 2)] == before
    assert store.holdings() == [(1, 1, 1), (2, 1, 1)]


@pytest.mark.parametrize("index", range(len(one_of_each(0, 0))))
def test_every_request_is_carried_out_where_partition_and_epoch_are_right(index: int) -> None:
    store = store_serving(1, 2)
    put(store, b"k", FIVE, partition=2)
    protect(store, 1, 2)
    assert not isinstance(store.handle(one_of_each(2, 1)[index]), Refused)


# -- control ----------------------------------------------------------------------------------


def test_store_holds_nothing_until_told() -> None:
    assert Store(StorageOptions(), Clock()).holdings() == []


def test_new_epoch_keeps_the_entries() -> None:
    store = store_serving(1)
    put(store, b"k")
    store.serve({1: 4, 2: 1})
    assert sorted(store.holdings()) == [(1, 4, 1), (2, 1, 0)]
    assert value_of(store, b"k", epoch=4) == b"v"
    assert store.handle(Get(1, MAP, 1, 1, b"k")) == Refused(1, RefusalReason.WRONG_EPOCH, 1)


def test_partition_that_came_back_is_empty() -> None:
    store = store_serving(1)
    put(store, b"k")
    store.serve({2: 1})
    store.serve({1: 1})
    assert store.holdings() == [(1, 1, 0)]


def test_only_empty_partitions_are_released() -> None:
    store = store_serving(1, 2, 3)
    put(store, b"k")
    put(store, b"k", partition=2)
    store.handle(Delete(1, MAP, 2, 1, b"k", b""))
    assert store.release([1, 2, 7]) == [2, 7]
    assert store.holdings() == [(1, 1, 1), (3, 1, 0)]
    gone = Refused(1, RefusalReason.NOT_OWNER, 2)
    assert store.handle(Size(1, MAP, [(1, 1), (2, 1)])) == gone


def test_entries_of_all_maps_keep_a_partition() -> None:
    store = store_serving(1)
    store.handle(Put(1, "other", 1, 1, b"k", b"v"))
    store.handle(Get(1, MAP, 1, 1, b"k"))
    assert store.release([1]) == []
