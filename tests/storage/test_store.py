"""The store, request by request."""

from __future__ import annotations

import pytest

from grid.storage.messages import (
    PAGE_BYTES,
    REPLY_BYTES_MAX,
    Delete,
    Done,
    Found,
    Get,
    GetAll,
    Missing,
    Put,
    PutAll,
    RefusalReason,
    Refused,
    Scan,
    Size,
    StorageRequest,
    Values,
)
from grid.storage.options import StorageOptions
from grid.storage.store import SCANS_MAX, Store

from .samples import MAP, contents, page, store_serving

A_THIRD_OF_A_PAGE = b"v" * (PAGE_BYTES // 3)


def put(store: Store, key: bytes, value: bytes = b"v", partition: int = 1) -> None:
    assert store.handle(Put(1, MAP, partition, 1, key, value)) == Done(1, 1)


def test_entry_is_written_read_and_removed() -> None:
    store = store_serving(1)
    assert store.handle(Get(1, MAP, 1, 1, b"k")) == Missing(1)
    assert store.handle(Put(2, MAP, 1, 1, b"k", b"")) == Done(2, 1)
    assert store.handle(Get(3, MAP, 1, 1, b"k")) == Found(3, b"")
    assert store.handle(Delete(4, MAP, 1, 1, b"k")) == Done(4, 1)
    assert store.handle(Delete(5, MAP, 1, 1, b"k")) == Done(5, 0)
    assert store.handle(Get(6, MAP, 1, 1, b"k")) == Missing(6)


def test_maps_and_partitions_are_apart() -> None:
    store = store_serving(1, 2)
    put(store, b"k")
    assert store.handle(Get(1, "other", 1, 1, b"k")) == Missing(1)
    assert store.handle(Get(1, MAP, 2, 1, b"k")) == Missing(1)
    assert store.handle(Size(1, MAP, [(1, 1), (2, 1)])) == Done(1, 1)


def one_of_each(partition: int, epoch: int) -> list[StorageRequest]:
    """Every request, the batches with a first group that would be carried out."""
    return [
        Get(5, MAP, partition, epoch, b"k"),
        Put(5, MAP, partition, epoch, b"k", b"new"),
        Delete(5, MAP, partition, epoch, b"k"),
        GetAll(5, MAP, [(1, 1, [b"k"]), (partition, epoch, [b"k"])]),
        PutAll(5, MAP, [(1, 1, [b"k"], [b"new"]), (partition, epoch, [b"k"], [b"new"])]),
        Size(5, MAP, [(1, 1), (partition, epoch)]),
        Scan(5, MAP, partition, epoch, 0, True),
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
    put(store, b"k", b"old")
    put(store, b"k", b"old", partition=2)
    request = one_of_each(partition, epoch)[index]
    assert store.handle(request) == Refused(5, reason, partition)
    assert contents(store) == contents(store, 2) == {b"k": b"old"}
    assert store.holdings() == [(1, 1, 1), (2, 1, 1)]


@pytest.mark.parametrize(("key_bytes", "value_bytes"), [(17, 0), (0, 1025)])
def test_entry_beyond_the_limits_is_refused_and_its_batch_with_it(
    key_bytes: int, value_bytes: int
) -> None:
    store = store_serving(1, value_bytes_max=1024)
    key, value = b"k" * key_bytes, b"v" * value_bytes
    refused = Refused(1, RefusalReason.TOO_LARGE, 1)
    assert store.handle(Put(1, MAP, 1, 1, key, value)) == refused
    batch = PutAll(1, MAP, [(1, 1, [b"small", key], [b"v", value])])
    assert store.handle(batch) == refused
    assert contents(store) == {}
    put(store, b"k" * 16, b"v" * 1024)


def test_batch_with_a_value_too_few_is_refused() -> None:
    store = store_serving(1)
    reply = store.handle(PutAll(1, MAP, [(1, 1, [b"a", b"b"], [b"v"])]))
    assert isinstance(reply, Refused)
    assert contents(store) == {}


def test_batches_keep_the_order_of_their_keys() -> None:
    store = store_serving(1, 2)
    batch = PutAll(1, MAP, [(1, 1, [b"a", b"b"], [b"1", b"2"]), (2, 1, [b"c"], [b"3"])])
    assert store.handle(batch) == Done(1, 3)
    asked = GetAll(2, MAP, [(2, 1, [b"x", b"c"]), (1, 1, [b"b", b"a"])])
    assert store.handle(asked) == Values(2, [None, b"3", b"2", b"1"])


def test_reply_to_a_batch_stops_at_its_bound_and_continues_where_asked() -> None:
    store = store_serving(1, 2)
    quarter = b"v" * (REPLY_BYTES_MAX // 4)
    keys = [bytes([number]) for number in range(6)]
    for key in keys:
        put(store, key, quarter)
        put(store, key, quarter, partition=2)
    first = store.handle(GetAll(1, MAP, [(1, 1, keys), (2, 1, keys)]))
    assert first == Values(1, [quarter] * 4)
    rest = store.handle(GetAll(2, MAP, [(1, 1, keys[4:]), (2, 1, keys)]))
    assert rest == Values(2, [quarter] * 4)


def test_one_value_beyond_the_reply_bound_is_still_answered() -> None:
    store = store_serving(1)
    huge = b"v" * (REPLY_BYTES_MAX + 1)
    put(store, b"k", huge)
    assert store.handle(GetAll(1, MAP, [(1, 1, [b"k", b"k"])])) == Values(1, [huge])


# -- scans ------------------------------------------------------------------------------------


def test_scan_of_an_empty_partition_is_one_empty_page() -> None:
    only = page(store_serving(1))
    assert (only.keys, only.values, only.scan) == ([], [], 0)


def test_scan_without_values_leaves_them_out() -> None:
    store = store_serving(1)
    put(store, b"k")
    only = page(store, with_values=False)
    assert (only.keys, only.values, only.scan) == ([b"k"], [], 0)


def test_pages_end_with_the_entry_that_fills_them() -> None:
    store = store_serving(1)
    for number in range(7):
        put(store, bytes([number]), A_THIRD_OF_A_PAGE)
    sizes: list[int] = []
    scan = 0
    while not sizes or scan:
        reply = page(store, scan)
        sizes.append(len(reply.keys))
        scan = reply.scan
    assert sizes == [3, 3, 1]


def test_scan_is_the_partition_as_it_was_at_its_first_page() -> None:
    store = store_serving(1)
    before = {bytes([number]): A_THIRD_OF_A_PAGE + bytes([number]) for number in range(6)}
    for key, value in before.items():
        put(store, key, value)
    first = page(store)
    for key in before:
        store.handle(Delete(1, MAP, 1, 1, key))
    put(store, b"new")
    put(store, bytes([5]), b"changed")
    found = dict(zip(first.keys, first.values, strict=True))
    scan = first.scan
    assert scan
    while scan:
        reply = page(store, scan)
        found |= zip(reply.keys, reply.values, strict=True)
        scan = reply.scan
    assert found == before
    assert contents(store) == {b"new": b"v", bytes([5]): b"changed"}


def test_page_is_given_once() -> None:
    store = store_serving(1)
    for number in range(6):
        put(store, bytes([number]), A_THIRD_OF_A_PAGE)
    scan = page(store).scan
    page(store, scan)
    expired = Refused(9, RefusalReason.SCAN_EXPIRED, 1)
    assert store.handle(Scan(9, MAP, 1, 1, scan, True)) == expired


def test_longest_unused_scan_expires_beyond_the_bound() -> None:
    store = store_serving(1)
    for number in range(12):
        put(store, bytes([number]), A_THIRD_OF_A_PAGE)
    scans = [page(store).scan for _ in range(SCANS_MAX)]
    assert len(set(scans)) == SCANS_MAX
    used = page(store, scans[0]).scan  # The second is now the longest unused one.
    page(store)
    assert page(store, used).keys
    expired = Refused(9, RefusalReason.SCAN_EXPIRED, 1)
    assert store.handle(Scan(9, MAP, 1, 1, scans[1], True)) == expired
    assert page(store, scans[2]).keys


def test_scan_does_not_outlive_its_partition() -> None:
    store = store_serving(1)
    for number in range(6):
        put(store, bytes([number]), A_THIRD_OF_A_PAGE)
    scan = page(store).scan
    store.serve({})
    gone = Refused(9, RefusalReason.NOT_OWNER, 1)
    assert store.handle(Scan(9, MAP, 1, 1, scan, True)) == gone
    store.serve({1: 2})
    moved = Refused(9, RefusalReason.WRONG_EPOCH, 1)
    assert store.handle(Scan(9, MAP, 1, 1, scan, True)) == moved


# -- control ----------------------------------------------------------------------------------


def test_store_holds_nothing_until_told() -> None:
    assert Store(StorageOptions()).holdings() == []


def test_new_epoch_keeps_the_entries() -> None:
    store = store_serving(1)
    put(store, b"k")
    store.serve({1: 4, 2: 1})
    assert sorted(store.holdings()) == [(1, 4, 1), (2, 1, 0)]
    assert store.handle(Get(1, MAP, 1, 4, b"k")) == Found(1, b"v")
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
    store.handle(Delete(1, MAP, 2, 1, b"k"))
    assert store.release([1, 2, 7]) == [2, 7]
    assert store.holdings() == [(1, 1, 1), (3, 1, 0)]


def test_entries_of_all_maps_keep_a_partition() -> None:
    store = store_serving(1)
    store.handle(Put(1, "other", 1, 1, b"k", b"v"))
    store.handle(Get(1, MAP, 1, 1, b"k"))
    assert store.release([1]) == []
