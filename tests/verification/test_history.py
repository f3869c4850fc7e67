"""The words of a history."""

from __future__ import annotations

import math

from grid.verification.history import Loss, emptied, initial
from tests.verification.histories import put, unknown, version


def test_later_in_time_or_by_version_surely_follows() -> None:
    first, second = put(1, 0, 1), put(2, 2, 3)
    assert second.surely_follows(first)
    assert not first.surely_follows(second)
    assert not put(2, 1, 3).surely_follows(first)
    assert not second.surely_follows(unknown(first))
    older, newer = put(1, 0, 9, version=version(1, 9)), put(2, 0, 9, version=version(2, 1))
    assert newer.surely_follows(older)
    assert not older.surely_follows(newer)
    assert not newer.surely_follows(put(3, 0, 9))


def test_operation_is_described_in_one_line() -> None:
    said = put(1, 0, 1, is_sync=True, version=version(3, 7)).describe()
    assert said == "put (sync) 'a' = 1 by client 1 [0.000000 .. 1.000000], version 3:7"
    assert unknown(put(1, 0, 1)).describe().endswith("[0.000000 .. unknown]")


def test_beginning_and_loss_are_deletes() -> None:
    assert initial("a", 1).done_s == -math.inf
    gone = emptied("a", Loss(1, 2.0, 5.0))
    assert (gone.value, gone.begin_s, gone.end_s) == (None, 2.0, 5.0)
