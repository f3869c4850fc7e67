"""Fills: one copy after the other, backups first, each from its beginning to its end."""

from __future__ import annotations

import pytest

from grid.replication.fills import Fills
from grid.replication.messages import FillBegin, FillEnd, FillPage
from grid.replication.outlet import CopyOutlet
from grid.storage.applying import PAGE_BYTES, PAGE_ENTRIES
from grid.storage.messages import Done

from .channels import MAP, Line


@pytest.fixture(name="fills")
def fixture_fills() -> Fills:
    return Fills(lambda: 0.0)


def copy(partition: int, *, is_backup: bool = True, entries: int = 0) -> CopyOutlet:
    line = Line()
    outlet = line.empty(partition, is_backup=is_backup)
    line.write(outlet, entries)
    return outlet


def parts(fills: Fills) -> list[tuple[type, int]]:
    found = []
    while fills.has_work:
        part = fills.next_part()
        assert part.size_bytes > 0
        found.append((type(part.item), part.outlet.held.partition_id))
    return found


def test_fill_begins_has_pages_and_ends(fills: Fills) -> None:
    outlet = copy(1, entries=PAGE_ENTRIES + 1)
    outlet.held.history.append((1, 0))
    outlet.held.results.of(b"client").add(7, Done(7, 1))
    fills.add(outlet)
    begin, first, second, end = (fills.next_part().item for _ in range(4))
    assert begin == FillBegin(1, 1, PAGE_ENTRIES + 1, [(1, 0)])
    assert isinstance(first, FillPage)
    assert isinstance(second, FillPage)
    assert (len(first.keys), len(second.keys)) == (PAGE_ENTRIES, 1)
    assert dict(zip(first.keys + second.keys, first.records + second.records, strict=True)) == (
        outlet.held.table(MAP).records
    )
    assert end == FillEnd(1, 1, PAGE_ENTRIES + 1, [(b"client", -1, [(7, Done(7, 1))])])
    assert not fills.has_work


def test_pages_of_large_entries_end_early(fills: Fills) -> None:
    line = Line()
    outlet = line.empty()
    line.write(outlet, 10, value=bytes(PAGE_BYTES // 3))
    fills.add(outlet)
    kinds = [kind for kind, _ in parts(fills)]
    assert kinds == [FillBegin, *[FillPage] * 4, FillEnd]


def test_one_copy_is_filled_after_the_other(fills: Fills) -> None:
    for outlet in (copy(1, entries=1), copy(2), copy(3, entries=1)):
        fills.add(outlet)
    assert parts(fills) == [
        (FillBegin, 1), (FillPage, 1), (FillEnd, 1), (FillBegin, 2), (FillEnd, 2),
        (FillBegin, 3), (FillPage, 3), (FillEnd, 3),
    ]  # fmt: skip


def test_backups_come_before_copies_that_only_move(fills: Fills) -> None:
    for p, is_backup in ((1, False), (2, False), (3, True), (4, True)):
        fills.add(copy(p, is_backup=is_backup))
    assert [p for kind, p in parts(fills) if kind is FillBegin] == [3, 4, 1, 2]


def test_removed_copy_is_filled_no_further(fills: Fills) -> None:
    current, waiting, other = copy(1, entries=1), copy(2), copy(3)
    for outlet in (current, waiting, other):
        fills.add(outlet)
    fills.next_part()
    fills.remove(waiting)
    fills.remove(current)
    fills.remove(copy(9))
    assert parts(fills) == [(FillBegin, 3), (FillEnd, 3)]
    fills.add(current)
    assert parts(fills) == [(FillBegin, 1), (FillPage, 1), (FillEnd, 1)]


def test_end_of_a_fill_names_the_sequence_that_the_copy_has_by_then(fills: Fills) -> None:
    line = Line()
    outlet = line.empty()
    fills.add(outlet)
    fills.next_part()
    line.write(outlet, 5)
    assert isinstance(fills.next_part().item, FillPage)
    line.write(outlet, 2)
    assert fills.next_part().item == FillEnd(1, 1, 7, [])
