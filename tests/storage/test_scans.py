"""Scans: pages, partition after partition, while entries are written and partitions move."""

from __future__ import annotations

import pytest

from grid.storage.messages import (
    PAGE_BYTES,
    Clear,
    Delete,
    Epochs,
    Page,
    Put,
    RefusalReason,
    Refused,
    Scan,
)
from grid.storage.scans import IDLE_S, SCANS_MAX
from grid.storage.store import Store

from .samples import MAP, Clock, contents, page, put, record_of, store_serving

A_THIRD_OF_A_PAGE = b"v" * (PAGE_BYTES // 3)
EXPIRED = Refused(9, RefusalReason.SCAN_EXPIRED, 0)


def filled(*partition_ids: int, entries: int = 5, clock: Clock | None = None) -> Store:
    """Return a store of which three entries of a partition fill a page."""
    store = store_serving(*partition_ids, clock=clock)
    for partition_id in partition_ids:
        for number in range(entries):
            put(store, bytes([number]), A_THIRD_OF_A_PAGE, partition=partition_id)
    return store


def pages(store: Store, epochs: Epochs) -> list[Page]:
    """Return a scan's pages from the first to the last."""
    found = [page(store, epochs=epochs)]
    while found[-1].scan:
        found.append(page(store, found[-1].scan))
    return found


def is_expired(store: Store, scan: int) -> bool:
    return store.handle(Scan(9, MAP, [], scan, True)) == EXPIRED


def test_scan_of_empty_partitions_is_one_empty_page() -> None:
    assert page(store_serving(1, 2), epochs=[(1, 1), (2, 1)]) == Page(9, [], [], 0, 2, 0)


def test_scan_of_no_partitions_is_one_empty_page() -> None:
    assert page(store_serving(1), epochs=[]) == Page(9, [], [], 0, 0, 0)


def test_page_has_keys_and_records() -> None:
    store = store_serving(1)
    put(store, b"k")
    assert page(store) == Page(9, [b"k"], [record_of(store, b"k") or b""], 0, 1, 0)


def test_scan_without_values_leaves_them_out() -> None:
    store = filled(1)
    only = page(store, with_values=False)
    assert (len(only.keys), only.records, only.scan) == (5, [], 0)


def test_pages_of_keys_end_as_well() -> None:
    store = store_serving(1)
    for number in range(2):
        # Beyond the store's limit, or it would take a million keys.
        store.partitions.by_id[1].table_to_write(MAP).records[bytes([number]) * PAGE_BYTES] = bytes(
            8
        )
    first = page(store, with_values=False)
    assert (len(first.keys), first.trailing) == (1, 1)
    assert len(page(store, first.scan).keys) == 1


def test_other_maps_are_left_out() -> None:
    store = store_serving(1)
    store.handle(Put(1, "other", 1, 1, b"k", b"v"))
    assert page(store).keys == []


def test_pages_end_with_the_entry_that_fills_them() -> None:
    assert [len(one.keys) for one in pages(filled(1, entries=7), [(1, 1)])] == [3, 3, 1]


def test_pages_say_where_one_partition_ends_and_the_next_begins() -> None:
    store = filled(1, 2, 3, entries=2)
    store.serve({1: 1, 2: 1, 3: 1, 4: 1})  # The last one is empty.
    found = pages(store, [(1, 1), (4, 1), (2, 1), (3, 1)])
    assert [(len(one.keys), one.finished, one.trailing) for one in found] == [
        (3, 2, 1),
        (3, 1, 2),
        (0, 1, 0),
    ]


def test_finished_and_trailing_name_the_partition_of_every_key() -> None:
    store = store_serving(1, 2, 3)
    for partition in (1, 2, 3):
        for number in range(4):
            put(store, bytes([partition, number]), A_THIRD_OF_A_PAGE, partition=partition)
    remaining = [1, 2, 3]
    for one in pages(store, [(1, 1), (2, 1), (3, 1)]):
        whole = len(one.keys) - one.trailing
        expected = set(remaining[: one.finished])
        assert {key[0] for key in one.keys[:whole]} <= expected
        del remaining[: one.finished]
        assert {key[0] for key in one.keys[whole:]} <= set(remaining[:1])
    assert remaining == []


def test_partition_is_delivered_as_it_was_when_the_scan_reached_it() -> None:
    store = filled(1)
    before = contents(store)
    first = page(store)
    for key in before:
        store.handle(Delete(1, MAP, 1, 1, key, b""))
    put(store, b"new")
    put(store, bytes([4]), b"changed")
    found = dict(zip(first.keys, first.records, strict=True))
    reply = first
    while reply.scan:
        reply = page(store, reply.scan)
        found |= zip(reply.keys, reply.records, strict=True)
    assert {key: record[8:] for key, record in found.items()} == before
    assert contents(store) == {b"new": b"v", bytes([4]): b"changed"}


def test_partition_that_was_not_reached_yet_is_delivered_as_it_is_then() -> None:
    store = filled(1, 2)
    first = page(store, epochs=[(1, 1), (2, 1)])
    store.handle(Clear(1, MAP, [(1, 1), (2, 1)]))
    put(store, b"new", partition=2)
    rest = page(store, first.scan)
    assert set(first.keys) | set(rest.keys) == {bytes([n]) for n in range(5)} | {b"new"}
    assert (rest.keys[-1], rest.scan) == (b"new", 0)


def test_page_is_given_once() -> None:
    store = filled(1)
    scan = page(store).scan
    page(store, scan)
    assert is_expired(store, scan)


@pytest.mark.parametrize("scan", [1, 77, -1, 2**63])
def test_scan_that_nobody_began_is_expired(scan: int) -> None:
    assert is_expired(store_serving(1), scan)


def test_scan_of_another_map_is_not_gone_on_with() -> None:
    store = filled(1)
    scan = page(store).scan
    assert store.handle(Scan(9, "other", [], scan, True)) == EXPIRED


def test_beyond_the_bound_a_new_scan_waits_while_all_others_are_in_use() -> None:
    clock = Clock()
    store = filled(1, entries=12, clock=clock)
    scans = [page(store).scan for _ in range(SCANS_MAX)]
    assert len(set(scans)) == SCANS_MAX
    clock.now_s += IDLE_S / 2
    assert store.handle(Scan(9, MAP, [(1, 1)], 0, True)) == EXPIRED
    used = page(store, scans[0]).scan  # The second is now the longest unused one.
    clock.now_s += IDLE_S / 2
    assert page(store).keys
    assert len(store._scans._open) == SCANS_MAX
    assert page(store, used).keys
    assert is_expired(store, scans[1])
    assert page(store, scans[2]).keys


def test_finished_scan_is_forgotten() -> None:
    store = filled(1)
    pages(store, [(1, 1)])
    assert store._scans._open == {}


@pytest.mark.parametrize(
    "served", [{}, {2: 1}, {1: 2, 2: 1}], ids=["all gone", "gone", "other epoch"]
)
def test_scan_ends_when_the_partition_that_it_is_in_moves(served: dict[int, int]) -> None:
    store = filled(1, 2)
    scan = page(store, epochs=[(1, 1), (2, 1)]).scan
    store.serve(served)
    assert is_expired(store, scan)
    assert store._scans._open == {}


@pytest.mark.parametrize("served", [{1: 1}, {1: 1, 2: 2}], ids=["gone", "other epoch"])
def test_scan_that_reaches_a_partition_that_has_moved_can_begin_again_without_it(
    served: dict[int, int],
) -> None:
    store = filled(1, 2)
    first = page(store, epochs=[(1, 1), (2, 1)])
    store.serve(served)
    assert (len(first.keys), first.finished, first.trailing) == (3, 0, 3)
    assert is_expired(store, first.scan)
    assert [len(one.keys) for one in pages(store, [(1, 1)])] == [3, 2]


def test_scan_goes_on_when_only_other_partitions_move() -> None:
    store = filled(1, 2)
    scan = page(store).scan
    store.serve({1: 1, 2: 2, 3: 1})
    assert page(store, scan).keys
    assert store.release([3]) == [3]


def test_partition_that_is_named_often_is_kept_and_delivered_once() -> None:
    store = filled(1)
    first = page(store, epochs=[(1, 1)] * 1_000)
    (kept,) = store._scans._open.values()
    assert len(kept.remaining) == 1
    assert page(store, first.scan).scan == 0


def test_partitions_of_a_later_request_change_nothing() -> None:
    store = filled(1, 2)
    first = page(store)
    assert page(store, first.scan, epochs=[(2, 1)]).finished == 1
