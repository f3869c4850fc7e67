"""Barriers and questions about survival, asked of partitions directly."""

from __future__ import annotations

import pytest

from grid.storage.messages import Done, Flush, RefusalReason, Survived
from grid.storage.partition import HISTORY_MAX
from grid.storage.partitions import Partitions, RefusedError
from grid.storage.protection import check_protected, flush, survived, told_when_safe
from grid.storage.replies import Held

from .outlets import is_over


def partitions_of(*ids: int) -> Partitions:
    partitions = Partitions()
    partitions.serve(dict.fromkeys(ids, 1))
    return partitions


def test_flush_waits_only_where_there_are_to_be_backups() -> None:
    partitions = partitions_of(1)
    held = partitions.by_id[1]
    held.is_protected, held.sequence = True, 3
    request = Flush(5, [(1, 1)])
    assert flush(request, partitions, protects=False) == Done(5, 0)
    assert flush(request, partitions, protects=True) == Held(Done(5, 0), ((held, 3),))


def test_flush_waits_until_the_backups_know_that_nothing_is_missing() -> None:
    partitions = partitions_of(1)
    partitions.by_id[1].is_protected = True
    request = Flush(5, [(1, 1)])
    known: list[bool] = []
    assert flush(request, partitions, protects=True) == Done(5, 0)
    partitions.settle = lambda: lambda: bool(known)
    answer = flush(request, partitions, protects=True)
    assert isinstance(answer, Held)
    assert not is_over(answer)
    known.append(True)
    assert is_over(answer)


def test_first_partition_without_a_backup_is_named() -> None:
    partitions = partitions_of(1, 2)
    partitions.by_id[1].is_protected = True
    with pytest.raises(RefusedError) as raised:
        check_protected([partitions.by_id[1], partitions.by_id[2]])
    assert (raised.value.reason, raised.value.partition) == (RefusalReason.NO_BACKUP, 2)


def test_write_is_told_of_when_the_backup_has_it_or_there_is_none() -> None:
    held, done = partitions_of(1).by_id[1], Done(5, 1, (1 << 40) + 3)
    held.sequence = 4
    assert told_when_safe(done, held) == done
    held.is_protected = True
    assert told_when_safe(done, held) == Held(done, ((held, 3),))
    held.confirm(3)
    assert told_when_safe(done, held) == done


def test_what_is_older_than_the_history_is_refused() -> None:
    partitions = partitions_of(1)
    held = partitions.by_id[1]
    assert survived(Survived(3, 1, 1, (1 << 40) + 1), partitions) == Done(3, 1)
    for epoch in range(2, 3 + HISTORY_MAX):
        held.begin_epoch(epoch)
    partitions.changed()
    with pytest.raises(RefusedError) as raised:
        survived(Survived(3, 1, held.epoch, 1), partitions)
    assert raised.value.reason is RefusalReason.FORGOTTEN
