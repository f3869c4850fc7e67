"""The window of one copy: how many writes, how many bytes, while the stream goes."""

from __future__ import annotations

import pytest

from grid.replication.options import ReplicationOptions
from grid.replication.outlet import CopyState
from grid.storage.changes import Changes

from .channels import MAP, Line, is_full, is_shut

OPTIONS = ReplicationOptions(window_operations_max=5, window_bytes_max=1_024)


@pytest.fixture(name="line")
def fixture_line() -> Line:
    line = Line(OPTIONS)
    line.open(1_000)
    return line


def test_window_is_full_with_so_many_writes_and_says_so(line: Line) -> None:
    outlet = line.complete()
    line.write(outlet, 4)
    assert not is_full(outlet)
    assert line.full == []
    line.write(outlet)
    assert is_full(outlet)
    assert line.full == [outlet]


def test_window_is_full_with_so_many_bytes(line: Line) -> None:
    outlet = line.complete()
    line.write(outlet, value=bytes(500))
    assert not is_full(outlet)
    line.write(outlet, value=bytes(500))
    assert is_full(outlet)


def test_one_larger_write_is_let_into_an_empty_window(line: Line) -> None:
    outlet = line.complete()
    assert not is_full(outlet)
    line.write(outlet, value=bytes(5_000))
    assert is_full(outlet)
    (parcel,) = line.tick(1)
    line.receipt(parcel.number)
    assert not is_full(outlet)


def test_window_is_of_one_copy_and_the_stream_of_all(line: Line) -> None:
    full, other = line.complete(1), line.complete(2)
    line.write(full, 5)
    assert (is_full(full), is_full(other)) == (True, False)
    line.write(other, line.channel.room)
    assert is_shut(line)
    assert is_full(other)


def test_copy_that_is_being_filled_has_a_window_but_does_not_wait_for_the_stream() -> None:
    line = Line(OPTIONS)
    outlet = line.empty()
    outlet.held.outlets = (outlet,)
    outlet.state = CopyState.FILLING
    assert is_shut(line)
    assert not is_full(outlet)
    line.write(outlet, 5)
    assert is_full(outlet)


def test_batch_counts_once_for_each_of_its_partitions(line: Line) -> None:
    outlets = [line.complete(p) for p in (1, 2)]
    keys = [bytes([number]) for number in range(20)]
    change = Changes(MAP, [(1, 1, 1), (2, 1, 1)], b"\x01\x02" * 10, keys, [b"v"] * 20, 0, b"", 0)
    before = line.channel.entries
    outlets[0].append_many(change, 400, 20)
    assert [(o.operations, o.bytes) for o in outlets] == [(1, 200), (1, 200)]
    assert line.channel.entries == before + 20
    (parcel,) = line.tick(1)
    assert parcel.items == [change]
    line.receipt(parcel.number)
    assert [(o.operations, o.bytes) for o in outlets] == [(0, 0), (0, 0)]


def test_batch_puts_nothing_at_risk_where_no_copy_is_complete(line: Line) -> None:
    outlet = line.empty()
    outlet.state = CopyState.FILLING
    before = line.channel.entries
    outlet.append_many(Changes(MAP, [(1, 1, 1)], b"\x01", [b"k"], [b"v"], 0, b"", 0), 10, 1)
    assert line.channel.entries == before
