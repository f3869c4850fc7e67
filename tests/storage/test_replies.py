"""Replies with a record, small or large, and replies that wait."""

from __future__ import annotations

from grid.storage.messages import LARGE_VALUE_BYTES, Done, Found, FoundLarge, Missing
from grid.storage.partition import Partition
from grid.storage.replies import Held, found, together

from .outlets import is_over


def test_reply_with_a_record_depends_on_its_size() -> None:
    small, large = bytes(LARGE_VALUE_BYTES), bytes(LARGE_VALUE_BYTES + 1)
    assert found(7, None) == Missing(7)
    assert found(7, small) == Found(7, small)
    reply = found(7, large)
    assert isinstance(reply, FoundLarge)
    assert reply.record.obj is large


def test_reply_waits_until_all_its_partitions_are_confirmed_so_far() -> None:
    one, other = Partition(1), Partition(1)
    held = Held(Done(1, 2), ((one, 3), (other, 1)))
    assert not is_over(held)
    one.confirm(3)
    assert not is_over(held)
    other.confirm(4)
    assert is_over(held)
    assert Held(Done(1, 2), ()).is_over


def test_reply_for_several_waits_for_all_that_they_wait_for() -> None:
    one, other = Partition(1), Partition(1)
    settled: list[bool] = []
    first, second = Done(1, 1), Done(2, 1)
    held = together(
        [Held(first, ((one, 1),)), Held(second, ((other, 1),), lambda: bool(settled))], second
    )
    assert (held.reply, held.waits) == (second, ((one, 1), (other, 1)))
    one.confirm(1)
    other.confirm(1)
    assert not is_over(held)
    settled.append(True)
    assert is_over(held)
