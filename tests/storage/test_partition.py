"""One partition: versions go up, reading leaves no trace, an entry's date goes with it."""

from __future__ import annotations

from grid.storage.expiry import Expiries
from grid.storage.partition import Partition
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
