"""One partition: versions go up, reading leaves no trace, an entry's date goes with it."""

from __future__ import annotations

import msgspec
import pytest

from grid.storage.expiry import Expiries
from grid.storage.partition import HISTORY_MAX, SHUT, Partition
from grid.storage.record import pack_version


def test_each_version_is_above_the_last_also_after_a_new_epoch() -> None:
    partition = Partition(3)
    versions = [partition.next_version() for _ in range(3)]
    partition.epoch = 4
    versions += [partition.next_version() for _ in range(3)]
    assert versions == sorted(set(versions))
    assert versions[0] == pack_version(3, 1)
    assert versions[-1] == pack_version(4, 6)


def test_versions_begin_after_the_sequence_given() -> None:
    assert Partition(2, 10).next_version() == pack_version(2, 11)


def test_reading_leaves_no_table_behind() -> None:
    partition = Partition(1)
    partition.table("m").records[b"lost"] = b"record"
    assert partition.tables == {}
    assert partition.table("m").records == {}


def test_table_to_write_stays() -> None:
    partition = Partition(1)
    table = partition.table_to_write("m")
    assert partition.table_to_write("m") is partition.table("m") is table
    assert partition.table_to_write("other") is not table


def test_entries_of_all_maps_are_counted() -> None:
    partition = Partition(1)
    assert partition.entry_count == 0
    partition.table_to_write("empty")
    partition.table_to_write("one").records[b"k"] = b""
    partition.table_to_write("two").records.update({b"k": b"", b"l": b""})
    assert partition.entry_count == 3


def test_removed_entry_takes_its_date_along() -> None:
    table = Partition(1).table_to_write("m")
    table.records.update({b"k": b"", b"l": b""})
    table.remove(b"l")
    table.expiries = Expiries()
    table.expiries.set(b"k", 5.0)
    table.remove(b"k")
    assert table.records == {}
    assert len(table.expiries) == 0
    assert table.expiries.take_over(9.0, 10) == []


# -- gates ------------------------------------------------------------------------------------


def gates(partition: Partition) -> tuple[int, int]:
    return partition.read_gate, partition.write_gate


def test_gates_are_those_of_the_epoch_while_they_are_open() -> None:
    partition = Partition(3)
    assert gates(partition) == (3, 3)
    partition.set_epoch(4)
    assert gates(partition) == (4, 4)


def test_gate_of_writes_stays_shut_when_the_epoch_changes() -> None:
    partition = Partition(3)
    partition.set_writable(False)
    partition.set_epoch(4)
    assert gates(partition) == (4, SHUT)
    partition.set_writable(True)
    assert gates(partition) == (4, 4)


def test_frozen_partition_opens_for_nothing_but_thawing() -> None:
    partition = Partition(3)
    partition.freeze()
    for change in (lambda: partition.set_writable(True), lambda: partition.set_epoch(4)):
        change()
        assert gates(partition) == (SHUT, SHUT)
    partition.thaw()
    assert gates(partition) == (4, 4)


def test_no_message_can_name_a_shut_gate() -> None:
    with pytest.raises(OverflowError):
        msgspec.msgpack.encode(SHUT)


# -- what copies have -------------------------------------------------------------------------


def test_entries_are_unconfirmed_until_the_copies_have_their_last_write() -> None:
    partition = Partition(1)
    partition.unconfirmed = {("m", b"a"): 2, ("m", b"b"): 3, ("n", b"a"): 5}
    for sequence, left in ((1, 3), (2, 2), (4, 1), (5, 0)):
        partition.confirm(sequence)
        assert (partition.confirmed, len(partition.unconfirmed)) == (sequence, left)


# -- history ----------------------------------------------------------------------------------


def test_each_new_primary_says_what_it_has_inherited() -> None:
    partition = Partition(1)
    for epoch, sequence in ((3, 10), (7, 8)):
        partition.sequence = sequence
        partition.begin_epoch(epoch)
        assert gates(partition) == (epoch, epoch)
    assert partition.history == [(3, 10), (7, 8)]
    # Written in epoch 1 and 2, then from 3 on, then from 7 on.
    survived = [(1, 8), (2, 8), (3, 8), (7, 9), (8, 100)]
    lost = [(1, 9), (2, 11), (3, 9), (6, 9)]
    assert all(partition.has_survived(*write) for write in survived)
    assert not any(partition.has_survived(*write) for write in lost)


def test_what_became_of_very_old_writes_is_no_longer_known() -> None:
    partition = Partition(1)
    for epoch in range(2, 2 + HISTORY_MAX + 10):
        partition.sequence += 1
        partition.begin_epoch(epoch)
    assert len(partition.history) == HISTORY_MAX
    oldest = partition.history[0][0]
    assert partition.has_survived(oldest - 2, 1) is None
    assert partition.has_survived(oldest - 1, 1) is True
