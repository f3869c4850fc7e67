"""What a storage process holds, and which requests about many keys it takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.storage.messages import Get, GetAll, PutAll, Records, RefusalReason, epochs_digest
from grid.storage.partition import SHUT, Partition
from grid.storage.partitions import MustWaitError, Partitions, RefusedError
from grid.wire.catalog import encode

from .samples import MAP, contents, store_serving

HELD = {1: 7, 2: 9}
DIGEST = epochs_digest(HELD.items())


@pytest.fixture
def held() -> Partitions:
    partitions = Partitions()
    partitions.serve(HELD)
    return partitions


def refusal(held: Partitions, digest: int, partitions: bytes = b"\x01") -> RefusalReason:
    with pytest.raises(RefusedError) as raised:
        held.check_batch([], digest, partitions, [b"key"] * len(partitions))
    return raised.value.reason


def test_digest_of_all_that_is_held_stands_for_every_epoch(held: Partitions) -> None:
    assert held.check_batch([], DIGEST, b"\x01\x02\x01", [b"a", b"b", b"c"]) == {1, 2}
    assert held.check_batch([], DIGEST, b"", []) == set()


@pytest.mark.parametrize("served", [{}, {1: 7}, {1: 7, 2: 10}, {1: 7, 2: 9, 3: 1}])
def test_digest_of_other_partitions_or_epochs_is_refused(
    held: Partitions, served: dict[int, int]
) -> None:
    held.serve(served)
    assert refusal(held, DIGEST) is RefusalReason.WRONG_EPOCH
    held.serve(HELD)
    assert held.check_batch([], DIGEST, b"\x02", [b"a"]) == {2}


def test_digest_does_not_open_a_partition_that_is_not_held(held: Partitions) -> None:
    assert refusal(held, DIGEST, b"\x01\x03") is RefusalReason.NOT_OWNER


def test_released_partition_changes_the_digest(held: Partitions) -> None:
    held.release([2])
    assert refusal(held, DIGEST) is RefusalReason.WRONG_EPOCH
    assert held.check_batch([], epochs_digest([(1, 7)]), b"\x01", [b"a"]) == {1}


@given(st.dictionaries(st.integers(0, 255), st.integers(0, 2**40)))
def test_digest_depends_on_pairs_and_not_on_their_order(epochs: dict[int, int]) -> None:
    pairs = list(epochs.items())
    assert epochs_digest(pairs) == epochs_digest(reversed(pairs))
    assert 0 < epochs_digest(pairs) < 2**64
    for index in range(len(pairs)):
        assert epochs_digest(pairs[:index] + pairs[index + 1 :]) != epochs_digest(pairs)


def test_index_of_entries_follows_tables_that_come_and_go(held: Partitions) -> None:
    assert held.entries_of("m") == {}
    held.entries_to_write("m", {1})[1][b"a"] = b"record"
    assert held.entries_of("m") == {1: {b"a": b"record"}}
    held.new_table(held.get(2, 9), "m").records[b"b"] = b"other"
    assert held.entries_of("m") == {1: {b"a": b"record"}, 2: {b"b": b"other"}}
    held.drop_table(1, "m")
    assert held.entries_of("m") == {2: {b"b": b"other"}}
    held.serve({1: 7})
    assert held.entries_of("m") == {}


def test_asking_for_maps_that_are_not_there_leaves_nothing_behind(held: Partitions) -> None:
    for number in range(100):
        held.entries_of(f"m{number}")
    assert held._entries_of == {}


def test_batches_by_digest_write_and_read_the_same_entries_as_by_epochs() -> None:
    store = store_serving(1, 2)
    digest = epochs_digest([(1, 1), (2, 1)])
    store.handle(PutAll(1, MAP, [], digest, b"\x01\x02", [b"a", b"b"], [b"1", b"2"], 0))
    assert (contents(store), contents(store, 2)) == ({b"a": b"1"}, {b"b": b"2"})
    by_digest = store.handle(GetAll(1, MAP, [], digest, b"\x02\x01", [b"b", b"x"]))
    by_epochs = store.handle(GetAll(1, MAP, [(1, 1), (2, 1)], 0, b"\x02\x01", [b"b", b"x"]))
    assert by_digest == by_epochs
    assert isinstance(by_digest, Records)


# -- roles and gates --------------------------------------------------------------------------


def test_copy_that_becomes_primary_keeps_what_it_has(held: Partitions) -> None:
    copy = held.copies[3] = Partition(4, 12, 3)
    copy.freeze()
    copy.table_to_write("m").records[b"k"] = b"record"
    assert held.own(3, 5) is copy
    held.changed()
    assert held.copies == {}
    assert held.get(3, 5) is held.get_to_write(3, 5) is copy
    assert copy.history[-1] == (5, 12)
    assert held.entries_of("m") == {3: {b"k": b"record"}}


def test_primary_that_is_lent_is_a_copy_and_serves_nothing(held: Partitions) -> None:
    primary = held.by_id[1]
    held.lend(1, 8)
    held.changed()
    assert held.copies == {1: primary}
    assert (primary.epoch, primary.outlets) == (8, ())
    for epoch in (7, 8):
        with pytest.raises(RefusedError):
            held.get(1, epoch)
    assert refusal(held, DIGEST) is RefusalReason.WRONG_EPOCH


def test_frozen_partition_has_requests_of_its_epoch_wait_and_refuses_others(
    held: Partitions,
) -> None:
    held.by_id[1].freeze()
    held.changed()
    for attempt in (
        lambda: held.get(1, 7),
        lambda: held.get_to_write(1, 7),
        lambda: held.check([(2, 9), (1, 7)]),
        lambda: held.check_batch([], DIGEST, b"\x02", [b"a"]),
        lambda: held.check_writes({1, 2}, b""),
    ):
        with pytest.raises(MustWaitError):
            attempt()
    with pytest.raises(RefusedError):
        held.get(1, 8)
    assert held.get(2, 9) is held.by_id[2]


@pytest.mark.parametrize("epoch", [SHUT, -1, 0])
def test_shut_gate_lets_nobody_in_whatever_epoch_is_named(epoch: int, held: Partitions) -> None:
    held.by_id[1].freeze()
    held.changed()
    if epoch == SHUT:
        with pytest.raises(OverflowError):
            encode(Get(1, MAP, 1, epoch, b"k"))
        return
    for attempt in (lambda: held.get(1, epoch), lambda: held.check([(1, epoch)])):
        with pytest.raises(RefusedError):
            attempt()


def test_writer_is_told_how_much_it_waits_for(held: Partitions) -> None:
    held.set_writable(held.by_id[1], False)
    assert held.shut == {1}
    with pytest.raises(MustWaitError) as raised:
        held.get_to_write(1, 7)
    assert raised.value.entries == {1: 1}
    assert held.get(1, 7) is held.by_id[1]
    held.set_writable(held.by_id[1], True)
    assert held.get_to_write(1, 7) is held.by_id[1]
    assert held.shut == set()
