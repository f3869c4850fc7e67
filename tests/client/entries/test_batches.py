"""How many entries are cut into messages."""

from __future__ import annotations

from itertools import count, islice

from hypothesis import given
from hypothesis import strategies as st

from grid.client.entries.batches import (
    BATCH_ENTRIES,
    PORTION_BYTES,
    PORTION_ENTRIES_MAX,
    PORTION_ENTRIES_MIN,
    batches_of,
    chosen_of,
    key_batches_of,
    parts_of,
    portions_of,
)


def test_endless_keys_and_entries_are_taken_a_batch_at_a_time():
    assert next(iter(key_batches_of(count()))) == list(range(BATCH_ENTRIES))
    keys, values = next(iter(batches_of((number, -number) for number in count())))
    assert keys == list(range(BATCH_ENTRIES))
    assert values == [-number for number in range(BATCH_ENTRIES)]


def test_nothing_makes_no_batch_of_keys():
    assert list(key_batches_of([])) == []
    assert [keys for keys, _ in batches_of([])] == []


def test_a_dict_and_its_items_make_the_same_batches():
    entries = {number: str(number) for number in range(BATCH_ENTRIES * 2 + 1)}
    assert list(batches_of(entries)) == list(batches_of(entries.items()))
    small = dict(islice(entries.items(), 3))
    assert list(batches_of(small)) == [([0, 1, 2], ["0", "1", "2"])]


@given(st.lists(st.integers(0, 2 * PORTION_BYTES)))
def test_parts_are_everything_in_order_and_end_with_the_item_that_fills_them(sizes: list[int]):
    parts = list(parts_of(sizes))
    assert [size for part in parts for size in sizes[part]] == sizes
    for part in parts:
        assert sizes[part]
        assert sum(sizes[part][:-1]) < PORTION_BYTES
    for part in parts[:-1]:
        assert sum(sizes[part]) >= PORTION_BYTES


def test_a_key_comes_once_in_a_batch_with_its_last_value():
    assert list(batches_of([("a", 1), ("b", 2), ("a", 3)])) == [(["a", "b"], [3, 2])]


@given(st.integers(0, BATCH_ENTRIES), st.integers(1, 64))
def test_portions_are_everything_in_order_and_bounded(count: int, targets: int):
    portions = list(portions_of(count, targets))
    assert [n for portion in portions for n in range(count)[portion]] == list(range(count))
    sizes = [len(range(count)[portion]) for portion in portions]
    assert all(size <= PORTION_ENTRIES_MAX * targets for size in sizes)
    assert all(size >= PORTION_ENTRIES_MIN * targets for size in sizes[:-1])


def test_a_batch_that_is_worth_it_is_cut_in_two():
    assert list(portions_of(1_000, 1)) == [slice(0, 500), slice(500, 1_000)]
    assert list(portions_of(256, 1)) == [slice(0, 256)]
    assert len(list(portions_of(1_000, 8))) == 1


def test_all_that_is_chosen_is_not_copied():
    partitions, datas = [3, 4], [b"a", b"b"]
    assert chosen_of(range(2), partitions, datas) == (partitions, datas)
    assert chosen_of(range(2), partitions, datas)[1] is datas
    assert chosen_of([1], partitions, datas) == ([4], [b"b"])
